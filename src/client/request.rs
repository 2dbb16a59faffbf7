//! What a program asks for → a request in the host's dialect. Pure.
//!
//! Enters: a text or words. Leaves: one framed request, or why there is none. Promised: what is framed is exactly one
//! request, which has exactly one reply; so whatever stands in a text or a word, it can bring about no second request.
//!
//! ```text
//!          text                                      words
//! line     the line, without its LF                  joined by blanks
//! len32    the body                                  joined by blanks
//! resp     a command as people type it: quotes       a command and its arguments, each as it is
//!          keep blanks together, "\n" and "\x41"
//! memcache the command, and behind CR LF the value   joined by blanks
//!          if it has one; without the last CR LF
//! ```
//!
//! For `resp` take words wherever an argument comes from outside: in a text it would be taken apart at its blanks.

use std::borrow::Cow;

use thiserror::Error;

use crate::dialect::{Act, Dialect, Fed, RequestFramer, Wish, encode_command, split_inline};

/// A request as a program says it; made of texts and lists of words by `From`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// All of it.
    Text(Cow<'a, [u8]>),
    /// A command and its arguments.
    Words(Vec<Cow<'a, [u8]>>),
}

/// Why something is no request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unfit {
    /// It would be several lines.
    #[error(
        "a request of the dialect `line` is one line, and this one has a line break in it; give several requests, one \
         per line"
    )]
    LineBreak,
    /// There is nothing in it that the host would answer.
    #[error("the request is empty")]
    Empty,
    /// It is not of the dialect; the text says what is wrong.
    #[error("{0}")]
    Inline(&'static str),
    /// Nobody would answer it.
    #[error(
        "memcached answers nothing to this, so that there would be nothing to wait for: leave `noreply` or `q` out"
    )]
    NoReply,
    /// It has no reply that ends.
    #[error(
        "nothing tells where the answer to this ends, so that it cannot be waited for: give it to the host's socket \
         itself, for instance with `nc -U`"
    )]
    Endless,
    /// It means something to its connection alone, which may be another one for the next request.
    #[error(
        "{command} changes the connection that it is sent on, and this client may be on another one at its next \
         request: give the host's socket to a library of the protocol's own"
    )]
    Binding {
        /// The command.
        command: Cow<'static, str>,
    },
    /// It is larger than allowed.
    #[error("the request is larger than this host's max_request of {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: u64,
    },
}

pub(crate) const NO_VALUE: &str = "its value is missing or too short; it follows the command in a line of its own";
const SEVERAL: &str = "this is more than one request; give them one by one";

impl Request<'_> {
    /// As one frame of `dialect` that has at most `max` bytes.
    ///
    /// # Errors
    /// It is none, or not one.
    pub fn framed(&self, dialect: Dialect, max: u64) -> Result<Vec<u8>, Unfit> {
        let request = match dialect {
            Dialect::Line => line(&self.joined())?,
            Dialect::Len32 => body(&self.joined(), max)?,
            Dialect::Resp => self.command()?,
            Dialect::Memcache => [&self.joined(), &b"\r\n"[..]].concat(),
        };
        if dialect == Dialect::Memcache {
            is_one(&request, max)?;
            has_reply(&request)?;
        }
        if request.len() as u64 > max { Err(Unfit::TooLarge { max }) } else { Ok(request) }
    }

    fn joined(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Words(words) => Cow::Owned(words.join(&b' ')),
        }
    }

    fn command(&self) -> Result<Vec<u8>, Unfit> {
        let mut request = Vec::new();
        match self {
            Self::Text(text) => match split_inline(text).map_err(Unfit::Inline)? {
                words if words.is_empty() => return Err(Unfit::Empty),
                words => encode_command(&words, &mut request),
            },
            Self::Words(words) if words.is_empty() => return Err(Unfit::Empty),
            Self::Words(words) => encode_command(words, &mut request),
        }
        Ok(request)
    }
}

