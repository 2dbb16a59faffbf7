//! Framers: find where requests and replies end, whatever the dialect, within a limit.
//!
//! Enters: a stream's bytes, each once, in any split. Leaves: [`Fed`], the end of the frame or why there will be none.
//! Promised: the split changes nothing; no frame larger than the limit is ever completed, and the one that will be
//! larger is known as early as its dialect allows; what has ended badly stays ended.

use super::len32::Len32;
use super::memcache;
use super::resp::{ReplyMachine, RequestMachine};
use super::{Dialect, Expect, Fed, line};

/// Frames the requests of one requester.
#[derive(Debug)]
pub struct RequestFramer(Limited<Request>);

/// Frames the replies of one connection.
#[derive(Debug)]
pub struct ReplyFramer(Limited<Reply>);

impl RequestFramer {
    /// A framer at the start of a stream. A request may have `max` bytes, framing included.
    #[must_use]
    pub fn new(dialect: Dialect, max: u64) -> Self {
        Self(Limited::new(
            max,
            match dialect {
                Dialect::Line => Request::Line,
                Dialect::Len32 => Request::Len32(Len32::START),
                Dialect::Resp => Request::Resp(RequestMachine::START),
                Dialect::Memcache => Request::Memcache(memcache::RequestMachine::START),
            },
        ))
    }

    /// Takes the stream's next bytes, which begin behind those of the last call, or at the end of the frame that the
    /// last call completed. No bytes at all are [`Fed::Partial`].
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        self.0.feed(bytes)
    }

    /// So many bytes at least belong to the frame that has begun and have yet to come, as far as its dialect tells.
    #[must_use]
    pub fn missing(&self) -> u64 {
        match &self.0.machine {
            Request::Line => 0,
            Request::Len32(machine) => machine.missing(),
            Request::Resp(machine) => machine.missing(),
            Request::Memcache(machine) => machine.missing(),
        }
    }
}

impl ReplyFramer {
    /// A framer at the start of a stream. A reply may have `max` bytes, framing included.
    #[must_use]
    pub fn new(dialect: Dialect, max: u64) -> Self {
        Self(Limited::new(
            max,
            match dialect {
                Dialect::Line => Reply::Line,
                Dialect::Len32 => Reply::Len32(Len32::START),
                Dialect::Resp => Reply::Resp(ReplyMachine::new()),
                Dialect::Memcache => Reply::Memcache(memcache::ReplyMachine::new()),
            },
        ))
    }

    /// Says what the reply answers that begins now, or has begun. Of a framer that is never told, any reply is one.
    #[inline]
    pub fn expect(&mut self, expect: Expect) {
        if let Reply::Memcache(machine) = &mut self.0.machine {
            machine.expect(expect);
        }
    }

    /// Whether the frame that was completed last ends a run ([`Expect::is_run`]); if not, it is one reply within it.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(&self.0.machine, Reply::Memcache(machine) if machine.is_closing())
    }

    /// Whether these bytes may come although a part of their request was not sent yet.
    #[must_use]
    pub fn may_come_early(&self, bytes: &[u8]) -> bool {
        matches!(&self.0.machine, Reply::Memcache(machine) if machine.may_come_early(bytes))
    }

    /// A framer at the start of a stream that belongs to one requester alone: replies of any size, and between them
    /// messages that nobody asked for.
    #[must_use]
    pub fn of_session(dialect: Dialect) -> Self {
        Self(Limited::new(
            u64::MAX,
            match dialect {
                Dialect::Line => Reply::Line,
                Dialect::Len32 => Reply::Len32(Len32::START),
                Dialect::Resp => Reply::Resp(ReplyMachine::with_pushes()),
                Dialect::Memcache => Reply::Memcache(memcache::ReplyMachine::new()),
            },
        ))
    }

    /// So many bytes at least of the reply that has begun have yet to come, as far as its dialect tells.
    #[must_use]
    pub fn missing(&self) -> u64 {
        match &self.0.machine {
            Reply::Line => 0,
            Reply::Len32(machine) => machine.missing(),
            Reply::Resp(machine) => machine.missing(),
            Reply::Memcache(machine) => machine.missing(),
        }
    }

    /// Takes the stream's next bytes; as [`RequestFramer::feed`].
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        self.0.feed(bytes)
    }
}

/// How far a dialect is in a frame. It is back at the start of one after each `Complete`.
trait Machine {
    /// The size of the frame at the head of `bytes`, if the machine is at the start of one and it can be told at a
    /// glance that it is whole and sound. Otherwise [`Machine::feed`] finds out.
    fn whole(&self, bytes: &[u8]) -> Option<usize>;

    /// Takes bytes of the frame, of which there may be `room` from here on; so many are given at most.
    fn feed(&mut self, bytes: &[u8], room: u64) -> Fed;
}

