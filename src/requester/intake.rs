//! From a requester's bytes to whole requests. Pure.
//!
//! Enters: bytes as they were read. Leaves: each request's bytes in one piece, as long as more are wanted. Promised: what
//! is complete in one read is never copied; what is large is read to where it is gathered, and given away from there
//! without a copy; between requests nothing is held.

use std::borrow::Cow;

use crate::dialect::{Dialect, Fed, RequestFramer};

/// A request of which so many bytes have yet to come is read to where it is gathered, and one of so many bytes given away
/// from there. Below that a copy costs less than the buffers that would be made and given up (bytes).
const LARGE: usize = 16 * 1024;

/// So much room is made at once for the rest of a request: what will never come shall cost little (bytes).
const ROOM: u64 = 1 << 20;

/// What the taker of a request wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next request.
    GoOn,
    /// A pause: further bytes are kept until [`Intake::take`] is called again.
    Pause,
}

/// Why a requester's bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// They are not of the dialect.
    #[error("{0}")]
    Malformed(&'static str),
    /// A request is larger than `max_request`.
    #[error("the request is larger than max_request")]
    TooLarge,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Intake {
    framer: RequestFramer,
    /// The bytes of a request that is not complete, then bytes that nobody has looked at.
    held: Vec<u8>,
    /// How many of them the framer has been fed.
    fed: usize,
}

impl Intake {
    /// For requests of `dialect`, each at most `max_request` bytes.
    #[must_use]
    pub fn new(dialect: Dialect, max_request: u64) -> Self {
        Self { framer: RequestFramer::new(dialect, max_request), held: Vec::new(), fed: 0 }
    }

    /// As [`Intake::new`], with bytes that somebody else has read. They are looked at when [`Intake::take`] is called.
    #[must_use]
    pub fn resumed(dialect: Dialect, max_request: u64, unread: Vec<u8>) -> Self {
        Self { held: unread, ..Self::new(dialect, max_request) }
    }

    /// The bytes that were read and not given to a taker.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.held
    }

    /// Where to read to, and how much: the rest of a large request, if that is what comes next. After a read into it
    /// [`Intake::take`] is to be called, with nothing fresh.
    pub fn room(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let missing = self.framer.missing();
        if missing < LARGE as u64 || self.has_more() {
            return None;
        }
        let most = usize::try_from(missing.min(ROOM)).unwrap_or(LARGE);
        self.held.reserve(most);
        Some((&mut self.held, most))
    }

    /// Takes freshly read bytes and gives each complete request to `taker`.
    ///
    /// # Errors
    /// Why the bytes cannot be taken; nothing after that can be.
    pub fn take(&mut self, fresh: &[u8], taker: &mut impl FnMut(Cow<'_, [u8]>) -> Flow) -> Result<(), Refusal> {
        if self.held.is_empty() {
            let (start, fed) = self.scan(fresh, 0, &mut |request| taker(Cow::Borrowed(request)))?;
            self.hold(&fresh[start..]);
            self.fed = fed - start;
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(fresh);
        let mut whole = false;
        let (start, fed) = self.scan(&held, self.fed, &mut |request| {
            whole = request.len() == held.len() && request.len() >= LARGE;
            if whole { Flow::Pause } else { taker(Cow::Borrowed(request)) }
        })?;
        if whole {
            self.fed = 0;
            taker(Cow::Owned(held));
            return Ok(());
        }
        if start < held.len() {
            held.drain(..start);
            self.held = held;
        }
        self.fed = fed - start;
        Ok(())
    }

    /// Keeps the beginning of a request, with room for the rest if that is large.
    fn hold(&mut self, beginning: &[u8]) {
        let missing = self.framer.missing().min(ROOM);
        if beginning.len() as u64 + missing >= LARGE as u64 {
            self.held.reserve_exact(beginning.len() + usize::try_from(missing).unwrap_or_default());
        }
        self.held.extend_from_slice(beginning);
    }

    /// Takes freshly read bytes of which nobody wants to know where requests end, and gives all that there are to `taker`.
    pub fn pass(&mut self, fresh: &[u8], taker: impl FnOnce(&[u8])) {
        self.fed = 0;
        let mut held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return taker(fresh);
        }
        held.extend_from_slice(fresh);
        taker(&held);
    }

    /// Whether the beginning of a request waits for its end.
    #[must_use]
    pub fn is_within_request(&self) -> bool {
        self.fed > 0
    }

    /// Whether bytes wait that nobody has looked at.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.held.len() > self.fed
    }

    /// Feeds the framer from `fed` on. Returns where the first incomplete request begins, and how far was fed.
    fn scan(
        &mut self,
        bytes: &[u8],
        mut fed: usize,
        taker: &mut impl FnMut(&[u8]) -> Flow,
    ) -> Result<(usize, usize), Refusal> {
        let mut start = 0;
        while fed < bytes.len() {
            match self.framer.feed(&bytes[fed..]) {
                Fed::Partial => fed = bytes.len(),
                Fed::Complete(length) => {
                    fed += length;
                    let flow = taker(&bytes[start..fed]);
                    start = fed;
                    if flow == Flow::Pause {
                        break;
                    }
                }
                Fed::Malformed(what) => return Err(Refusal::Malformed(what)),
                Fed::TooLarge => return Err(Refusal::TooLarge),
            }
        }
        Ok((start, fed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads as a session does: the rest of a large request to where it is gathered.
    fn read(intake: &mut Intake, bytes: &[u8], got: &mut Vec<Vec<u8>>, owned: &mut usize) {
        let mut taker = |request: Cow<'_, [u8]>| {
            *owned += usize::from(matches!(request, Cow::Owned(_)));
            got.push(request.into_owned());
            Flow::GoOn
        };
        let Some((held, most)) = intake.room() else { return intake.take(bytes, &mut taker).unwrap() };
        let (now, later) = bytes.split_at(most.min(bytes.len()));
        held.extend_from_slice(now);
        intake.take(b"", &mut taker).unwrap();
        if !later.is_empty() {
            read(intake, later, got, owned);
        }
    }

    #[test]
    fn a_large_request_is_gathered_once_and_given_away() {
        let large = [b"\0\x20\0\0", &[7; 2 << 20][..]].concat();
        let (mut intake, mut got, mut owned) = (Intake::new(Dialect::Len32, 16 << 20), Vec::new(), 0);
        for bytes in [&large, &large].into_iter().flat_map(|request| request.chunks(70_000)) {
            read(&mut intake, bytes, &mut got, &mut owned);
        }
        assert!(got == [large.clone(), large] && owned == 2, "{owned} were given away");
        assert_eq!(intake.held.capacity(), 0, "a buffer is kept");
    }

    #[test]
    fn a_request_that_only_says_that_it_is_large_makes_little_room() {
        let mut intake = Intake::new(Dialect::Len32, u64::MAX);
        read(&mut intake, b"\xff\xff\xff\xff", &mut Vec::new(), &mut 0);
        let (held, most) = intake.room().unwrap();
        assert!(held.capacity() <= 2 << 20 && most <= 1 << 20, "{} bytes", held.capacity());
    }

    proptest! {
        #[test]
        fn large_and_small_requests_come_whole_and_in_order_in_any_split(
            lengths in prop::collection::vec(prop_oneof![0u32..100, 16_000u32..90_000], 1..12),
            cuts in prop::collection::vec(1usize..80_000, 1..20),
        ) {
            let frame = |(at, length): (usize, &u32)| [&length.to_be_bytes()[..], &vec![at as u8; *length as usize]].concat();
            let expected: Vec<_> = lengths.iter().enumerate().map(frame).collect();
            let (bytes, mut got) = (expected.concat(), Vec::new());
            let (mut intake, mut rest) = (Intake::new(Dialect::Len32, 1 << 20), bytes.as_slice());
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                read(&mut intake, now, &mut got, &mut 0);
                rest = later;
                if rest.is_empty() { break; }
            }
            prop_assert!(got == expected);
            prop_assert!(!intake.is_within_request() && !intake.has_more());
        }

        #[test]
        fn every_split_and_every_pause_gives_the_same_requests(
            lines in prop::collection::vec("[a-z]{0,30}", 1..30),
            cuts in prop::collection::vec(1usize..40, 1..40),
            pauses in prop::collection::vec(any::<bool>(), 1..20),
        ) {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            let mut intake = Intake::new(Dialect::Line, 1000);
            let (mut got, mut pauses) = (Vec::new(), pauses.iter().cycle());
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                intake.take(now, &mut |request| {
                    got.push(String::from_utf8(request.to_vec()).unwrap());
                    if *pauses.next().unwrap() { Flow::Pause } else { Flow::GoOn }
                }).unwrap();
                rest = later;
                if rest.is_empty() && !intake.has_more() { break; }
            }
            let expected: Vec<_> = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(got, expected);
            prop_assert!(!intake.is_within_request());
        }

        /// At any point the intake may be given up, and another one goes on with what it had not given out.
        #[test]
        fn who_resumes_with_the_unread_bytes_gets_the_same_requests(
            lines in prop::collection::vec("[a-z]{0,30}", 1..30),
            cuts in prop::collection::vec((1usize..40, any::<bool>(), any::<bool>()), 1..40),
        ) {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            let mut intake = Intake::new(Dialect::Line, 1000);
            let (mut got, mut rest) = (Vec::new(), bytes.as_slice());
            for (cut, pauses, resumes) in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                intake.take(now, &mut |request| {
                    got.push(String::from_utf8(request.to_vec()).unwrap());
                    if *pauses { Flow::Pause } else { Flow::GoOn }
                }).unwrap();
                rest = later;
                if *resumes {
                    intake = Intake::resumed(Dialect::Line, 1000, intake.unread().to_vec());
                }
                if rest.is_empty() && !intake.has_more() { break; }
            }
            let expected: Vec<_> = lines.iter().map(|line| format!("{line}\n")).collect();
            prop_assert_eq!(got, expected);
        }
    }
}
