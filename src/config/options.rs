//! The options of a host: their names, forms and bounds, in `hosts.tab` and in `[defaults]` alike.
//!
//! Enters: a key and a word. Leaves: a [`Setting`], to be applied to any number of hosts, or why the word is no value.
//! Promised: a value that is read is within its bounds, and [`show`] writes what is read back as the same host.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::access::{allowed, group, mode, owner};
use super::complaint::{Wrong, quoted};
use super::fields::{loopback, server_name};
use super::meaning;
use super::nearest::suggest;
use super::settings::{Address, HostSettings, Start};
use super::toml_values::normalized;
use super::units::{self, DURATION_FORM, Reason, SIZE_FORM};
use crate::dialect::Dialect;

/// A value that has been read, on its way to a host.
pub(super) type Setting = Box<dyn Fn(&mut HostSettings)>;

/// One option.
pub(super) struct Rule {
    pub(super) key: &'static str,
    pub(super) form: Form,
}

/// What an option's value looks like, its bounds, and the field it goes to.
pub(super) enum Form {
    Count(RangeInclusive<u32>, fn(&mut HostSettings) -> &mut u32),
    Time(RangeInclusive<Duration>, fn(&mut HostSettings) -> &mut Duration),
    Size(RangeInclusive<u64>, fn(&mut HostSettings) -> &mut u64),
    /// In `hosts.tab` the bare key; in `[defaults]` true or false.
    Flag(fn(&mut HostSettings) -> &mut bool),
    Rejects,
    Replay,
    Start,
    Listen,
    Owner,
    Group,
    Mode,
    Allow,
    ServerName,
    User,
    /// A file, relative to the directory of the file that names it.
    Path(fn(&mut HostSettings) -> &mut Option<PathBuf>),
}

/// Why a word is none of a few.
pub(super) const NO_SUCH_WORD: &str = "there is no such word";

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Every option of this version. The upper bounds are far above any sensible value: they catch slips, and keep sums
/// of several options from overflowing.
pub(super) static RULES: [Rule; 38] = [
    rule("connections", Form::Count(1..=10_000, |host| &mut host.connections)),
    rule("sessions", Form::Count(0..=10_000, |host| &mut host.sessions)),
    rule("pipeline", Form::Count(1..=65_536, |host| &mut host.pipeline)),
    rule("window", Form::Count(1..=65_536, |host| &mut host.window)),
    rule("queue", Form::Count(1..=1_000_000, |host| &mut host.queue)),
    rule("requesters", Form::Count(1..=1_000_000, |host| &mut host.requesters)),
    rule("timeout", Form::Time(MS..=DAY, |host| &mut host.timeout)),
    rule("connect_timeout", Form::Time(MS..=HOUR, |host| &mut host.connect_timeout)),
    rule("retries", Form::Count(1..=1000, |host| &mut host.retries)),
    rule("idle", Form::Time(MS..=Duration::from_secs(30 * 86_400), |host| &mut host.idle)),
    rule("max_request", Form::Size(1..=1 << 30, |host| &mut host.max_request)),
    rule("max_reply", Form::Size(1..=1 << 40, |host| &mut host.max_reply)),
    // Above 64 MiB a requester that does not read is closed whatever this says.
    rule("unread", Form::Size(1024..=64 << 20, |host| &mut host.unread)),
    rule("start", Form::Start),
    rule("listen", Form::Listen),
    rule("workers", Form::Count(1..=64, |host| &mut host.workers)),
    rule("deferred", Form::Flag(|host| &mut host.deferred)),
    rule("rejects", Form::Rejects),
    rule("replay", Form::Replay),
    // One commit records as many ends at most.
    rule("replay_window", Form::Count(1..=64, |host| &mut host.replay_window)),
    rule("replay_backoff", Form::Time(MS..=HOUR, |host| &mut host.replay_backoff)),
    rule("dedupe", Form::Flag(|host| &mut host.dedupe)),
    rule("spool_max", Form::Size(4096..=1 << 40, |host| &mut host.spool_max)),
    rule("expire", Form::Time(MS..=Duration::from_secs(365 * 86_400), |host| &mut host.expire)),
    rule("owner", Form::Owner),
    rule("group", Form::Group),
    rule("mode", Form::Mode),
    rule("allow", Form::Allow),
    rule("tls", Form::Flag(|host| &mut host.tls)),
    rule("sni", Form::ServerName),
    rule("ca", Form::Path(|host| &mut host.ca)),
    rule("cert", Form::Path(|host| &mut host.cert)),
    rule("key", Form::Path(|host| &mut host.key)),
    rule("user", Form::User),
    rule("password_file", Form::Path(|host| &mut host.password_file)),
    // Redis counts databases with a signed number of 32 bits.
    rule("db", Form::Count(0..=i32::MAX.unsigned_abs(), |host| &mut host.db)),
    rule("greeting", Form::Path(|host| &mut host.greeting)),
    rule("secrets", Form::Path(|host| &mut host.secrets)),
];

