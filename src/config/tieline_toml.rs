//! The reader of `tieline.toml`.
//!
//! Enters: the file's text and its directory. Leaves: `[daemon]`, `[log]`, `[defaults]`, `[registry]` and each
//! `[serve.NAME]`, with defaults for what is not given, and every complaint. Promised: no text panics; what can be understood of a broken file is understood.
//!
//! The format is TOML 1.1. Counts are integers, durations and words are strings, sizes and ids may be either. Relative
//! paths are relative to the file's directory, and made absolute without looking at the file system.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, quoted};
use super::nearest::suggest;
use super::options::{self, DRAIN, Rule, SHARES, Setting, cannot_be, check_shares};
use super::registry::{self, RegistrySettings};
use super::serve::{self, ServeSettings};
use super::settings::{Address, DaemonSettings, HostSettings, LogFormat, LogLevel, LogSettings};
use super::source::Source;
use super::toml_values::{Entry, Values, entries, word};
use crate::dialect::Dialect;

const DAEMON: [&str; 5] = ["run_dir", "spool_dir", "hosts_tab", "pid_file", "status_file"];
const LOG: [&str; 3] = ["level", "file", "format"];
const TABLES: [&str; 5] = ["daemon", "log", "defaults", "registry", "serve"];
const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// What has been understood.
pub(super) struct Reading {
    pub(super) daemon: DaemonSettings,
    pub(super) log: LogSettings,
    pub(super) drain: Duration,
    pub(super) defaults: Vec<Setting>,
    pub(super) registry: Option<RegistrySettings>,
    pub(super) serves: Vec<ServeSettings>,
    /// Sorted by place.
    pub(super) complaints: Vec<Complaint>,
    /// False if broken syntax may have hidden where the table of hosts is.
    pub(super) hosts_tab_is_known: bool,
}

/// Reads the text of the file `file`, an absolute path.
pub(super) fn read(source: &Source, file: &Path) -> Reading {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let mut reader = Reader::new(source, file);
    reader.is_broken = !errors.is_empty();
    reader.tables(root.get_ref());
    reader.syntax(&errors);
    let hosts_tab_is_known = errors.is_empty() || reader.paths.contains_key("hosts_tab");
    let daemon = reader.daemon_settings();
    reader.distinct(&daemon, file);
    let mut complaints = std::mem::take(&mut reader.values.complaints);
    complaints.sort_by_key(Complaint::place);
    let registry = reader.registry.settings(&daemon);
    let Reader { log, drain, defaults, serves, .. } = reader;
    Reading { daemon, log, drain, defaults, registry, serves, complaints, hosts_tab_is_known }
}

/// What has been read so far.
struct Reader<'a> {
    values: Values<'a>,
    /// Whether the syntax is.
    is_broken: bool,
    /// The paths that were given, with their places.
    paths: BTreeMap<&'static str, (PathBuf, Range<usize>)>,
    log: LogSettings,
    drain: Duration,
    defaults: Vec<Setting>,
    registry: registry::Reading,
    serves: Vec<ServeSettings>,
}

