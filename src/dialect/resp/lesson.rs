//! What the host says of its own commands: the reply to `COMMAND`.
//!
//! ```text
//! reply = array of [ name, arity, flags, first, last, step, categories, tips, key-specs, subcommands ]
//! flags = array or set of statuses;  subcommands = the same again, each named "container|subcommand" (since 7.0)
//! ```
//!
//! A command that the built-in table does not know becomes a session command if the host flags it as `blocking` (it may
//! wait), `pubsub` (more may come than was asked for) or `no_multi` (it is about the connection). All else that it could
//! say (`noscript`, `movablekeys`, …) is no reason to keep a command off a shared connection. Source:
//! <https://redis.io/docs/latest/commands/command/>.
//!
//! Enters: the whole reply, once. Leaves: which commands need a session besides those of the table. Promised: of a host
//! whose commands are all known nothing is kept, so that nothing is looked up.

use std::borrow::Cow;
use std::collections::HashMap;

use super::value::Value;
use super::{Words, commands};
use crate::dialect::{Act, Wish};

/// Bytes of the longest name that is taken seriously, subcommand included.
const LONGEST: usize = 32;

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    /// By name in upper case; `CONTAINER SUBCOMMAND` for subcommands.
    acts: HashMap<Box<str>, Act>,
    /// For each length of a name's first word: with which letters there are some, as bits. Nearly every request is told
    /// from those above by this alone.
    initials: [u32; LONGEST + 1],
}

impl Lesson {
    /// Reads the reply to `COMMAND`; none if nothing is to be learnt from it.
    #[must_use]
    pub fn read(reply: &[u8]) -> Option<Self> {
        let Value::Array(entries) = Value::read(reply)? else { return None };
        let mut lesson = Self { acts: HashMap::new(), initials: [0; LONGEST + 1] };
        entries.iter().for_each(|entry| lesson.learn(entry));
        (!lesson.acts.is_empty()).then_some(lesson)
    }

    /// What a complete request in array form wants, of which the built-in table knows nothing.
    #[must_use]
    pub fn wish(&self, request: &[u8]) -> Wish {
        let mut words = Words::of(request);
        let Some(name) = words.next().filter(|name| self.may_know(name)).and_then(upper) else {
            return Wish::Forward;
        };
        let found = self.acts.get_key_value(name.as_str()).or_else(|| {
            let subcommand = words.next().and_then(upper)?;
            self.acts.get_key_value(format!("{name} {subcommand}").as_str())
        });
        found.map_or(Wish::Forward, |(name, act)| Wish::Session { command: Cow::Owned(name.to_string()), act: *act })
    }

    fn may_know(&self, name: &[u8]) -> bool {
        self.initials.get(name.len()).is_some_and(|initials| initials & initial(name) != 0)
    }

    fn learn(&mut self, entry: &Value<'_>) {
        let Value::Array(fields) = entry else { return };
        let (Some(name), Some(flags)) = (fields.first().and_then(text), fields.get(2)) else { return };
        let mut parts = name.split(|byte| *byte == b'|');
        let (command, subcommand) = (parts.next().unwrap_or_default(), parts.next());
        if let Some(act) = act(flags)
            && !commands::is_known(command, subcommand)
            && let Some(name) = upper(&[command, subcommand.unwrap_or_default()].join(&b' '))
        {
            if let Some(initials) = self.initials.get_mut(command.len()) {
                *initials |= initial(command);
            }
            self.acts.insert(name.trim_end().into(), act);
        }
        if let Some(Value::Array(subcommands)) = fields.get(9) {
            subcommands.iter().for_each(|entry| self.learn(entry));
        }
    }
}

/// The bit of a name's first letter, whatever its case.
fn initial(name: &[u8]) -> u32 {
    name.first().map_or(0, |byte| 1 << (byte & 0x1f))
}

