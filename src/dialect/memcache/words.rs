//! A command line, taken apart.
//!
//! ```text
//! line  = word *( 1*SP word ) *SP [CR] LF     ; a word may have any byte but SP, LF and zero in it
//! ```
//!
//! Enters: a request, or its line. Leaves: the line without its end, its words, their numbers. Promised: blanks alone
//! separate words, as in memcached; a number is read only if every version of memcached reads the same one.

use memchr::memchr;

/// The command line of a request, without CR LF.
pub(super) fn line(frame: &[u8]) -> &[u8] {
    let line = &frame[..memchr(b'\n', frame).unwrap_or(frame.len())];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The first word of a line, and what follows it.
pub(super) fn first(line: &[u8]) -> (&[u8], &[u8]) {
    line.split_at(memchr(b' ', line).unwrap_or(line.len()))
}

/// The words in what follows a first word.
pub(super) fn words(rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    rest.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

/// A number of digits alone.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    let digit = |value: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    };
    if word.is_empty() { None } else { word.iter().try_fold(0, digit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_nothing_else() {
        for (word, value) in [("0", 0), ("007", 7), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(word.as_bytes()), Some(value));
        }
        for word in ["", "-1", "+1", " 1", "1 ", "1\t", "0x1", "18446744073709551616", "1\r"] {
            assert_eq!(number(word.as_bytes()), None, "{word:?}");
        }
    }

    #[test]
    fn a_line_ends_before_its_cr_lf_and_blanks_alone_part_its_words() {
        assert_eq!(line(b"get a\r\nget b\r\n"), b"get a");
        assert_eq!(line(b"get a\n"), b"get a");
        assert_eq!(first(b"get  a\tb c "), (&b"get"[..], &b"  a\tb c "[..]));
        assert_eq!(words(b"  a\tb c ").collect::<Vec<_>>(), [&b"a\tb"[..], b"c"]);
    }
}
