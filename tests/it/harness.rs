//! The tools themselves: what the other tests rely on.

use nix::sys::signal::Signal;
use tieline::dialect::Dialect;

use crate::common::{ChaosHost, Redis, Requester, tag, wait_until};

const DIALECTS: [Dialect; 3] = [Dialect::Line, Dialect::Len32, Dialect::Resp];

/// A host at a UNIX socket, and a requester that talks to it directly.
fn face_to_face(dialect: Dialect) -> (tempfile::TempDir, ChaosHost, Requester) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("host.sock");
    let host = ChaosHost::start_at(dialect, &format!("unix:{}", path.display()));
    let requester = Requester::connect(&path, dialect);
    (dir, host, requester)
}

#[test]
fn the_chaos_host_answers_pipelined_requests_in_order_and_lists_them_first() {
    for dialect in DIALECTS {
        let (_dir, mut host, mut requester) = face_to_face(dialect);
        host.command("mood split=0.5 delay=0.2:1:5");
        (0..100).for_each(|n| requester.send(&tag(n)));
        for n in 0..100 {
            let reply = requester.reply();
            assert!(reply.matches(&tag(n)).count() >= 2, "{dialect:?}: {n} was answered {reply}");
        }
        let received = host.received();
        assert!((0..100).all(|n| received.get(&n) == Some(&1)), "{dialect:?}: {received:?}");
    }
}

#[test]
fn the_chaos_host_lists_requests_that_broke_off_and_survive_only_in_its_list() {
    for dialect in DIALECTS {
        let (_dir, host, mut requester) = face_to_face(dialect);
        let whole = crate::common::encode(dialect, &format!("{} and more", tag(7)));
        requester.send_bytes(&whole[..whole.len() - 3]);
        drop(requester);
        wait_until("the list names the request", || host.received().get(&7).copied());
        host.signal(Signal::SIGKILL);
        assert_eq!(host.received().get(&7), Some(&1));
    }
}

#[test]
fn the_chaos_host_cuts_refuses_and_comes_back() {
    let (_dir, mut host, mut requester) = face_to_face(Dialect::Line);
    let path = host.address().trim_start_matches("unix:").to_owned();
    requester.send("<1> cut");
    assert_eq!(requester.next_reply().ok().flatten(), None);
    host.command("refuse");
    assert!(Requester::try_connect(path.as_ref(), Dialect::Line).is_err());
    host.command("listen");
    let mut requester = Requester::connect(path.as_ref(), Dialect::Line);
    assert!(requester.ask("<2>").contains("<2>"));
    host.command("unasked");
    assert!(requester.reply().contains("<unasked>"));
    assert_eq!(host.connections().0, 1);
}

#[test]
fn a_redis_of_our_own_answers() {
    let redis = Redis::start();
    assert_eq!(redis.connections(&mut redis.requester()), 0);
}
