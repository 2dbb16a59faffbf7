//! Data blocks: so many bytes, then CR LF.
//!
//! Enters: bytes in any split. Leaves: where the block ends. Promised: what is in it is skipped unread; a block that does
//! not end in CR LF where its length says is known as such, for then nothing behind it can be trusted.

/// So many bytes have yet to come, CR LF included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    left: u64,
}

/// How a block went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All bytes belong to it, and it goes on.
    On,
    /// It ends behind so many of the bytes.
    End(usize),
    /// It should end, and does not.
    Bad,
}

impl Data {
    /// A block of `length` bytes and CR LF.
    pub(super) fn of(length: u64) -> Self {
        Self { left: length + 2 }
    }

    /// A block of which so many bytes have yet to come.
    pub(super) fn with(left: u64) -> Self {
        Self { left }
    }

    /// All bytes that it has from here on.
    pub(super) fn left(self) -> u64 {
        self.left
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let before = self.left;
        self.left -= taken as u64;
        // Only the last two bytes are looked at.
        let is = |from_end: u64, byte: u8| {
            let in_these = from_end <= before && from_end > self.left;
            !in_these || usize::try_from(before - from_end).is_ok_and(|at| bytes[at] == byte)
        };
        match () {
            () if !is(2, b'\r') || !is(1, b'\n') => Step::Bad,
            () if self.left == 0 => Step::End(taken),
            () => Step::On,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_ends_behind_its_cr_lf_in_every_split() {
        let whole = b"ab\r\ncd\r\nrest";
        for cut in 1..8 {
            let mut data = Data::of(6);
            assert_eq!(data.feed(&whole[..cut]), Step::On, "{cut}");
            assert_eq!(data.feed(&whole[cut..]), Step::End(8 - cut), "{cut}");
        }
        assert_eq!(Data::of(0).feed(b"\r\n"), Step::End(2));
    }

    #[test]
    fn a_block_that_is_longer_or_shorter_than_said_is_noticed() {
        for bytes in [&b"abc\r\n"[..], b"a\r\nx", b"ab\n\r", b"ab\rx"] {
            let mut data = Data::of(2);
            assert_eq!(data.feed(bytes), Step::Bad, "{bytes:?}");
        }
        let mut data = Data::of(2);
        assert_eq!((data.feed(b"ab\r"), data.feed(b"x")), (Step::On, Step::Bad));
    }
}
