//! The tables `[serve]` and `[serve.NAME]`.
//!
//! Enters: the table `serve` of the file. Leaves: a [`ServeSettings`] for each table in it that could be understood, and
//! every complaint. Promised: two far ends never have one address.

use std::ops::Range;
use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::keys::{self, Common};
use super::once::{self, Memory};
use super::{HandlerSettings, Listen, Match, ServeSettings, TaskSettings, handler, values as read};
use crate::config::complaint::quoted;
use crate::config::fields::check_serve_name;
use crate::config::nearest::suggest;
use crate::config::rights;
use crate::config::toml_values::{Entry, Values, entries};
use crate::dialect::Dialect;
use crate::system::listen::Rights;

/// The keys of a listener, besides its limits.
pub(in crate::config) const KEYS: [&str; 14] = [
    "listen",
    "dialect",
    "cert",
    "key",
    "ca",
    "owner",
    "group",
    "mode",
    "register",
    "advertise",
    "dedupe",
    "keep",
    "handler",
    "task",
];

/// Reads the table `serve`.
pub(in crate::config) fn read(values: &mut Values<'_>, table: &DeTable<'_>) -> Vec<ServeSettings> {
    let mut common = Common::default();
    let (listeners, limits): (Vec<_>, Vec<_>) =
        entries(table).partition(|entry| matches!(entry.value, DeValue::Table(_)));
    for entry in limits {
        match keys::find(entry.key) {
            Some(rule) => rule.apply(values, &entry, &mut common),
            None => unknown(values, &entry, "serve", &keys::names(false)),
        }
    }
    let mut found: Vec<ServeSettings> = Vec::new();
    for entry in &listeners {
        let DeValue::Table(table) = entry.value else { continue };
        let Some(serve) = listener(values, entry, table, &common) else { continue };
        if let Some(twin) = found.iter().find(|other| other.listen == serve.listen) {
            let what = format!("[serve.{}] listens at {} already", twin.name, twin.listen);
            values.complain(entry.key_span.clone(), what, "give each an address of its own");
        }
        found.push(serve);
    }
    found
}

/// What has been read of a listener.
struct Draft {
    common: Common,
    listen: Option<Listen>,
    dialect: Dialect,
    rights: Rights,
    files: [Option<PathBuf>; 3],
    registers: bool,
    advertised: Option<String>,
    memory: Memory,
}

fn listener(
    values: &mut Values<'_>,
    entry: &Entry<'_, '_>,
    table: &DeTable<'_>,
    common: &Common,
) -> Option<ServeSettings> {
    let (name, span) = (entry.key, entry.key_span.clone());
    let complaints = values.complaints.len();
    values.take(entry.key_span.clone(), check_serve_name(entry.key));
    let rights = rights::DEFAULT;
    let common = common.clone();
    let (listen, dialect, files, advertised) = (None, Dialect::Line, [None, None, None], None);
    let memory = Memory::default();
    let mut draft = Draft { common, listen, dialect, rights, files, registers: true, advertised, memory };
    // The handlers inherit what may stand behind them.
    for entry in entries(table).filter(|entry| !matches!(entry.key, "handler" | "task")) {
        draft.key(values, &entry, name);
    }
    draft.check(values, span.clone(), entries(table).any(|entry| entry.key == "listen"));
    let (handlers, tasks) = work(values, table, name, &draft);
    if !entries(table).any(|entry| entry.key == "handler") {
        let help = format!("add a table [[serve.{name}.handler]] with one of exec, worker, forward and echo");
        values.complain(span.clone(), "it has no handler", help);
    }
    check_handlers(values, &handlers, span);
    draft.memory.check_sizes(values, draft.common.limits.max_request, &handlers);
    let is_sound = values.complaints.len() == complaints;
    draft.finish(values, name, handlers, tasks).filter(|_| is_sound)
}

/// The handlers and tasks of a table.
fn work(
    values: &mut Values<'_>,
    table: &DeTable<'_>,
    name: &str,
    Draft { common, memory, .. }: &Draft,
) -> (Vec<HandlerSettings>, Vec<TaskSettings>) {
    let (mut handlers, mut tasks) = (Vec::new(), Vec::new());
    for entry in entries(table).filter(|entry| matches!(entry.key, "handler" | "task")) {
        for (table, span) in handler::tables(values, &entry, name) {
            match entry.key {
                "handler" => handlers.extend(handler::handler(values, table, span, common, memory.is_wanted())),
                _ => tasks.extend(handler::task(values, table, span, common)),
            }
        }
    }
    (handlers, tasks)
}

