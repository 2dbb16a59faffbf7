//! What every dialect promises, over streams that are sound, broken, or made of anything.

use proptest::prelude::*;

use super::memcache::samples as memcache;
use super::resp::samples;
use super::*;

/// One of the two kinds of framer.
pub(super) enum Framer {
    Request(RequestFramer),
    Reply(ReplyFramer),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Request,
    Reply,
}

impl Framer {
    pub(super) fn new(kind: Kind, dialect: Dialect, max: u64) -> Self {
        match kind {
            Kind::Request => Self::Request(RequestFramer::new(dialect, max)),
            Kind::Reply => Self::Reply(ReplyFramer::new(dialect, max)),
        }
    }

    fn feed(&mut self, bytes: &[u8]) -> Fed {
        match self {
            Self::Request(framer) => framer.feed(bytes),
            Self::Reply(framer) => framer.feed(bytes),
        }
    }

    /// Feeds `bytes` in pieces of these sizes in turn. Where frames ended in the stream, and what the last call said.
    pub(super) fn run(mut self, bytes: &[u8], sizes: &[usize]) -> (Vec<usize>, Fed) {
        let (mut ends, mut at) = (Vec::new(), 0);
        let mut last = self.feed(b"");
        for &size in sizes.iter().cycle() {
            let end = bytes.len().min(at + size);
            while at < end {
                last = self.feed(&bytes[at..end]);
                let Fed::Complete(n) = last else { break };
                assert!(0 < n && n <= end - at, "a frame of {n} bytes out of {}", end - at);
                at += n;
                ends.push(at);
            }
            at = end;
            if at == bytes.len() || matches!(last, Fed::Malformed(_) | Fed::TooLarge) {
                break;
            }
        }
        (ends, last)
    }
}

const WHOLE: &[usize] = &[usize::MAX / 2];

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_filter("LF", |&byte| byte != b'\n'), 0..40).prop_map(|mut line| {
        line.push(b'\n');
        line
    })
}

fn len32() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| [&(body.len() as u32).to_be_bytes()[..], &body].concat())
}

/// A dialect, a kind of frames, and some sound frames of these.
fn sound() -> impl Strategy<Value = (Dialect, Kind, Vec<Vec<u8>>)> {
    let frames = |frame: BoxedStrategy<Vec<u8>>| prop::collection::vec(frame, 1..6);
    let kind = || prop_oneof![Just(Kind::Request), Just(Kind::Reply)];
    prop_oneof![
        (Just(Dialect::Line), kind(), frames(line().boxed())),
        (Just(Dialect::Len32), kind(), frames(len32().boxed())),
        (Just(Dialect::Resp), Just(Kind::Request), frames(samples::request().boxed())),
        (Just(Dialect::Resp), Just(Kind::Reply), frames(samples::reply().boxed())),
        (Just(Dialect::Memcache), Just(Kind::Request), frames(memcache::request().boxed())),
        (Just(Dialect::Memcache), Just(Kind::Reply), frames(memcache::reply().boxed())),
    ]
}

