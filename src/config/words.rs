//! The words of a line, and where they stand in the file. Pure.
//!
//! Enters: a line and its place. Leaves: words up to the comment. Promised: a word's span is the word's own.

use std::ops::Range;

/// A word of a line, and where it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) start: usize,
}

impl<'a> Word<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }

    /// The part from the byte `from` of the word on.
    pub(super) fn part(&self, text: &'a str, from: usize) -> Self {
        Self { text, start: self.start + from }
    }
}

/// The words of a line up to its comment.
pub(super) fn words(start: usize, line: &str) -> Vec<Word<'_>> {
    let mut at = start;
    let mut found = Vec::new();
    for text in line.split([' ', '\t']) {
        if text.starts_with('#') {
            break;
        }
        if !text.is_empty() {
            found.push(Word { text, start: at });
        }
        at += text.len() + 1;
    }
    found
}
