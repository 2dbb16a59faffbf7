//! A configuration file's text, and the places in it.
//!
//! Enters: a file's bytes, whatever they are. Leaves: text, lines, and complaints about byte ranges of it.
//! Promised: no byte panics; a place is the file's own line and column.

use std::ops::Range;
use std::path::Path;

use super::complaint::{Complaint, printable};

/// A file's text, with what it takes to find the line of a byte.
#[derive(Debug)]
pub(super) struct Source {
    /// The file's name, as complaints show it.
    name: String,
    /// The file's text without a byte order mark; what is not UTF-8 has become U+FFFD.
    pub(super) text: String,
    /// Where each line starts.
    starts: Vec<usize>,
    /// Where in `text` something that is not UTF-8 was replaced.
    broken: Vec<usize>,
}

impl Source {
    /// Takes a file's bytes, whatever they are.
    pub(super) fn new(file: &Path, bytes: &[u8]) -> Self {
        let (text, broken) = as_text(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { name: printable(&file.to_string_lossy()), text, starts, broken }
    }

    /// Complaints about what is not UTF-8, one for each line that has it, with the numbers of these lines.
    pub(super) fn not_utf8(&self) -> Vec<(usize, Complaint)> {
        let mut found: Vec<(usize, Complaint)> = Vec::new();
        for at in &self.broken {
            let line = self.line_number(*at);
            if found.last().is_none_or(|(last, _)| *last != line) {
                let complaint = self.at(*at..*at + 1, "this is not UTF-8", "save the file as UTF-8 or ASCII");
                found.push((line, complaint));
            }
        }
        found
    }

    /// The lines with the byte each starts at, without their LF or CR LF.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.starts.iter().map(|start| (*start, self.line_at(*start)))
    }

    /// The number of the line that holds the byte `at`, from 1.
    pub(super) fn line_number(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at).max(1)
    }

    /// A complaint about the bytes `span`; the caret stays within the span's first line.
    pub(super) fn at(&self, span: Range<usize>, what: impl Into<String>, help: impl Into<String>) -> Complaint {
        let line = self.line_number(span.start);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let text = self.line_at(start);
        let from = snapped(text, span.start.saturating_sub(start));
        let to = snapped(text, span.end.saturating_sub(start)).max(from);
        let count = |range: Range<usize>| text.get(range).map_or(0, |part| part.chars().count());
        Complaint::placed(&self.name, line, count(0..from), count(from..to), text).saying(what, help)
    }

    /// The rest of the line, from the byte `start` on.
    fn line_at(&self, start: usize) -> &str {
        let rest = self.text.get(start..).unwrap_or("");
        let line = rest.split('\n').next().unwrap_or("");
        line.strip_suffix('\r').unwrap_or(line)
    }
}

/// The bytes as text, and where in it something that is not UTF-8 was replaced.
fn as_text(bytes: &[u8]) -> (String, Vec<usize>) {
    let mut text = String::with_capacity(bytes.len());
    let mut broken = Vec::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            broken.push(text.len());
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    (text, broken)
}

/// The character's start at or before the byte `at`.
fn snapped(text: &str, at: usize) -> usize {
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    (0..=at.min(text.len())).rev().find(is_boundary).unwrap_or(0)
}