/// The bounds of `drain`, which is no host's option but stands beside them in `[defaults]`.
pub(super) const DRAIN: RangeInclusive<Duration> = Duration::ZERO..=HOUR;

const fn rule(key: &'static str, form: Form) -> Rule {
    Rule { key, form }
}

/// The option of that name.
pub(super) fn find(key: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.key == key)
}

/// The names of all options.
pub(super) fn keys() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.key).collect()
}

impl Rule {
    /// Reads a value that stands in a file of the directory `base`.
    pub(super) fn read(&self, word: &str, base: &Path) -> Result<Setting, Wrong> {
        self.form.read(word, base).map_err(|why| cannot_be(self.key, word, &why, self.form.help(word)))
    }
}

/// The complaint about a value.
pub(super) fn cannot_be(key: &str, word: &str, why: &str, help: impl Into<String>) -> Wrong {
    Wrong::new(format!("`{key}` cannot be {}: {why}", quoted(word)), help)
}

impl Form {
    fn read(&self, word: &str, base: &Path) -> Result<Setting, String> {
        Ok(match self {
            Self::Count(bounds, field) => set(*field, count_within(word, bounds).map_err(text)?),
            Self::Time(bounds, field) => set(*field, time_within(word, bounds).map_err(text)?),
            Self::Size(bounds, field) => {
                set(*field, units::size(word).and_then(|size| within(size, bounds)).map_err(text)?)
            }
            Self::Flag(field) => set(*field, word.parse().map_err(|_| NO_SUCH_WORD)?),
            Self::Rejects => set(|host| &mut host.rejects, rejects(word)?),
            Self::Replay => set(|host| &mut host.hold_in_doubt, replay(word).ok_or(NO_SUCH_WORD)?),
            Self::Start => set(|host| &mut host.start, start(word).ok_or(NO_SUCH_WORD)?),
            Self::Listen => set(|host| &mut host.listen, Some(loopback(word)?)),
            Self::Owner => set(|host| &mut host.owner, Some(owner(word)?)),
            Self::Group => set(|host| &mut host.group, Some(group(word)?)),
            Self::Mode => set(|host| &mut host.mode, mode(word)?),
            Self::Allow => set(|host| &mut host.allow, allowed(word)?),
            Self::ServerName => set(|host| &mut host.sni, Some(server_name(word)?)),
            Self::User => set(|host| &mut host.user, Some(without_blank(word)?.to_owned())),
            Self::Path(field) => set(*field, Some(normalized(&base.join(without_blank(word)?)))),
        })
    }

    /// What would be right, given what was written.
    pub(super) fn help(&self, word: &str) -> String {
        match self {
            Self::Count(bounds, _) => {
                format!("a whole number from {} to {}", bounds.start(), bounds.end())
            }
            Self::Time(bounds, _) => time_help(bounds),
            Self::Size(bounds, _) => {
                let (least, most) = (units::show_size(*bounds.start()), units::show_size(*bounds.end()));
                format!("a size from {least} to {most}: {SIZE_FORM}")
            }
            Self::Flag(_) => "true or false".into(),
            Self::Rejects => {
                "what a refusing reply begins with, one or several, separated by commas: error,refused".into()
            }
            Self::Replay => suggest(word, &["resend", "hold"], "one of"),
            Self::Start => suggest(word, &["boot", "demand"], "one of"),
            Self::Listen => "a loopback address and a port from 1 to 65535: 127.0.0.1:7000 or [::1]:7000".into(),
            Self::Owner => "a user of this machine, by name or by number".into(),
            Self::Group => "a group of this machine, by name or by number".into(),
            Self::Mode => "permission bits as for chmod(1), in octal and with a right to write: 0660".into(),
            Self::Allow => {
                "users and groups of this machine, separated by commas, groups with an `@`: www-data,@backup".into()
            }
            Self::ServerName => "a name that the host's certificate has: redis.example.com".into(),
            Self::User => "a user of the host".into(),
            Self::Path(_) => "the path of a file, relative to the directory of this one or from the root".into(),
        }
    }