impl<'a> Reader<'a> {
    fn new(source: &'a Source, file: &'a Path) -> Self {
        Self {
            values: Values::new(source, file.parent().unwrap_or(Path::new("/"))),
            is_broken: false,
            paths: BTreeMap::new(),
            log: LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text },
            drain: Duration::from_secs(30),
            defaults: Vec::new(),
            registry: registry::Reading::default(),
            serves: Vec::new(),
        }
    }

    /// Broken syntax: the first mistake of each line. Whatever else is wrong with these lines is its consequence.
    fn syntax(&mut self, errors: &[toml::de::Error]) {
        let end = self.values.source.text.len();
        let mut broken = BTreeMap::new();
        for error in errors {
            let span = error.span().unwrap_or(end..end);
            broken.entry(self.values.source.line_number(span.start)).or_insert((span, error.message()));
        }
        self.values.complaints.retain(|complaint| !broken.contains_key(&complaint.place().0));
        for (span, message) in broken.into_values() {
            let (what, help) = understood(message, span.is_empty());
            self.values.complain(span, format!("no valid TOML: {what}"), help);
        }
    }

    fn tables(&mut self, root: &DeTable<'_>) {
        for entry in entries(root) {
            match (entry.key, entry.value) {
                ("daemon", DeValue::Table(table)) => {
                    entries(table).for_each(|entry| self.daemon(&entry));
                }
                ("log", DeValue::Table(table)) => entries(table).for_each(|entry| self.log(&entry)),
                ("defaults", DeValue::Table(table)) => self.defaults(table),
                ("registry", DeValue::Table(table)) => {
                    self.registry = registry::Reading::read(&mut self.values, table);
                }
                ("serve", DeValue::Table(table)) => self.serves = serve::read(&mut self.values, table),
                _ => self.no_table(&entry),
            }
        }
    }

    fn no_table(&mut self, entry: &Entry<'_, '_>) {
        let key = entry.key;
        let belongs = belongs(key);
        if self.is_broken && belongs.is_some() {
            // The line that opens its table is most likely what is broken.
            return;
        }
        let help = belongs.unwrap_or_else(|| suggest(key, &TABLES, "the tables are"));
        let (what, help) = match entry.value {
            _ if key == "serve" => ("`serve` is no table".to_owned(), "open one with a line `[serve.NAME]`".to_owned()),
            _ if TABLES.contains(&key) => (format!("`{key}` is no table"), format!("open it with a line `[{key}]`")),
            DeValue::Table(_) | DeValue::Array(_) => (format!("there is no table {}", quoted(key)), help),
            _ => (format!("{} stands outside of any table", quoted(key)), help),
        };
        self.values.complain(entry.key_span.clone(), what, help);
    }

    fn daemon(&mut self, entry: &Entry<'_, '_>) {
        match DAEMON.iter().find(|known| **known == entry.key) {
            Some(known) => _ = self.path(known, entry),
            None => self.values.unknown("daemon", &DAEMON, entry),
        }
    }

    fn log(&mut self, entry: &Entry<'_, '_>) {
        match entry.key {
            "level" => {
                let level = self.values.choice(entry, &LEVELS);
                self.log.level = level.unwrap_or(self.log.level);
            }
            "format" => {
                let format = self.values.choice(entry, &FORMATS);
                self.log.format = format.unwrap_or(self.log.format);
            }
            "file" => self.log.file = self.path("file", entry),
            _ => self.values.unknown("log", &LOG, entry),
        }
    }

    fn path(&mut self, key: &'static str, entry: &Entry<'_, '_>) -> Option<PathBuf> {
        let path = self.values.path(entry)?;
        self.paths.insert(key, (path.clone(), entry.span.clone()));
        Some(path)
    }

    fn defaults(&mut self, table: &DeTable<'_>) {
        let mut shares = Vec::new();
        for entry in entries(table) {
            let understood = match options::find(entry.key) {
                Some(rule) => self.option(rule, &entry),
                None if entry.key == "drain" => self.drain(&entry),
                None => {
                    self.values.unknown("defaults", &defaults_keys(), &entry);
                    None
                }
            };
            if SHARES.contains(&entry.key) {
                shares.push((entry.span, understood.is_some()));
            }
        }
        if shares.iter().all(|(_, is_right)| *is_right) {
            let last = shares.into_iter().last();
            last.into_iter().for_each(|(span, _)| self.shares(span));
        }
    }

    fn option(&mut self, rule: &'static Rule, entry: &Entry<'_, '_>) -> Option<()> {
        let read = word(rule, entry.value).and_then(|word| rule.read(&word, self.values.base));
        let setting = self.values.take(entry.span.clone(), read)?;
        self.defaults.push(setting);
        Some(())
    }

    fn drain(&mut self, entry: &Entry<'_, '_>) -> Option<()> {
        let help = options::time_help(&DRAIN);
        let word = self.values.string(entry, &help)?;
        let read = options::time_within(&word, &DRAIN);
        let read = read.map_err(|why| cannot_be("drain", &word, why.0, help));
        self.drain = self.values.take(entry.span.clone(), read)?;
        Some(())
    }

    /// A host that is given nothing of its own must be a possible one.
    fn shares(&mut self, span: Range<usize>) {
        let nowhere = Address::Unix { path: PathBuf::new() };
        let mut host = HostSettings::with_defaults("", nowhere, Dialect::Line);
        self.defaults.iter().for_each(|setting| setting(&mut host));
        self.values.take(span, check_shares(&host));
    }

    /// What was given, or where things are without a word about them.
    fn daemon_settings(&self) -> DaemonSettings {
        let given = |key| self.paths.get(key).map(|(path, _)| path.clone());
        let run_dir = given("run_dir").unwrap_or_else(|| PathBuf::from("/run/tieline"));
        DaemonSettings {
            spool_dir: given("spool_dir").unwrap_or_else(|| PathBuf::from("/var/spool/tieline")),
            hosts_tab: given("hosts_tab").unwrap_or_else(|| self.values.base.join("hosts.tab")),
            pid_file: given("pid_file").unwrap_or_else(|| run_dir.join("tieline.pid")),
            status_file: given("status_file").unwrap_or_else(|| run_dir.join("status.txt")),
            run_dir,
        }
    }

    /// What is written must not be written over something else.
    fn distinct(&mut self, daemon: &DaemonSettings, file: &Path) {
        let log = self.log.file.clone();
        let registry = self.registry.settings(daemon).map(|registry| registry.file);
        let mut seen = vec![("tieline.toml", file), ("hosts_tab", &daemon.hosts_tab)];
        let written = [("pid_file", daemon.pid_file.as_path()), ("status_file", &daemon.status_file)];
        let files = log.as_deref().map(|path| ("file", path));
        let files = files.into_iter().chain(registry.as_deref().map(|path| ("registry.file", path)));
        for (key, path) in written.into_iter().chain(files) {
            if let Some((twin, _)) = seen.iter().find(|(_, other)| *other == path) {
                self.twins(key, twin);
            }
            seen.push((key, path));
        }
    }

    fn twins(&mut self, key: &str, twin: &str) {
        let given = [key, twin].iter().find_map(|key| match *key {
            "registry.file" => self.registry.file.as_ref(),
            key => self.paths.get(key),
        });
        let span = given.map_or(0..0, |(_, span)| span.clone());
        let what = format!("`{key}` is the same file as `{twin}`");
        self.values.complain(span, what, "give each a path of its own");
    }
}

