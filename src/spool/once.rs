//! Exactly once: how a deferred request is told to a far end that remembers what it has executed. Pure.
//!
//! Enters: deferred requests, and the replies to them. Leaves: tags, requests as they are sent, and what a reply means.
//! Promised: no two requests of this machine have the same tag, whichever process gave it; a request has one for its
//! first try and all its replays, so that the far end can tell a repetition from a new request.
//!
//! ```text
//! greeting  = "tieline dedupe 1 " WORD " " EXPIRE LF     the first line of each connection
//!             "ok tieline dedupe 1 " KEEP LF             its answer; anything else: the far end offers no such thing
//! request   = WORD " " TAG " " REQUEST                   REQUEST ends in LF; what has no WORD before it has no tag
//! reply     = REPLY                                      the handler's own, given now or at an earlier time
//!           / WORD " again " WHY LF                      it was not executed: to be repeated later
//!           / WORD " doubt " WHY LF                      it may have been executed, and repeating it will not tell
//! WORD      = 32 hexadecimal digits, at random for each worker: no request and no reply can begin so by chance
//! TAG       = 1 to 32 hexadecimal digits "." 1 to 16 hexadecimal digits    a run of this program, and a count in it
//! EXPIRE    = how long the sender may keep a request, in seconds
//! KEEP      = how long the far end remembers, in seconds; more than EXPIRE
//! ```

use std::borrow::Cow;

/// Most bytes of a reason that are kept for people.
const KEPT: usize = 400;

/// The word that the two ends have agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

impl Word {
    /// Made of what nobody can guess.
    #[must_use]
    pub fn new(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }

    /// The greeting, for a host whose requests are kept for `expire` seconds.
    #[must_use]
    pub fn greeting(&self, expire: u64) -> Vec<u8> {
        format!("tieline dedupe 1 {} {expire}\n", self.0).into_bytes()
    }
}

/// How long the far end remembers, in seconds, if this is the right answer to a greeting.
#[must_use]
pub fn kept(answer: &[u8]) -> Option<u64> {
    let answer = answer.strip_suffix(b"\n")?.strip_prefix(b"ok tieline dedupe 1 ")?;
    str::from_utf8(answer).ok()?.parse().ok()
}

/// What a reply to a tagged request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is the reply.
    Reply,
    /// The request was not executed, for this reason; it may be repeated.
    Again(String),
    /// Nobody knows whether it was executed, for this reason.
    Doubt(String),
}

/// See the head of this file.
#[derive(Debug, Clone)]
pub struct Once {
    word: Word,
    run: u128,
    count: u64,
}

impl Once {
    /// For one run of this program: `run` is a number that no other run has, on no machine.
    #[must_use]
    pub fn new(word: Word, run: u128) -> Self {
        Self { word, run, count: 0 }
    }

    /// The word.
    #[must_use]
    pub fn word(&self) -> &Word {
        &self.word
    }

    /// A tag that no request had before.
    pub fn tag(&mut self) -> Box<str> {
        self.count += 1;
        format!("{:x}.{:x}", self.run, self.count).into()
    }

    /// A request as it is sent.
    #[must_use]
    pub fn sent<'r>(&self, tag: &str, body: &'r [u8]) -> Cow<'r, [u8]> {
        match tag {
            // It was stored before the host had the option: sent as it was then.
            "" => Cow::Borrowed(body),
            tag => Cow::Owned([self.word.0.as_bytes(), b" ", tag.as_bytes(), b" ", body].concat()),
        }
    }

    /// What the reply to a tagged request means.
    #[must_use]
    pub fn told(&self, reply: &[u8]) -> Told {
        let ours = reply.strip_prefix(self.word.0.as_bytes()).and_then(|rest| rest.strip_prefix(b" "));
        let Some(rest) = ours else { return Told::Reply };
        if let Some(why) = rest.strip_prefix(b"again ") {
            return Told::Again(text(why));
        }
        // Whatever else stands behind the word is nothing that can be passed on.
        Told::Doubt(text(rest.strip_prefix(b"doubt ").unwrap_or(rest)))
    }
}

fn text(why: &[u8]) -> String {
    let text = String::from_utf8_lossy(&why[..why.len().min(KEPT)]);
    text.trim_end().chars().map(|sign| if sign.is_control() { ' ' } else { sign }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn once() -> Once {
        Once::new(Word::new(0xabc), 0x12)
    }

    #[test]
    fn each_request_has_a_tag_of_its_own_in_front_of_it() {
        let mut once = once();
        let tags = [once.tag(), once.tag()];
        assert_eq!(tags, ["12.1".into(), "12.2".into()]);
        assert_eq!(*once.sent("12.2", b"add 5\n"), b"00000000000000000000000000000abc 12.2 add 5\n"[..]);
        assert_eq!(*once.sent("", b"add 5\n"), b"add 5\n"[..], "stored without one");
    }

    #[test]
    fn a_reply_is_the_handlers_own_unless_it_begins_with_the_word() {
        let once = once();
        let word = "00000000000000000000000000000abc";
        assert_eq!(once.told(b"ok\n"), Told::Reply);
        assert_eq!(once.told(b"again later\n"), Told::Reply);
        assert_eq!(once.told(format!("{word}again x\n").as_bytes()), Told::Reply);
        assert_eq!(once.told(format!("{word} again it is busy\r\n").as_bytes()), Told::Again("it is busy".to_owned()));
        assert_eq!(
            once.told(format!("{word} doubt it\twas killed\n").as_bytes()),
            Told::Doubt("it was killed".to_owned())
        );
        assert_eq!(once.told(format!("{word} what\n").as_bytes()), Told::Doubt("what".to_owned()));
    }

    #[test]
    fn only_the_right_answer_to_a_greeting_is_one() {
        assert_eq!(Word::new(1).greeting(5), b"tieline dedupe 1 00000000000000000000000000000001 5\n");
        assert_eq!(kept(b"ok tieline dedupe 1 864000\n"), Some(864_000));
        for wrong in [
            &b"ok\n"[..],
            b"ok tieline dedupe 1 \n",
            b"ok tieline dedupe 2 5\n",
            b"ok tieline dedupe 1 5",
            b"tieline dedupe 1 x 5\n",
        ] {
            assert_eq!(kept(wrong), None, "{wrong:?}");
        }
    }
}