    /// The value as it is written in `hosts.tab`.
    fn show(&self, host: &HostSettings) -> String {
        let mut copy = host.clone();
        match self {
            Self::Count(_, field) => field(&mut copy).to_string(),
            Self::Time(_, field) => units::show_duration(*field(&mut copy)),
            Self::Size(_, field) => units::show_size(*field(&mut copy)),
            Self::Flag(field) => field(&mut copy).to_string(),
            Self::Rejects => host.rejects.join(","),
            Self::Replay if host.hold_in_doubt => "hold".into(),
            Self::Replay => "resend".into(),
            Self::Start if host.start == Start::Boot => "boot".into(),
            Self::Start => "demand".into(),
            Self::Listen => host.listen.map_or_else(String::new, |listen| listen.to_string()),
            Self::Owner => host.owner.map_or_else(String::new, |id| id.to_string()),
            Self::Group => host.group.map_or_else(String::new, |id| id.to_string()),
            Self::Mode => format!("{:04o}", host.mode),
            Self::Allow => host.allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Self::ServerName => host.sni.clone().unwrap_or_default(),
            Self::User => host.user.clone().unwrap_or_default(),
            Self::Path(field) => field(&mut copy).as_ref().map_or_else(String::new, |path| path.display().to_string()),
        }
    }
}

/// The options of a host that differ from the defaults of this program, as `hosts.tab` has them.
pub(super) fn show(host: &HostSettings) -> Vec<String> {
    let plain = HostSettings::with_defaults("", host.address.clone(), host.dialect);
    let differs = |rule: &&Rule| rule.form.show(host) != rule.form.show(&plain);
    let written = |rule: &Rule| match rule.form {
        Form::Flag(_) => rule.key.to_owned(),
        _ => format!("{}={}", rule.key, rule.form.show(host)),
    };
    RULES.iter().filter(differs).map(written).collect()
}

/// The options by which connections are opened, with what they say first.
const OPENING: [&str; 11] =
    ["tls", "sni", "ca", "cert", "key", "user", "password_file", "db", "greeting", "secrets", "dedupe"];

/// Those options of a host by which its connections are opened, as [`show`] has them: what has been opened by the same
/// ones, at the same address, is as good as what is opened anew.
pub(crate) fn opening(host: &HostSettings) -> Vec<String> {
    let is_one = |written: &String| OPENING.contains(&written.split('=').next().unwrap_or_default());
    show(host).into_iter().filter(is_one).collect()
}

/// The help text for a duration within bounds.
pub(super) fn time_help(bounds: &RangeInclusive<Duration>) -> String {
    let (least, most) = (units::show_duration(*bounds.start()), units::show_duration(*bounds.end()));
    format!("a duration from {least} to {most}: {DURATION_FORM}")
}

/// Reads a duration within bounds.
pub(super) fn time_within(word: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, Reason> {
    units::duration(word).and_then(|time| within(time, bounds))
}

/// Reads a count within bounds.
pub(super) fn count_within(word: &str, bounds: &RangeInclusive<u32>) -> Result<u32, Reason> {
    let count = u32::try_from(units::count(word)?).unwrap_or(u32::MAX);
    within(count, bounds)
}

/// The value, if it is within bounds.
pub(super) fn within<T: PartialOrd>(value: T, bounds: &RangeInclusive<T>) -> Result<T, Reason> {
    match () {
        () if value < *bounds.start() => Err(Reason("it is too small")),
        () if value > *bounds.end() => Err(Reason("it is too large")),
        () => Ok(value),
    }
}

fn set<T: Clone + 'static>(field: fn(&mut HostSettings) -> &mut T, value: T) -> Setting {
    Box::new(move |host| *field(host) = value.clone())
}

fn text(reason: Reason) -> String {
    reason.0.to_owned()
}

fn start(word: &str) -> Option<Start> {
    match word {
        "boot" => Some(Start::Boot),
        "demand" => Some(Start::Demand),
        _ => None,
    }
}

fn replay(word: &str) -> Option<bool> {
    match word {
        "resend" => Some(false),
        "hold" => Some(true),
        _ => None,
    }
}

