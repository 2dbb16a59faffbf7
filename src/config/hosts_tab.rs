//! The reader of `hosts.tab`.
//!
//! Enters: the file's bytes, and what `[defaults]` sets. Leaves: hosts in the file's order, and every complaint.
//! Promised: no bytes panic; a broken line costs nobody else's line its check.
//!
//! The format, as in fstab(5):
//!
//! ```text
//! file     lines, each ended by LF or CR LF, the last one perhaps by nothing; UTF-8, a byte order mark is skipped
//! line     nothing, or: name blank address blank dialect { blank option }
//! option   key=value, or the bare key of a flag
//! blank    one or more spaces or tabs; also allowed at a line's start and end
//! comment  from a `#` that starts the line or follows a blank, to the line's end
//! bounds   a line has at most 4096 bytes; control characters stand nowhere, not even in comments
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::complaint::{Complaint, ConfigError, Wrong, quoted};
use super::fields::{self, dialect_word};
use super::meaning;
use super::nearest::suggest;
use super::options::{self, Form, Rule, SHARES, Setting, check_shares, check_spool};
use super::settings::{Address, HostSettings};
use super::source::Source;
use super::words::{Word, words};
use crate::dialect::Dialect;

/// Most bytes of a line.
const LINE_MAX: usize = 4096;
const LINE_HELP: &str =
    "a line is: name address dialect [key=value …], as in `cache 127.0.0.1:6379 resp connections=4`";
/// Reads a table of hosts by itself: no other file sets defaults. `file` is what complaints call it.
///
/// # Errors
/// Every complaint about the table.
pub fn parse_hosts_tab(file: &Path, bytes: &[u8]) -> Result<Vec<HostSettings>, ConfigError> {
    let (hosts, complaints) = read(&Source::new(file, bytes), file.parent().unwrap_or(Path::new("")), &[]);
    ConfigError::unless_empty(complaints).map(|()| hosts)
}

/// Writes a host as a line of `hosts.tab`, with the options that differ from the program's own defaults.
#[must_use]
pub fn show_host(host: &HostSettings) -> String {
    let mut fields = vec![host.name.clone(), host.address.to_string(), dialect_word(host.dialect).to_owned()];
    fields.extend(options::show(host));
    fields.join(" ")
}

/// Reads the table, a file of the directory `base`; the complaints are sorted by place.
pub(super) fn read(source: &Source, base: &Path, defaults: &[Setting]) -> (Vec<HostSettings>, Vec<Complaint>) {
    let broken: HashMap<usize, Complaint> = source.not_utf8().into_iter().collect();
    let mut reader = Reader::new(source, base, defaults);
    for (start, line) in source.lines() {
        match broken.get(&source.line_number(start)) {
            Some(complaint) => reader.complaints.push(complaint.clone()),
            None => reader.line(start, line),
        }
    }
    reader.complaints.sort_by_key(Complaint::place);
    (reader.hosts, reader.complaints)
}