fn line(text: &[u8]) -> Result<Vec<u8>, Unfit> {
    match memchr::memchr(b'\n', text) {
        Some(_) => Err(Unfit::LineBreak),
        None => Ok([text, b"\n"].concat()),
    }
}

/// The body behind its length.
pub(crate) fn body(bytes: &[u8], max: u64) -> Result<Vec<u8>, Unfit> {
    let length = u32::try_from(bytes.len()).map_err(|_| Unfit::TooLarge { max })?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

fn is_one(request: &[u8], max: u64) -> Result<(), Unfit> {
    match RequestFramer::new(Dialect::Memcache, max).feed(request) {
        Fed::Complete(end) if end == request.len() => Ok(()),
        Fed::Complete(_) => Err(Unfit::Inline(SEVERAL)),
        Fed::Partial => Err(Unfit::Inline(NO_VALUE)),
        Fed::Malformed(what) => Err(Unfit::Inline(what)),
        Fed::TooLarge => Err(Unfit::TooLarge { max }),
    }
}

/// Checks that a request of `memcache` has a reply that can be waited for.
pub(crate) fn has_reply(request: &[u8]) -> Result<(), Unfit> {
    match Dialect::Memcache.wish(request) {
        _ if Dialect::Memcache.expect(request).is_run() => Err(Unfit::NoReply),
        Wish::Quit => Err(Unfit::NoReply),
        Wish::Session { .. } => Err(Unfit::Endless),
        _ => Ok(()),
    }
}

/// One frame that means the same on whatever connection it is sent.
pub(super) fn framed(request: &Request<'_>, dialect: Dialect, max: u64) -> Result<Vec<u8>, Unfit> {
    let frame = request.framed(dialect, max)?;
    is_free(dialect, &frame)?;
    Ok(frame)
}

/// Checks that the framed `request` means the same on whatever connection it is sent.
fn is_free(dialect: Dialect, request: &[u8]) -> Result<(), Unfit> {
    let binding = |command| Err(Unfit::Binding { command });
    match dialect.wish(request) {
        Wish::Session { act: Act::Plain | Act::Waits | Act::Once, .. } | Wish::Forward => Ok(()),
        Wish::ForwardAs(_) | Wish::Note(_) => Ok(()),
        Wish::Session { command, .. } => binding(command),
        Wish::Hello(_) => binding("HELLO".into()),
        Wish::Quit => binding("QUIT".into()),
        Wish::Nothing => Err(Unfit::Empty),
        Wish::Malformed(what) => Err(Unfit::Inline(what)),
    }
}

impl<'a> From<&'a str> for Request<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.as_bytes().into())
    }
}

impl<'a> From<&'a String> for Request<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text.as_bytes().into())
    }
}

impl From<String> for Request<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes().into())
    }
}

impl<'a> From<&'a [u8]> for Request<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self::Text(text.into())
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Request<'a> {
    fn from(text: &'a [u8; N]) -> Self {
        Self::Text(text.as_slice().into())
    }
}

impl<'a, W: AsRef<[u8]> + ?Sized, const N: usize> From<[&'a W; N]> for Request<'a> {
    fn from(words: [&'a W; N]) -> Self {
        words.as_slice().into()
    }
}

impl<'a, W: AsRef<[u8]> + ?Sized> From<&[&'a W]> for Request<'a> {
    fn from(words: &[&'a W]) -> Self {
        Self::Words(words.iter().map(|word| Cow::Borrowed((*word).as_ref())).collect())
    }
}