fn check_handlers(values: &mut Values<'_>, handlers: &[HandlerSettings], span: Range<usize>) {
    for (at, one) in handlers.iter().enumerate() {
        if handlers.iter().take(at).any(|other| other.matches == one.matches) {
            let what = match one.matches {
                Match::Default => "two handlers have no `match`".to_owned(),
                _ => format!("two handlers have the match {}", quoted(&one.matches.to_string())),
            };
            values.complain(
                span.clone(),
                what,
                "the second one would never be asked: remove it, or change its `match`",
            );
        }
    }
}

impl Draft {
    fn key(&mut self, values: &mut Values<'_>, entry: &Entry<'_, '_>, name: &str) {
        match entry.key {
            "listen" => self.listen = read::listen(values, entry),
            "dialect" => self.dialect = read::dialect(values, entry).unwrap_or(self.dialect),
            "cert" => self.files[0] = values.path(entry),
            "key" => self.files[1] = values.path(entry),
            "ca" => self.files[2] = values.path(entry),
            key if rights::KEYS.contains(&key) => rights::read(values, entry, &mut self.rights),
            "register" => self.registers = values.flag(entry).unwrap_or(self.registers),
            "advertise" => self.advertised = read::advertised(values, entry),
            key if once::LISTENERS.contains(&key) => self.memory.key(values, entry),
            key => match keys::find(key) {
                Some(rule) => rule.apply(values, entry, &mut self.common),
                None => unknown(values, entry, &format!("serve.{name}"), &[&KEYS[..], &keys::names(false)].concat()),
            },
        }
    }

    /// What belongs together must be given together.
    fn check(&self, values: &mut Values<'_>, span: Range<usize>, listen_is_given: bool) {
        let [cert, key, ca] = self.files.each_ref().map(Option::is_some);
        let mut complain = |what: &str, help: &str| values.complain(span.clone(), what, help);
        match (&self.listen, cert, key) {
            (None, ..) if !listen_is_given => complain("it has no `listen`", "add listen = \"tcp:127.0.0.1:7000\""),
            (_, true, false) => complain("`cert` is given without `key`", "add `key` and the file of its private key"),
            (_, false, true) => complain("`key` is given without `cert`", "add `cert` and the file of its certificate"),
            (_, false, _) if ca => {
                complain("`ca` means nothing without `cert`", "add `cert` and `key`, or remove `ca`");
            }
            (Some(Listen::Unix(_)), true, _) => {
                complain("TLS is for TCP", "remove `cert`: what goes over a UNIX socket does not leave the machine");
            }
            _ => {}
        }
        if self.registers && self.advertised.is_none() && self.is_everywhere() {
            let help = "add advertise = \"tcp:HOST:PORT\" with a name of this machine, or register = false";
            complain("it listens at every address, none of which can be registered", help);
        }
        self.memory.check(values, self.dialect);
    }

    fn is_everywhere(&self) -> bool {
        matches!(self.listen, Some(Listen::Tcp(address)) if address.ip().is_unspecified())
    }

    fn finish(
        self,
        values: &Values<'_>,
        name: &str,
        handlers: Vec<HandlerSettings>,
        tasks: Vec<TaskSettings>,
    ) -> Option<ServeSettings> {
        let listen = self.listen?;
        let [cert, key, ca] = self.files;
        let register = self.registers.then(|| self.advertised.unwrap_or_else(|| listen.to_string()));
        let Common { limits, requesters, ttl } = self.common;
        Some(ServeSettings {
            name: name.to_owned(),
            listen,
            dialect: self.dialect,
            rights: self.rights,
            cert,
            key,
            ca,
            requesters,
            max_request: limits.max_request,
            patience: limits.timeout,
            register,
            ttl,
            dedupe: self.memory.keep(),
            dir: values.base.to_owned(),
            handlers,
            tasks,
        })
    }
}

fn unknown(values: &mut Values<'_>, entry: &Entry<'_, '_>, table: &str, keys: &[&str]) {
    let help = match entry.key {
        key if table == "serve" && KEYS.contains(&key) => format!("`{key}` belongs to a table [serve.NAME]"),
        key => suggest(key, keys, &format!("the keys of [{table}] are")),
    };
    values.complain(entry.key_span.clone(), format!("there is no key {} in [{table}]", quoted(entry.key)), help);
}
