//! The dialect `line`: a frame is everything up to and including the next LF (0x0A).
//!
//! ```text
//! frame = *( any byte but LF ) LF        ; a CR before the LF is part of the line, an empty line is a frame
//! ```
//!
//! Enters: bytes in any split. Leaves: where lines end. Promised: each byte is looked at once, by `memchr`.

use super::{Failure, Fed};

/// Finds the end of a line; a line that is not complete needs no memory of what it was.
pub(super) fn feed(bytes: &[u8]) -> Fed {
    memchr::memchr(b'\n', bytes).map_or(Fed::Partial, |lf| Fed::Complete(lf + 1))
}

/// The word alone, as a line.
pub(super) fn failure(failure: Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(failure.word().as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_behind_its_first_lf() {
        assert_eq!(feed(b"a\r\nb\n"), Fed::Complete(3));
        assert_eq!(feed(b"\n"), Fed::Complete(1));
        assert_eq!(feed(b"a\r"), Fed::Partial);
    }
}