impl<'a> From<&'a [String]> for Request<'a> {
    fn from(words: &'a [String]) -> Self {
        Self::Words(words.iter().map(|word| Cow::Borrowed(word.as_bytes())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed<'a>(dialect: Dialect, request: impl Into<Request<'a>>) -> Result<String, Unfit> {
        request.into().framed(dialect, 64).map(|request| request.escape_ascii().to_string())
    }

    #[test]
    fn a_text_is_one_request_of_the_dialect() {
        assert_eq!(framed(Dialect::Line, "a b").unwrap(), r"a b\n");
        assert_eq!(framed(Dialect::Line, "").unwrap(), r"\n");
        assert_eq!(framed(Dialect::Len32, b"a\n").unwrap(), r"\x00\x00\x00\x02a\n");
        assert_eq!(framed(Dialect::Resp, "GET 'a b'").unwrap(), r"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n");
        let one = r"*4\r\n$3\r\nGET\r\n$1\r\na\r\n$3\r\nGET\r\n$1\r\nb\r\n";
        assert_eq!(framed(Dialect::Resp, "GET a\r\nGET b").unwrap(), one, "a line break is a blank: it ends nothing");
        assert_eq!(framed(Dialect::Memcache, "set k 0 0 1\r\nx").unwrap(), r"set k 0 0 1\r\nx\r\n");
    }

    #[test]
    fn words_are_one_request_of_the_dialect() {
        assert_eq!(framed(Dialect::Line, ["a b", "", "c"]).unwrap(), r"a b  c\n");
        assert_eq!(framed(Dialect::Len32, ["a", "b"]).unwrap(), r"\x00\x00\x00\x03a b");
        assert_eq!(framed(Dialect::Resp, ["GET", "a\r\nb"]).unwrap(), r"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
        assert_eq!(framed(Dialect::Resp, [""]).unwrap(), r"*1\r\n$0\r\n\r\n");
        assert_eq!(framed(Dialect::Memcache, ["get", "a", "b"]).unwrap(), r"get a b\r\n");
    }

    #[test]
    fn what_is_no_request_or_more_than_one_is_refused_here() {
        assert_eq!(framed(Dialect::Line, "a\nb"), Err(Unfit::LineBreak));
        assert_eq!(framed(Dialect::Line, ["a", "b\n"]), Err(Unfit::LineBreak));
        assert_eq!(framed(Dialect::Resp, " "), Err(Unfit::Empty));
        assert_eq!(framed::<'_>(Dialect::Resp, &[] as &[&str]), Err(Unfit::Empty));
        assert_eq!(framed(Dialect::Resp, "GET 'a"), Err(Unfit::Inline("unbalanced quotes in request")));
        assert_eq!(framed(Dialect::Memcache, "get a\r\nget b"), Err(Unfit::Inline(SEVERAL)));
        assert_eq!(framed(Dialect::Memcache, "set k 0 0 1"), Err(Unfit::Inline(NO_VALUE)));
        for dialect in Dialect::ALL {
            assert_eq!(framed(dialect, "x".repeat(65)), Err(Unfit::TooLarge { max: 64 }), "{dialect:?}");
        }
    }

    #[test]
    fn what_has_no_reply_is_refused_here() {
        for endless in ["watch", "lru_crawler metadump all", "nonsense"] {
            assert_eq!(framed(Dialect::Memcache, endless), Err(Unfit::Endless));
        }
        for silent in ["delete k noreply", "mg k q", "quit"] {
            assert_eq!(framed(Dialect::Memcache, silent), Err(Unfit::NoReply));
        }
    }

    #[test]
    fn a_command_that_binds_its_connection_is_refused_and_one_that_only_waits_is_not() {
        let check = |text: &str| is_free(Dialect::Resp, &Request::from(text).framed(Dialect::Resp, 100).unwrap());
        for free in ["GET a", "BLPOP list 1", "WAIT 0 0", "NONSENSE"] {
            assert_eq!(check(free), Ok(()), "{free}");
        }
        for binding in [
            "MULTI",
            "SELECT 5",
            "SUBSCRIBE a",
            "HELLO 3",
            "CLIENT TRACKING ON",
            "RESET",
            "MONITOR",
            "CLIENT REPLY OFF",
        ] {
            assert!(matches!(check(binding), Err(Unfit::Binding { .. })), "{binding}");
        }
    }
}