/// What the parser says is "what, expected this, that": its second half is the help, if there is no better one.
fn understood(message: &str, is_nothing: bool) -> (&str, String) {
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let help = match what {
        "string values must be quoted" if is_nothing => {
            return ("the value is missing", "write one after the `=`".into());
        }
        "string values must be quoted" => "put it in quotes".to_owned(),
        "duplicate key" => "each key is given once, each table opened once".to_owned(),
        "unexpected leading zero" => "remove it; permission bits stand in quotes, as in mode = \"0660\"".to_owned(),
        _ if expected.is_empty() => "see tieline.toml(5) for an example".to_owned(),
        _ if expected == "nothing" => "remove it".to_owned(),
        _ => format!("expected {expected}"),
    };
    (what, help)
}

fn defaults_keys() -> Vec<&'static str> {
    let mut keys = options::keys();
    keys.push("drain");
    keys
}

/// The table that a key belongs to, if there is one.
pub(super) fn belongs(key: &str) -> Option<String> {
    let table = match key {
        _ if DAEMON.contains(&key) => "daemon",
        _ if LOG.contains(&key) => "log",
        _ if defaults_keys().contains(&key) => "defaults",
        _ if registry::KEYS.contains(&key) => "registry",
        _ if serve::KEYS.contains(&key) => "serve.NAME",
        _ => return None,
    };
    Some(format!("`{key}` belongs to [{table}]"))
}
