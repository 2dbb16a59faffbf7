//! A connection of one requester's own, without any socket.

use super::*;

fn own() -> Own {
    let mut own = Own::new(Dialect::Resp, Instant::now());
    own.begin(RequesterId(1), Dialect::Resp, Voice::Two, &[]);
    own
}

/// What passes of `bytes`, read in pieces of `size`.
fn passed(own: &mut Own, bytes: &str, size: usize) -> String {
    let mut passed = Vec::new();
    for mut piece in bytes.as_bytes().chunks(size) {
        while !piece.is_empty() {
            let part = own.read(piece);
            let (now, later) = piece.split_at(part.length);
            passed.extend_from_slice(if part.passes { now } else { b"" });
            piece = later;
        }
    }
    String::from_utf8(passed).unwrap()
}

#[test]
fn a_session_is_over_when_its_transaction_has_ended_and_nothing_is_owed() {
    for size in [1, 3, 100] {
        let mut own = own();
        own.send(Act::Multi, b"m");
        own.send(Act::Plain, b"s");
        own.send(Act::Exec, b"e");
        let replies = "+OK\r\n+QUEUED\r\n*1\r\n:1\r\n";
        assert_eq!(passed(&mut own, &replies[..replies.len() - 1], size), replies[..replies.len() - 1]);
        assert!(!own.is_over());
        assert_eq!(passed(&mut own, "\n", size), "\n");
        assert!(own.is_over() && own.release(Instant::now()), "and its connection is clean");
    }
}

#[test]
fn what_tieline_said_itself_is_answered_to_nobody() {
    for size in [1, 7, 100] {
        let mut own = Own::new(Dialect::Resp, Instant::now());
        own.begin(RequesterId(1), Dialect::Resp, Voice::Three, &[Box::from(*b"note")]);
        own.send(Act::Waits, b"blpop");
        assert_eq!(passed(&mut own, "%1\r\n+proto\r\n:3\r\n-ERR no notes\r\n", size), "");
        assert!(!own.is_over());
        assert_eq!(passed(&mut own, "_\r\n", size), "_\r\n");
        assert!(own.is_over());
        assert_eq!(own.voice, Voice::Three);
    }
}

#[test]
fn what_tieline_said_itself_is_answered_to_nobody_even_if_replies_are_counted_no_longer() {
    let said = "%1\r\n+proto\r\n:3\r\n+OK\r\n";
    for (act, told) in [(Act::Subscribes, ">3\r\n+subscribe\r\n+a\r\n:1\r\n+PONG\r\n"), (Act::Raw, "?any\nthing")] {
        for size in [1, 7, 100] {
            let mut own = Own::new(Dialect::Resp, Instant::now());
            own.begin(RequesterId(1), Dialect::Resp, Voice::Three, &[Box::from(*b"note")]);
            own.send(act, b"subscribe");
            assert_eq!(passed(&mut own, said, size), "");
            assert_eq!(passed(&mut own, told, size), told);
            assert!(!own.is_over());
        }
    }
}

#[test]
fn push_messages_answer_nothing_and_leave_a_connection_that_nobody_else_gets() {
    let mut own = own();
    own.send(Act::Waits, b"blpop");
    assert_eq!(passed(&mut own, ">1\r\n+invalidate\r\n", 2), ">1\r\n+invalidate\r\n");
    assert_eq!(own.owes(), 1);
    passed(&mut own, "$-1\r\n", 9);
    assert!(own.is_over() && !own.release(Instant::now()));
}

#[test]
fn a_subscriber_is_bound_until_it_has_reset_its_connection() {
    let mut own = own();
    own.send(Act::Subscribes, b"subscribe");
    own.send(Act::Plain, b"ping");
    let messages =
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+PONG\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$7\r\n+RESET\r\r\n";
    assert_eq!(passed(&mut own, messages, 4), messages);
    assert!(!own.is_over() && own.takes_more(1));
    own.send(Act::Reset, b"reset");
    assert!(!own.takes_more(9), "what follows waits for the end of the session");
    passed(&mut own, messages, 4);
    assert!(!own.is_over());
    passed(&mut own, "+RESET\r\n", 4);
    assert!(own.is_over() && !own.release(Instant::now()));
}

#[test]
fn what_is_no_reply_passes_and_the_session_lasts() {
    let mut own = own();
    own.send(Act::Plain, b"x");
    assert_eq!(passed(&mut own, "?garbage\r\n+OK\r\n", 100), "?garbage\r\n+OK\r\n");
    assert!(!own.is_over());
    let mut own = self::own();
    own.send(Act::Plain, b"x");
    assert_eq!(passed(&mut own, "+OK\r\n+twice\r\n", 3), "+OK\r\n+twice\r\n");
    assert!(!own.is_over(), "a reply that nobody asked for cannot be explained");
}

#[test]
fn a_loss_says_what_was_sent_and_what_was_not() {
    let mut own = own();
    own.send(Act::Multi, b"multi");
    own.send(Act::Plain, b"set");
    own.outgoing.wrote(3);
    assert_eq!(own.loss(), Loss::Replies(1, 1));
    passed(&mut own, "+O", 2);
    assert_eq!(own.loss(), Loss::Untold, "a part of the reply has been passed on");
}

#[test]
fn behind_a_good_bye_nothing_is_sent() {
    let mut own = own();
    own.send(Act::Multi, b"m");
    own.send(Act::Quit, b"quit");
    assert!(!own.takes_more(9), "before it is answered");
    passed(&mut own, "+OK\r\n+OK\r\n", 9);
    assert!(!own.takes_more(9), "nor after, though the host has not closed the connection yet");
}
