//! Inline requests: a command as people type it.
//!
//! ```text
//! line    = [blanks] [ word *( blanks word ) ] [blanks] [CR] [LF]
//! word    = 1*( char / double / single )            ; char: no blank, no quote, no zero byte
//! double  = DQUOTE *( "\x" 2HEXDIG / "\" any / char or blank or "'" ) DQUOTE   ; \n \r \t \b \a, else the byte itself
//! single  = "'" *( "\'" / anything but "'" ) "'"
//! blank   = SP / HT / LF / CR / VT / FF             ; VT and FF do not end a word that has begun
//! ```
//!
//! A closing quote must be followed by a blank or the end. Source: `sdssplitargs` of Redis.
//!
//! Enters: one line. Leaves: its words, or what is wrong with it. Promised: the words are never longer than the line.

use super::{commands, encode_command};
use crate::dialect::Wish;

const UNBALANCED: &str = "unbalanced quotes in request";

/// Splits a line into words as Redis does.
///
/// # Errors
/// The text says what is wrong: quotes that are not closed, or closed in mid-word, or a zero byte.
pub fn split_inline(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    if memchr::memchr(0, line).is_some() {
        return Err("zero byte in an inline request");
    }
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.iter().position(|&byte| !is_blank(byte)) {
        let mut word = Vec::new();
        rest = take_word(&rest[at..], &mut word)?;
        words.push(word);
    }
    Ok(words)
}

/// What an inline request wants: as the array of its words.
pub(super) fn wish(line: &[u8]) -> Wish {
    let words = match split_inline(line) {
        Ok(words) => words,
        Err(wrong) => return Wish::Malformed(wrong),
    };
    let Some((name, arguments)) = words.split_first() else {
        return Wish::Nothing;
    };
    if speaks_http(&words) {
        return Wish::Malformed(commands::HTTP);
    }
    match commands::wish(name, arguments.iter().map(Vec::as_slice)) {
        malformed @ Wish::Malformed(_) => malformed,
        // What the command wants is asked of the array.
        _ => Wish::ForwardAs(as_array(&words)),
    }
}

fn as_array(words: &[Vec<u8>]) -> Vec<u8> {
    let mut array = Vec::new();
    encode_command(words, &mut array);
    array
}

/// Whether this is the first line of an HTTP request, `GET /path HTTP/1.1`: no command of Redis looks like that, and
/// the headers behind it would be taken for commands.
fn speaks_http(words: &[Vec<u8>]) -> bool {
    const METHODS: [&[u8]; 6] = [b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"];
    let [method, _, version] = words else { return false };
    METHODS.contains(&method.as_slice()) && version.starts_with(b"HTTP/1.")
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Takes a word that begins at `bytes`; gives back what follows it.
fn take_word<'a>(bytes: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return Ok(rest),
            b'"' => return end_quote(take_double(after, word)?),
            b'\'' => return end_quote(take_single(after, word)?),
            _ => word.push(byte),
        }
        rest = after;
    }
    Ok(rest)
}

/// A quoted part ends its word.
fn end_quote(rest: &[u8]) -> Result<&[u8], &'static str> {
    match rest.first() {
        Some(&byte) if !is_blank(byte) => Err(UNBALANCED),
        _ => Ok(rest),
    }
}

fn take_double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        rest = match *rest {
            [b'"', ref after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, ref after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(high) << 4 | hex(low));
                after
            }
            [b'\\', escaped, ref after @ ..] => {
                word.push(unescape(escaped));
                after
            }
            [byte, ref after @ ..] => {
                word.push(byte);
                after
            }
            [] => return Err(UNBALANCED),
        }
    }
}

fn take_single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        rest = match *rest {
            [b'\'', ref after @ ..] => return Ok(after),
            [b'\\', b'\'', ref after @ ..] => {
                word.push(b'\'');
                after
            }
            [byte, ref after @ ..] => {
                word.push(byte);
                after
            }
            [] => return Err(UNBALANCED),
        }
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a') + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<String>, &'static str> {
        split_inline(line.as_bytes()).map(|words| words.iter().map(|word| word.escape_ascii().to_string()).collect())
    }

    #[test]
    fn lines_are_split_as_redis_splits_them() {
        for (line, words) in [
            ("", &[][..]),
            (" \t\x0b\x0c\r\n", &[]),
            ("PING\r\n", &["PING"]),
            ("  set  k\tv \n", &["set", "k", "v"]),
            ("a\x0bb c\x0c", &[r"a\x0bb", r"c\x0c"]),
            (r#"set k "a b""#, &["set", "k", "a b"]),
            (r#"k"a b" c"#, &["ka b", "c"]),
            (r#""\x41\x0a\n\r\t\b\a\"\\\z\xg1""#, &[r#"A\n\n\r\t\x08\x07\"\\zxg1"#]),
            (r#"'it\'s' 'a\n' "#, &[r"it\'s", r"a\\n"]),
            (r#""" '' x"#, &["", "", "x"]),
            (r"a\nb", &[r"a\\nb"]),
        ] {
            assert_eq!(split(line), Ok(words.iter().map(ToString::to_string).collect()), "{line:?}");
        }
    }

    #[test]
    fn unbalanced_quotes_are_named() {
        for line in [r#""a"#, "'a", r#""a"b"#, "'a'b", r#""a\""#, "'a\\'", r#"a"b"#, r#""a""b""#] {
            assert_eq!(split(line), Err(UNBALANCED), "{line:?}");
        }
        assert!(split("a\0b").is_err());
    }

    #[test]
    fn an_inline_command_is_sent_on_as_an_array() {
        assert_eq!(wish(b"set k 'a b'\r\n"), Wish::ForwardAs(b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$3\r\na b\r\n".to_vec()));
        assert_eq!(wish(b"\r\n"), Wish::Nothing);
        assert_eq!(wish(b"\n"), Wish::Nothing);
        assert_eq!(wish(b"get \"\n"), Wish::Malformed(UNBALANCED));
    }

    #[test]
    fn http_is_refused_with_a_clear_word_and_keys_that_look_like_it_are_not() {
        for line in ["GET / HTTP/1.1\r\n", "PUT /x HTTP/1.0\r\n", "POST / HTTP/1.1\r\n", "post\n", "Host: a\r\n"] {
            assert_eq!(wish(line.as_bytes()), Wish::Malformed(commands::HTTP), "{line:?}");
        }
        for line in ["SET k HTTP/1.1\r\n", "GET HTTP/1.1\r\n", "GET Host:\r\n"] {
            assert!(matches!(wish(line.as_bytes()), Wish::ForwardAs(_)), "{line:?}");
        }
    }
}
