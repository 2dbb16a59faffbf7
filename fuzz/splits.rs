//! What the targets of the framers share: the same bytes, in two splits, must be judged alike.
//!
//! Enters: the fuzzer's bytes. The first says how large a frame may be (0: 1 GiB), the second how the rest is cut
//! (0: byte by byte). Leaves: the frames of the rest. Promised: a panic if a frame depends on the split, exceeds the
//! limit, or ends where no byte was given.

use tieline::dialect::{Dialect, Expect, Fed, ReplyFramer, RequestFramer};

const HUGE: u64 = 1 << 30;

/// Frames the bytes as requests and gives each to `with`.
pub fn requests(dialect: Dialect, data: &[u8], with: impl FnMut(&[u8])) {
    let framer = |max| {
        let mut framer = RequestFramer::new(dialect, max);
        move |bytes: &[u8]| framer.feed(bytes)
    };
    frames(data, framer, with);
}

/// Frames the bytes as replies to what `expect` says, and gives each to `with`.
pub fn replies_to(dialect: Dialect, expect: Expect, data: &[u8], with: impl FnMut(&[u8])) {
    let framer = |max| {
        let mut framer = ReplyFramer::new(dialect, max);
        framer.expect(expect);
        move |bytes: &[u8]| framer.feed(bytes)
    };
    frames(data, framer, with);
}

/// Frames the bytes as replies and gives each to `with`.
pub fn replies(dialect: Dialect, data: &[u8], with: impl FnMut(&[u8])) {
    let framer = |max| {
        let mut framer = ReplyFramer::new(dialect, max);
        move |bytes: &[u8]| framer.feed(bytes)
    };
    frames(data, framer, with);
}

/// As [`replies`], on a connection of one's own, where no reply is too large; the first byte says nothing then.
pub fn session_replies(dialect: Dialect, data: &[u8], with: impl FnMut(&[u8])) {
    let framer = |_| {
        let mut framer = ReplyFramer::of_session(dialect);
        move |bytes: &[u8]| framer.feed(bytes)
    };
    let [_, data @ ..] = data else { return };
    frames(&[&[0], data].concat(), framer, with);
}

fn frames<F: FnMut(&[u8]) -> Fed>(data: &[u8], new: impl Fn(u64) -> F, mut with: impl FnMut(&[u8])) {
    let [max, piece, bytes @ ..] = data else { return };
    let max = if *max == 0 { HUGE } else { u64::from(*max) };
    let whole = run(new(max), bytes, bytes.len().max(1));
    assert_eq!(whole, run(new(max), bytes, usize::from(*piece).max(1)));
    let mut start = 0;
    for end in whole.0 {
        assert!((end - start) as u64 <= max);
        with(&bytes[start..end]);
        start = end;
    }
}

/// Where frames end, and what broke the stream behind the last of them.
fn run(mut feed: impl FnMut(&[u8]) -> Fed, bytes: &[u8], piece: usize) -> (Vec<usize>, Option<Fed>) {
    let (mut ends, mut at) = (Vec::new(), 0);
    for chunk in bytes.chunks(piece) {
        let end = at + chunk.len();
        while at < end {
            match feed(&bytes[at..end]) {
                Fed::Complete(n) => {
                    assert!(0 < n && n <= end - at);
                    at += n;
                    ends.push(at);
                }
                Fed::Partial => at = end,
                broken => return (ends, Some(broken)),
            }
        }
    }
    (ends, None)
}
