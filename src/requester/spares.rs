//! Buffers for replies, kept for the next requester that needs one. Pure.
//!
//! Enters: the buffers of those who have taken their replies. Leaves: the same, empty. Promised: a requester that is idle
//! has none; all that are kept together have at most [`MOST`] × [`LARGEST`] bytes. Making a buffer for every reply, and
//! giving it up again, would cost more than all else that is done for a requester.

/// So many buffers are kept.
const MOST: usize = 64;

/// A larger buffer is not kept (bytes).
const LARGEST: usize = 2048;

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Spares {
    buffers: Vec<Vec<u8>>,
}

impl Spares {
    /// An empty buffer.
    #[must_use]
    #[inline]
    pub fn lend(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// A buffer is needed no more, whatever is in it.
    #[inline]
    pub fn take_back(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= LARGEST && self.buffers.len() < MOST {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_buffers_are_kept_and_no_large_one() {
        let mut spares = Spares::default();
        spares.take_back(Vec::with_capacity(LARGEST + 1));
        assert_eq!(spares.lend().capacity(), 0);
        (0..2 * MOST).for_each(|_| spares.take_back(vec![1; LARGEST]));
        assert_eq!(spares.buffers.len(), MOST);
        let lent = spares.lend();
        assert!(lent.is_empty() && lent.capacity() == LARGEST);
    }
}