/// What has been read so far.
struct Reader<'a> {
    source: &'a Source,
    /// What relative paths are relative to.
    base: &'a Path,
    defaults: &'a [Setting],
    hosts: Vec<HostSettings>,
    complaints: Vec<Complaint>,
    /// The line of each name.
    names: HashMap<String, usize>,
    /// The line of each address that is listened on.
    listens: HashMap<SocketAddr, usize>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source, base: &'a Path, defaults: &'a [Setting]) -> Self {
        let (names, listens) = (HashMap::new(), HashMap::new());
        Self { source, base, defaults, hosts: Vec::new(), complaints: Vec::new(), names, listens }
    }

    fn line(&mut self, start: usize, line: &str) {
        let control = line.char_indices().find(|(_, c)| c.is_control() && *c != '\t');
        match (control, words(start, line).as_slice()) {
            _ if line.len() > LINE_MAX => self.too_long(start, line),
            (Some((at, control)), _) => self.control(start + at, control),
            (None, []) => {}
            (None, [name, address, dialect, options @ ..]) => {
                self.entry(name, address, dialect, options);
            }
            (None, few) => self.too_few(few),
        }
    }

    fn too_long(&mut self, start: usize, line: &str) {
        let what = format!("the line has {} bytes, {LINE_MAX} are allowed", line.len());
        let span = start + LINE_MAX..start + line.len();
        self.complain(span, what, "shorten it, or put its comment on lines of its own");
    }

    fn control(&mut self, at: usize, control: char) {
        let what = format!("a control character (U+{:04X}) stands here", u32::from(control));
        let help = "remove it: fields are separated by spaces or tabs";
        self.complain(at..at + control.len_utf8(), what, help);
    }

    fn too_few(&mut self, words: &[Word<'_>]) {
        let missing = if words.len() == 1 { "its address and its dialect" } else { "its dialect" };
        let end = words.last().map_or(0, |word| word.span().end);
        self.complain(end..end, format!("the host lacks {missing}"), LINE_HELP);
        if let Some(name) = words.first() {
            self.name(name);
        }
        if let Some(word) = words.get(1) {
            self.address(word);
        }
    }

    fn entry(&mut self, name: &Word<'_>, address: &Word<'_>, dialect: &Word<'_>, options: &[Word<'_>]) {
        self.name(name);
        let (address, dialect) = (self.address(address), self.dialect(dialect));
        let given = self.options(options);
        let is_whole = address.is_some() && dialect.is_some();
        let knows_dialect = dialect.is_some();
        // A host with a mistake is built all the same, so that what its options do together is checked as well.
        let address = address.unwrap_or(Address::Unix { path: PathBuf::new() });
        let host = HostSettings::with_defaults(name.text, address, dialect.unwrap_or(Dialect::Line));
        let host = self.with_options(host, &given);
        self.together(&host, name, &given);
        self.meaning(&host, knows_dialect, &given);
        self.allow(&host, name, &given);
        if is_whole {
            let mut host = host;
            options::without_idle_words(&mut host);
            self.hosts.push(host);
        }
    }

    fn with_options(&self, mut host: HostSettings, given: &[Given<'_>]) -> HostSettings {
        let own = given.iter().filter_map(|option| option.setting.as_ref());
        self.defaults.iter().chain(own).for_each(|setting| setting(&mut host));
        host
    }

    /// What is wrong with no option alone.
    fn together(&mut self, host: &HostSettings, name: &Word<'_>, given: &[Given<'_>]) {
        self.listen(host, value_of(given, "listen").unwrap_or(name));
        let shares: Vec<_> = given.iter().filter(|option| SHARES.contains(&option.rule.key)).collect();
        let are_right = shares.iter().all(|option| option.setting.is_some());
        if let Some(last) = shares.last().filter(|_| are_right) {
            self.take(&last.value, check_shares(host));
        }
    }

    /// Options that mean nothing at this host, because of its dialect or without another one.
    fn meaning(&mut self, host: &HostSettings, knows_dialect: bool, given: &[Given<'_>]) {
        let is_flag = |option: &Given<'_>| matches!(option.rule.form, Form::Flag(_));
        let flag_is_wrong = given.iter().any(|option| is_flag(option) && option.setting.is_none());
        if flag_is_wrong || !knows_dialect {
            return;
        }
        let is_given = |key: &str| value_of(given, key).is_some();
        for option in given.iter().filter(|option| option.setting.is_some()) {
            let key = option.rule.key;
            if let Err(wrong) = check_spool(host, key).and_then(|()| meaning::check(host, key, &is_given)) {
                let start =
                    if is_flag(option) { option.value.start } else { option.value.start.saturating_sub(key.len() + 1) };
                self.complain(start..start + key.len(), wrong.what, wrong.help);
            }
        }
    }

    /// Who comes over TCP cannot be known.
    fn allow(&mut self, host: &HostSettings, name: &Word<'_>, given: &[Given<'_>]) {
        if host.listen.is_some() && !host.allow.is_empty() {
            let word = value_of(given, "allow").or(value_of(given, "listen")).unwrap_or(name);
            let what = "`allow` and `listen` do not go together: over TCP nobody can tell who a requester is";
            self.complain(word.span(), what, "remove one of them, in this line or in [defaults] of tieline.toml");
        }
    }

    fn name(&mut self, word: &Word<'_>) {
        let line = self.source.line_number(word.start);
        self.take(word, fields::check_name(word.text));
        if let Some(first) = self.names.get(word.text) {
            let what = format!("{} is already the name of the host in line {first}", quoted(word.text));
            return self.complain(word.span(), what, "give each host a name of its own");
        }
        self.names.insert(word.text.to_owned(), line);
    }

    fn address(&mut self, word: &Word<'_>) -> Option<Address> {
        self.take(word, fields::address(word.text))
    }

    fn dialect(&mut self, word: &Word<'_>) -> Option<Dialect> {
        self.take(word, fields::dialect(word.text))
    }

    /// Reads the options; the value of one that is wrong is missing.
    fn options<'w>(&mut self, words: &'w [Word<'w>]) -> Vec<Given<'w>> {
        let mut given: Vec<Given<'w>> = Vec::new();
        for word in words {
            let Some((rule, value)) = self.option(word) else {
                continue;
            };
            let is_flag = matches!(rule.form, Form::Flag(_));
            if value_of(&given, rule.key).is_some() {
                let what = format!("`{}` is given twice for this host", rule.key);
                self.complain(word.part(rule.key, 0).span(), what, "keep one of them");
            }
            let read = if is_flag { read_flag(rule, word) } else { read_value(rule, value.text, self.base) };
            let setting = self.take(&value, read);
            given.push(Given { rule, value, setting });
        }
        given
    }

    /// The rule and the value of an option.
    fn option<'w>(&mut self, word: &Word<'w>) -> Option<(&'static Rule, Word<'w>)> {
        let key = word.text.split('=').next().unwrap_or_default();
        let Some(rule) = options::find(key) else {
            self.no_option(word, key);
            return None;
        };
        if matches!(rule.form, Form::Flag(_)) {
            let value = word.text.get(key.len()..).filter(|value| !value.is_empty());
            return Some((rule, value.map_or_else(|| word.clone(), |value| word.part(value, key.len()))));
        }
        let Some(value) = word.text.get(key.len() + 1..).filter(|value| !value.is_empty()) else {
            let help = format!("write `{key}=` and {}", rule.form.help(""));
            self.complain(word.span(), format!("`{key}` has no value"), help);
            return None;
        };
        Some((rule, word.part(value, key.len() + 1)))
    }

    fn no_option(&mut self, word: &Word<'_>, key: &str) {
        if key.is_empty() {
            let help = "write the name of an option before the `=`";
            return self.complain(word.span(), "an option lacks its name", help);
        }
        let span = word.start..word.start + key.len();
        self.complain(span, format!("{} is no option of a host", quoted(key)), unknown_help(key));
    }

    /// Two hosts cannot listen on one address.
    fn listen(&mut self, host: &HostSettings, word: &Word<'_>) {
        let Some(listen) = host.listen else { return };
        let line = self.source.line_number(word.start);
        if let Some(first) = self.listens.get(&listen) {
            let what = format!("{listen} is already listened on by the host in line {first}");
            return self.complain(word.span(), what, "give each host a `listen` of its own, or none");
        }
        self.listens.insert(listen, line);
    }

    /// The value, or nothing and a complaint about the word.
    fn take<T>(&mut self, word: &Word<'_>, result: Result<T, Wrong>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(word.span(), wrong.what, wrong.help);
                None
            }
        }
    }

    fn complain(&mut self, span: Range<usize>, what: impl Into<String>, help: impl Into<String>) {
        self.complaints.push(self.source.at(span, what, help));
    }
}