#[derive(Debug)]
enum Request {
    Line,
    Len32(Len32),
    Resp(RequestMachine),
    Memcache(memcache::RequestMachine),
}

impl Machine for Request {
    #[inline]
    fn whole(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Resp(_) => RequestMachine::whole(bytes),
            Self::Line | Self::Len32(_) | Self::Memcache(_) => None,
        }
    }

    #[inline]
    fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        match self {
            Self::Line => line::feed(bytes),
            Self::Len32(machine) => machine.feed(bytes, room),
            Self::Resp(machine) => machine.feed(bytes, room),
            Self::Memcache(machine) => machine.feed(bytes, room),
        }
    }
}

#[derive(Debug)]
enum Reply {
    Line,
    Len32(Len32),
    Resp(ReplyMachine),
    Memcache(memcache::ReplyMachine),
}

impl Machine for Reply {
    #[inline]
    fn whole(&self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Resp(_) => ReplyMachine::whole(bytes),
            Self::Line | Self::Len32(_) | Self::Memcache(_) => None,
        }
    }

    #[inline]
    fn feed(&mut self, bytes: &[u8], room: u64) -> Fed {
        match self {
            Self::Line => line::feed(bytes),
            Self::Len32(machine) => machine.feed(bytes, room),
            Self::Resp(machine) => machine.feed(bytes, room),
            Self::Memcache(machine) => machine.feed(bytes, room),
        }
    }
}

/// A machine under a limit: it is shown no byte beyond the limit, so that only a frame within it can complete.
#[derive(Debug)]
struct Limited<M> {
    max: u64,
    used: u64,
    /// `Partial` as long as the stream is sound.
    ended: Fed,
    machine: M,
}

impl<M: Machine> Limited<M> {
    fn new(max: u64, machine: M) -> Self {
        Self { max, used: 0, ended: Fed::Partial, machine }
    }

    #[inline]
    fn feed(&mut self, bytes: &[u8]) -> Fed {
        if !matches!(self.ended, Fed::Partial) {
            return self.ended;
        }
        if self.used == 0
            && let Some(length) = self.machine.whole(bytes)
            && length as u64 <= self.max
        {
            return Fed::Complete(length);
        }
        self.feed_machine(bytes)
    }

    fn feed_machine(&mut self, bytes: &[u8]) -> Fed {
        let fed = self.feed_within(bytes);
        match fed {
            Fed::Partial => self.used += bytes.len() as u64,
            Fed::Complete(_) => self.used = 0,
            Fed::Malformed(_) | Fed::TooLarge => self.ended = fed,
        }
        fed
    }

    #[inline]
    fn feed_within(&mut self, bytes: &[u8]) -> Fed {
        let room = self.max - self.used;
        let within = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        match self.machine.feed(&bytes[..within], room) {
            Fed::Partial if within < bytes.len() => Fed::TooLarge,
            fed => fed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requester_that_says_nothing_costs_64_bytes_of_framing() {
        assert!(size_of::<RequestFramer>() <= 64, "{} bytes", size_of::<RequestFramer>());
    }

    #[test]
    fn a_frame_of_exactly_the_limit_completes_and_one_byte_more_does_not() {
        for (dialect, frame) in [
            (Dialect::Line, &b"1234567\n"[..]),
            (Dialect::Len32, b"\0\0\0\x041234"),
            (Dialect::Resp, b"PINGED\r\n"),
            (Dialect::Memcache, b"get abc\n"),
        ] {
            assert_eq!(RequestFramer::new(dialect, 8).feed(frame), Fed::Complete(8), "{dialect:?}");
            assert_eq!(RequestFramer::new(dialect, 7).feed(frame), Fed::TooLarge, "{dialect:?}");
        }
    }

    #[test]
    fn what_ended_badly_stays_ended() {
        let mut framer = RequestFramer::new(Dialect::Line, 3);
        assert_eq!(framer.feed(b"abcd"), Fed::TooLarge);
        assert_eq!(framer.feed(b"a\n"), Fed::TooLarge);
        let mut framer = ReplyFramer::new(Dialect::Resp, 100);
        let malformed = framer.feed(b"?");
        assert!(matches!(malformed, Fed::Malformed(_)));
        assert_eq!(framer.feed(b"+OK\r\n"), malformed);
    }

    #[test]
    fn the_limit_counts_anew_for_each_frame() {
        let mut framer = RequestFramer::new(Dialect::Line, 4);
        assert_eq!(framer.feed(b"ab"), Fed::Partial);
        assert_eq!(framer.feed(b"c\nabc\n"), Fed::Complete(2));
        assert_eq!(framer.feed(b"abc\n"), Fed::Complete(4));
        assert_eq!(framer.feed(b""), Fed::Partial);
    }
}
