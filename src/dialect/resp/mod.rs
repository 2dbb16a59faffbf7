//! The dialect `resp`: Redis RESP2 and RESP3.
//!
//! ```text
//! binding   what a session leaves behind on its connection    lesson   what the host says of its commands
//! pieces    length lines and bodies, which requests and replies share
//! request   where requests end         inline   commands as people type them     commands   which need a session
//! reply     where replies end          value    a reply as a tree                render     a reply for people
//!                                                                               raw        the same for programs
//! ```
//!
//! A failure is an error reply: `-CONLOST detail CR LF`. Its first word is a code as Redis' own (`-READONLY …`), which
//! every library hands to its program.

mod binding;
mod commands;
mod inline;
mod lesson;
mod pieces;
mod raw;
mod render;
mod reply;
mod request;
#[cfg(test)]
pub(super) mod samples;
mod simple;
#[cfg(test)]
mod tests;
mod value;

pub use binding::Binding;
pub use inline::split_inline;
pub use lesson::Lesson;
pub use raw::raw_reply;
pub use render::render_reply;
pub use value::Value;

pub(super) use reply::ReplyMachine;
pub(super) use request::RequestMachine;

use self::pieces::{CRLF, split_string, whole_length};
use super::{Failure, Wish};

/// Bytes of a failure's detail; an error reply is for reading.
const MAX_DETAIL: usize = 480;

/// The error reply for `failure`.
pub(super) fn failure(failure: Failure, detail: &str, out: &mut Vec<u8>) {
    out.push(b'-');
    out.extend(failure.word().bytes().filter(|&byte| byte != b'_').map(|byte| byte.to_ascii_uppercase()));
    if !detail.is_empty() {
        out.push(b' ');
        push_line(detail, out);
    }
    out.extend_from_slice(CRLF);
}

/// Appends as much of `text` as a line may have, control characters as blanks.
pub(super) fn push_line(text: &str, out: &mut Vec<u8>) {
    for (_, c) in text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= MAX_DETAIL) {
        let c = if c.is_control() { ' ' } else { c };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// One whole reply as a tree; nothing for what is none.
#[must_use]
pub fn read_reply(reply: &[u8]) -> Option<Value<'_>> {
    Value::read(reply)
}

/// What the complete request `frame` wants.
pub(super) fn wish(frame: &[u8]) -> Wish {
    if frame.first() != Some(&b'*') {
        return inline::wish(frame);
    }
    let mut words = Words::of(frame);
    words.next().map_or(Wish::Nothing, |name| commands::wish(name, words))
}

/// The words of a complete request in array form.
struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Words<'a> {
    fn of(frame: &'a [u8]) -> Self {
        let line = frame.get(1..).unwrap_or_default();
        let rest = whole_length(line).and_then(|(_, head)| line.get(head..));
        Self { rest: rest.unwrap_or_default() }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (word, rest) = split_string(self.rest)?;
        self.rest = rest;
        Some(word)
    }
}

/// The words of a complete request in array form.
pub fn command_words(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    Words::of(frame)
}

/// Appends the request that consists of `words`, as an array of strings.
pub fn encode_command<W: AsRef<[u8]>>(words: &[W], out: &mut Vec<u8>) {
    push_length(b'*', words.len(), out);
    for word in words {
        let word = word.as_ref();
        push_length(b'$', word.len(), out);
        out.extend_from_slice(word);
        out.extend_from_slice(CRLF);
    }
}

fn push_length(mark: u8, length: usize, out: &mut Vec<u8>) {
    out.push(mark);
    out.extend_from_slice(length.to_string().as_bytes());
    out.extend_from_slice(CRLF);
}