/// An option as given.
struct Given<'w> {
    rule: &'static Rule,
    value: Word<'w>,
    /// Nothing if the value is wrong.
    setting: Option<Setting>,
}

/// The value of an option, if it is given.
fn value_of<'g, 'w>(given: &'g [Given<'w>], key: &str) -> Option<&'g Word<'w>> {
    given.iter().find(|option| option.rule.key == key).map(|option| &option.value)
}

/// A flag is given by its key alone.
fn read_flag(rule: &Rule, word: &Word<'_>) -> Result<Setting, Wrong> {
    if word.text == rule.key {
        return rule.read("true", Path::new(""));
    }
    Err(Wrong::new(format!("`{}` takes no value", rule.key), format!("write `{}` alone", rule.key)))
}

fn read_value(rule: &Rule, value: &str, base: &Path) -> Result<Setting, Wrong> {
    rule.read(value, base).map_err(|wrong| match value.split_once(',') {
        Some((_, rest)) if rest.contains('=') => {
            Wrong::new(wrong.what, "options are separated by blanks, not by commas")
        }
        _ => wrong,
    })
}

fn unknown_help(key: &str) -> String {
    match key {
        "drain" => "`drain` is no single host's: set it in [defaults] of tieline.toml".to_owned(),
        _ => suggest(key, &options::keys(), "the options are"),
    }
}
