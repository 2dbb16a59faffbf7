//! Which handler answers a request. Pure.
//!
//! Enters: a whole request. Leaves: the number of a handler, or none. Promised: a word counts before any expression, the
//! expressions in the file's order, the default last; a request need not be UTF-8.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::wire::{content, first_word};
use crate::config::serve::{HandlerSettings, Match, compiled};
use crate::dialect::Dialect;

/// See the head of this file.
#[derive(Debug)]
pub struct Choice {
    dialect: Dialect,
    words: HashMap<Vec<u8>, usize>,
    expressions: Vec<(Regex, usize)>,
    default: Option<usize>,
}

impl Choice {
    /// Among these handlers. An expression that cannot be compiled matches nothing; the configuration has none.
    #[must_use]
    pub fn new(dialect: Dialect, handlers: &[HandlerSettings]) -> Self {
        let mut choice = Self { dialect, words: HashMap::new(), expressions: Vec::new(), default: None };
        for (number, handler) in handlers.iter().enumerate() {
            match &handler.matches {
                Match::Default => choice.default = Some(number),
                Match::Word(word) => _ = choice.words.insert(folded(dialect, word.as_bytes()), number),
                Match::Regex(regex) => choice.expressions.extend(compiled(regex).ok().map(|regex| (regex, number))),
            }
        }
        choice
    }

    /// The handler for the whole request `frame`.
    #[must_use]
    pub fn pick(&self, frame: &[u8]) -> Option<usize> {
        self.by_word(frame).or_else(|| self.by_expression(frame)).or(self.default)
    }

    fn by_word(&self, frame: &[u8]) -> Option<usize> {
        if self.words.is_empty() {
            return None;
        }
        self.words.get(&folded(self.dialect, &first_word(self.dialect, frame))).copied()
    }

    fn by_expression(&self, frame: &[u8]) -> Option<usize> {
        if self.expressions.is_empty() {
            return None;
        }
        let content = content(self.dialect, frame);
        self.expressions.iter().find(|(regex, _)| regex.is_match(&content)).map(|(_, number)| *number)
    }
}

/// The commands of Redis may be written in capitals or not.
fn folded(dialect: Dialect, word: &[u8]) -> Vec<u8> {
    if dialect == Dialect::Resp { word.to_ascii_lowercase() } else { word.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::serve::{Action, Limits};

    fn choice(dialect: Dialect, matches: &[Match]) -> Choice {
        let limits = Limits::default();
        let handler = |matches: &Match| HandlerSettings::new(matches.clone(), Action::Echo, limits.clone());
        Choice::new(dialect, &matches.iter().map(handler).collect::<Vec<_>>())
    }

    fn word(word: &str) -> Match {
        Match::Word(word.to_owned())
    }

    #[test]
    fn a_word_counts_before_an_expression_and_both_before_the_default() {
        let any = Match::Regex("^a".to_owned());
        let choice = choice(Dialect::Line, &[Match::Default, any, word("add")]);
        let picked = ["add 1\n", "add\r\n", " add 1\n", "added\n", "Add\n", "\n"];
        let expected = [2, 2, 2, 1, 0, 0];
        assert_eq!(picked.map(|line| choice.pick(line.as_bytes())), expected.map(Some));
    }

    #[test]
    fn the_first_expression_that_is_found_counts() {
        let choice = choice(Dialect::Line, &[Match::Regex("b".to_owned()), Match::Regex("a|b".to_owned())]);
        assert_eq!(["ab\n", "a\n", "c\n"].map(|line| choice.pick(line.as_bytes())), [Some(0), Some(1), None]);
    }

    #[test]
    fn bytes_that_are_no_text_are_matched_as_well() {
        let choice = choice(Dialect::Len32, &[word("get"), Match::Regex("(?-u)\\xff$".to_owned())]);
        assert_eq!(choice.pick(b"\0\0\0\x02a\xff"), Some(1));
        assert_eq!(choice.pick(b"\0\0\0\x05get \xff"), Some(0));
    }

    #[test]
    fn commands_of_resp_may_be_written_in_capitals() {
        let choice = choice(Dialect::Resp, &[word("Get"), Match::Regex("^SET a".to_owned())]);
        assert_eq!(choice.pick(b"*2\r\n$3\r\ngET\r\n$1\r\na\r\n"), Some(0));
        assert_eq!(choice.pick(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"), Some(1));
    }
}