fn anything() -> impl Strategy<Value = (Dialect, Kind, Vec<u8>)> {
    let dialect =
        prop::sample::select(&[Dialect::Line, Dialect::Len32, Dialect::Resp, Dialect::Resp, Dialect::Memcache][..]);
    let kind = prop_oneof![Just(Kind::Request), Just(Kind::Reply)];
    let broken =
        (sound(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|((dialect, kind, frames), at, byte)| {
            let mut bytes = frames.concat();
            *at.get_mut(&mut bytes) = byte;
            (dialect, kind, bytes)
        });
    prop_oneof![(dialect, kind, samples::soup()), broken]
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1usize..4, 1usize..40], 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sound_frames_end_where_they_end_in_every_split((dialect, kind, frames) in sound(), sizes in sizes()) {
        let ends: Vec<_> = frames.iter().scan(0, |end, frame| { *end += frame.len(); Some(*end) }).collect();
        let bytes = frames.concat();
        for sizes in [&sizes[..], WHOLE, &[1]] {
            let (found, last) = Framer::new(kind, dialect, 1 << 30).run(&bytes, sizes);
            prop_assert_eq!((&found, matches!(last, Fed::Complete(_))), (&ends, true), "{:?}", last);
        }
    }

    #[test]
    fn any_bytes_are_judged_alike_in_every_split(
        (dialect, kind, bytes) in anything(), sizes in sizes(), max in prop_oneof![1u64..100, Just(1 << 30)]
    ) {
        let (ends, last) = Framer::new(kind, dialect, max).run(&bytes, WHOLE);
        for sizes in [&sizes[..], &[1]] {
            let (other_ends, other_last) = Framer::new(kind, dialect, max).run(&bytes, sizes);
            prop_assert_eq!(&other_ends, &ends);
            match (last, other_last) {
                (Fed::Complete(_), Fed::Complete(_)) => {}
                _ => prop_assert_eq!(other_last, last),
            }
        }
        let starts = std::iter::once(&0).chain(&ends);
        prop_assert!(starts.zip(&ends).all(|(start, end)| (end - start) as u64 <= max));
    }

    #[test]
    fn a_frame_completes_exactly_if_the_limit_allows_it(
        (dialect, kind, frames) in sound(), sizes in sizes(), max in 1u64..100
    ) {
        let (ends, last) = Framer::new(kind, dialect, max).run(&frames.concat(), &sizes);
        let fitting = frames.iter().take_while(|frame| frame.len() as u64 <= max).count();
        prop_assert_eq!(ends.len(), fitting);
        prop_assert_eq!(last == Fed::TooLarge, fitting < frames.len());
    }

    #[test]
    fn wishes_and_rendering_take_anything(bytes in samples::soup(), frame in samples::request()) {
        for dialect in Dialect::ALL {
            std::hint::black_box((dialect.wish(&bytes), dialect.wish(&frame)));
        }
        prop_assert!(render_reply(&bytes).chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
    }
}

#[test]
fn names_are_those_of_hosts_tab() {
    for dialect in Dialect::ALL {
        assert_eq!(Dialect::from_name(dialect.name()), Some(dialect));
        assert_eq!(serde_json::to_value(dialect).unwrap(), dialect.name());
    }
    assert_eq!(Dialect::from_name("Resp"), None);
}

#[test]
fn every_failure_is_one_whole_reply_of_its_dialect() {
    for failure in Failure::ALL {
        for dialect in Dialect::ALL {
            let mut reply = Vec::new();
            dialect.failure(failure, &"why\r\n+OK ".repeat(100), &mut reply);
            assert_eq!(
                ReplyFramer::new(dialect, 520).feed(&reply),
                Fed::Complete(reply.len()),
                "{dialect:?} {failure:?}"
            );
        }
    }
}

#[test]
fn failures_have_the_words_that_programs_look_for() {
    let said = |dialect: Dialect, failure, detail| {
        let mut reply = b"before ".to_vec();
        dialect.failure(failure, detail, &mut reply);
        String::from_utf8(reply).unwrap()
    };
    assert_eq!(said(Dialect::Line, Failure::Lost, "x"), "before con_lost\n");
    assert_eq!(said(Dialect::Len32, Failure::Timeout, "x"), "before \0\0\0\x0bcon_timeout");
    assert_eq!(said(Dialect::Resp, Failure::Unknown, "sent\r\n\x1b, é"), "before -CONUNKNOWN sent   , é\r\n");
    assert_eq!(said(Dialect::Memcache, Failure::Lost, "no\r\nway"), "before SERVER_ERROR con_lost no  way\r\n");
    assert_eq!(said(Dialect::Memcache, Failure::Refused, ""), "before CLIENT_ERROR con_refused\r\n");
    assert_eq!(said(Dialect::Resp, Failure::Busy, ""), "before -CONBUSY\r\n");
    assert_eq!(said(Dialect::Resp, Failure::Refused, &"é".repeat(400)).len(), "before -CONREFUSED \r\n".len() + 480);
}