/// A word that can be written in `hosts.tab`, wherever it stands now.
fn without_blank(word: &str) -> Result<&str, &'static str> {
    match () {
        () if word.is_empty() => Err("it is empty"),
        () if word.chars().any(|c| c.is_control() || c.is_whitespace()) => Err("it has a blank or control character"),
        () => Ok(word),
    }
}

/// Prefixes of replies. They are words: what `[defaults]` has can be written in `hosts.tab` as well.
fn rejects(word: &str) -> Result<Vec<String>, &'static str> {
    let prefixes: Vec<String> = word.split(',').map(str::to_owned).collect();
    match () {
        // Every reply begins with nothing.
        () if prefixes.iter().any(String::is_empty) => Err("a prefix is empty"),
        () if word.chars().any(|c| c.is_control() || c.is_whitespace()) => Err("a prefix has a blank"),
        () => Ok(prefixes),
    }
}

/// The options that mean something only to a host that is `deferred`.
const SPOOL: [&str; 7] = ["rejects", "replay", "replay_window", "replay_backoff", "dedupe", "spool_max", "expire"];

/// What is wrong with giving the option `key` to this host, if anything is.
pub(super) fn check_spool(host: &HostSettings, key: &str) -> Result<(), Wrong> {
    if !knows_deferred(host.dialect) && (key == "deferred" || SPOOL.contains(&key)) {
        let help =
            "remove it: a cache may lose anything at any time, and writing it later would overwrite what is newer";
        return Err(Wrong::new(format!("`{key}` is not offered for `memcache`"), help));
    }
    if SPOOL.contains(&key) && !host.deferred {
        let what = format!("`{key}` means nothing without `deferred`");
        return Err(Wrong::new(what, format!("add `deferred` to this host, or remove `{key}`")));
    }
    if key == "rejects" && !knows_rejects(host.dialect) {
        let help = "remove it: a reply of this dialect says itself whether it is an error";
        return Err(Wrong::new("`rejects` is for `line` and `len32`", help));
    }
    if key == "dedupe" { check_dedupe(host) } else { Ok(()) }
}

/// What is wrong with `dedupe` at a host that is deferred, if anything is.
fn check_dedupe(host: &HostSettings) -> Result<(), Wrong> {
    if host.dialect != Dialect::Line {
        return Err(Wrong::new(
            "`dedupe` is for `line`",
            "remove it: only far ends of tieline that speak `line` remember",
        ));
    }
    if matches!(host.address, Address::Name { .. }) {
        let help =
            "name the address of one far end: another instance of the name knows nothing of what this one has executed";
        return Err(Wrong::new("`dedupe` cannot be given to a host that is found by name", help));
    }
    if host.greeting.is_some() {
        let help = "remove one of them: a far end of tieline expects the greeting of `dedupe` first";
        return Err(Wrong::new("`dedupe` cannot be given together with `greeting`", help));
    }
    Ok(())
}

/// Whether requests may be stored. memcached's replies do not say which failures are worth another try, and many of its
/// commands have none; nor should what it holds be what must not be lost.
fn knows_deferred(dialect: Dialect) -> bool {
    dialect != Dialect::Memcache
}

fn knows_rejects(dialect: Dialect) -> bool {
    match dialect {
        Dialect::Line | Dialect::Len32 => true,
        Dialect::Resp | Dialect::Memcache => false,
    }
}

/// Takes from a host what `[defaults]` says to hosts of another kind only.
pub(super) fn without_idle_words(host: &mut HostSettings) {
    let plain = HostSettings::with_defaults("", host.address.clone(), host.dialect);
    host.deferred &= knows_deferred(host.dialect);
    meaning::without_idle_words(host, &plain);
    if !host.deferred || !knows_rejects(host.dialect) {
        host.rejects.clear();
    }
    host.dedupe &= host.deferred && check_dedupe(host).is_ok();
    if !host.deferred {
        host.hold_in_doubt = plain.hold_in_doubt;
        host.replay_window = plain.replay_window;
        host.replay_backoff = plain.replay_backoff;
        host.spool_max = plain.spool_max;
        host.expire = plain.expire;
    }
}

/// The options that [`check_shares`] is about.
pub(super) const SHARES: [&str; 2] = ["connections", "workers"];

/// Each event loop has its share of the pool, and none may be empty.
pub(super) fn check_shares(host: &HostSettings) -> Result<(), Wrong> {
    if host.workers <= host.connections {
        return Ok(());
    }
    let what = format!("{} workers cannot share {} connections", host.workers, host.connections);
    Err(Wrong::new(what, "allow at least as many connections as workers"))
}