/// What a command with these flags does to its connection, as far as it must be feared.
fn act(flags: &Value<'_>) -> Option<Act> {
    let (Value::Array(flags) | Value::Set(flags)) = flags else { return None };
    let has = |flag: &str| flags.iter().filter_map(text).any(|known| known.eq_ignore_ascii_case(flag.as_bytes()));
    match () {
        () if has("pubsub") => Some(Act::Subscribes),
        () if has("blocking") => Some(Act::Once),
        () if has("no_multi") => Some(Act::Binds),
        () => None,
    }
}

fn text<'a>(value: &'a Value<'_>) -> Option<&'a [u8]> {
    match value {
        Value::Text(text) => Some(text),
        Value::Status(text) => Some(text),
        _ => None,
    }
}

/// A name in upper case, if it is short and safe to print.
fn upper(name: &[u8]) -> Option<String> {
    let sound = name.len() <= LONGEST && name.iter().all(|byte| (b' '..=b'~').contains(byte));
    sound.then(|| String::from_utf8_lossy(name).to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::encode_command;

    fn entry(name: &str, flags: &[&str], subcommands: &[String]) -> String {
        let flags: String = flags.iter().map(|flag| format!("+{flag}\r\n")).collect();
        let count = flags.lines().count();
        format!(
            "*10\r\n${}\r\n{name}\r\n:-2\r\n*{count}\r\n{flags}:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*{}\r\n{}",
            name.len(),
            subcommands.len(),
            subcommands.concat()
        )
    }

    fn read(entries: &[String]) -> Option<Lesson> {
        Lesson::read(format!("*{}\r\n{}", entries.len(), entries.concat()).as_bytes())
    }

    fn act_of(lesson: &Lesson, words: &str) -> Option<Act> {
        let mut request = Vec::new();
        encode_command(&words.split(' ').collect::<Vec<_>>(), &mut request);
        match lesson.wish(&request) {
            Wish::Session { act, .. } => Some(act),
            _ => None,
        }
    }

    #[test]
    fn what_the_host_flags_and_the_table_does_not_know_needs_a_session() {
        let lesson = read(&[
            entry("mod.wait", &["write", "blocking"], &[]),
            entry("newsubscribe", &["pubsub", "noscript"], &[]),
            entry("mod.get", &["readonly"], &[]),
            entry("box", &["admin"], &[entry("box|open", &["no_multi"], &[]), entry("box|look", &[], &[])]),
        ]);
        let lesson = lesson.unwrap();
        assert_eq!(act_of(&lesson, "MOD.wait a"), Some(Act::Once));
        assert_eq!(act_of(&lesson, "newsubscribe a"), Some(Act::Subscribes));
        assert_eq!(act_of(&lesson, "box Open 1"), Some(Act::Binds));
        for words in ["box look", "box", "mod.get a", "get a", "client list"] {
            assert_eq!(act_of(&lesson, words), None, "{words}");
        }
    }

    #[test]
    fn where_the_table_knows_better_the_flags_do_not_count() {
        let known = [entry("publish", &["pubsub"], &[]), entry("xread", &["blocking"], &[])];
        assert_eq!(read(&known), None);
        let containers = [
            entry("pubsub", &[], &[entry("pubsub|channels", &["pubsub"], &[])]),
            entry("client", &[], &[entry("client|kill", &["no_multi"], &[]), entry("client|new", &["blocking"], &[])]),
        ];
        let lesson = read(&containers).unwrap();
        assert_eq!(act_of(&lesson, "PUBSUB CHANNELS"), None);
        assert_eq!(act_of(&lesson, "CLIENT NEW"), Some(Act::Once));
    }

    #[test]
    fn what_is_no_list_of_commands_teaches_nothing() {
        for reply in ["-ERR unknown command 'COMMAND'\r\n", "*0\r\n", "*1\r\n:1\r\n", "*2\r\n", "+OK\r\n", "x"] {
            assert_eq!(Lesson::read(reply.as_bytes()), None, "{reply:?}");
        }
    }
}
