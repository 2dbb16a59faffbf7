//! What a reply at a host's socket says: the host's own word, or an outcome that tieline tells. Pure.
//!
//! Enters: one whole reply. Leaves: the failure, or the ID under which the request was stored; nothing if the host itself
//! has replied. Promised: whatever [`Dialect::failure`] and [`Dialect::delayed`] write is known again.
//!
//! A host of the dialects `line` and `len32` that replies with one of these very words is taken for tieline: there the
//! word stands alone, and nothing tells who said it. That is how a program with no library can know it.

use super::{Dialect, Failure};

impl Dialect {
    /// The failure that `reply` is, with its detail (`resp` and `memcache` have one); `None` if the host itself has replied.
    #[must_use]
    pub fn failure_in(self, reply: &[u8]) -> Option<(Failure, String)> {
        Failure::ALL.into_iter().find_map(|failure| {
            let mut words = Vec::new();
            self.failure(failure, "", &mut words);
            match self {
                Self::Line | Self::Len32 => (reply == words).then(|| (failure, String::new())),
                Self::Resp | Self::Memcache => {
                    let detail = reply.strip_prefix(words.strip_suffix(b"\r\n")?)?;
                    let is_it = detail.starts_with(b" ") || detail == b"\r\n";
                    is_it.then(|| (failure, String::from_utf8_lossy(detail).trim().to_owned()))
                }
            }
        })
    }

    /// The ID under which the request was stored, if `reply` says so. Only a socket for deferred requests does.
    #[must_use]
    pub fn delayed_in(self, reply: &[u8]) -> Option<u64> {
        let id = match self {
            Self::Line => reply.strip_prefix(b"con_delayed:")?.strip_suffix(b"\n")?,
            Self::Len32 => reply.get(4..)?.strip_prefix(b"con_delayed:")?,
            Self::Resp => reply.strip_prefix(b"+DELAYED ")?.strip_suffix(b"\r\n")?,
            Self::Memcache => return None,
        };
        let id = std::str::from_utf8(id).ok()?.parse().ok()?;
        let mut words = Vec::new();
        self.delayed(id, &mut words);
        (words == reply).then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(dialect: Dialect, failure: Failure, detail: &str) -> Vec<u8> {
        let mut words = Vec::new();
        dialect.failure(failure, detail, &mut words);
        words
    }

    #[test]
    fn a_failure_is_known_by_its_word_in_every_dialect() {
        for dialect in Dialect::ALL {
            for expected in Failure::ALL {
                let has_one = matches!(dialect, Dialect::Resp | Dialect::Memcache);
                let detail = if has_one { "why so" } else { "" };
                let found = dialect.failure_in(&framed(dialect, expected, "why so"));
                assert_eq!(found, Some((expected, detail.to_owned())), "{dialect:?}");
            }
        }
    }

    #[test]
    fn a_reply_that_only_resembles_a_failure_is_the_hosts() {
        for (dialect, reply) in [
            (Dialect::Line, &b"con_lost:7\n"[..]),
            (Dialect::Line, b"con_lost\r\n"),
            (Dialect::Line, b"\n"),
            (Dialect::Len32, b"\0\0\0\x09con_lost\n"),
            (Dialect::Resp, b"-CONLOSTS of it\r\n"),
            (Dialect::Resp, b"+CONLOST\r\n"),
            (Dialect::Resp, b"-ERR CONLOST\r\n"),
            (Dialect::Memcache, b"SERVER_ERROR con_losts\r\n"),
            (Dialect::Memcache, b"SERVER_ERROR out of memory\r\n"),
        ] {
            assert_eq!(dialect.failure_in(reply), None, "{dialect:?} {reply:?}");
        }
    }

    #[test]
    fn the_id_of_a_stored_request_is_read_back_and_what_resembles_it_is_the_hosts() {
        for dialect in [Dialect::Line, Dialect::Len32, Dialect::Resp] {
            for id in [1, u64::MAX] {
                let mut reply = Vec::new();
                dialect.delayed(id, &mut reply);
                assert_eq!(dialect.delayed_in(&reply), Some(id), "{dialect:?}");
            }
        }
        for (dialect, reply) in [
            (Dialect::Line, &b"con_delayed:\n"[..]),
            (Dialect::Line, b"con_delayed:07\n"),
            (Dialect::Line, b"con_delayed:+7\n"),
            (Dialect::Line, b"con_delayed:7\r\n"),
            (Dialect::Len32, b"\0\0\0\x0econ_delayed:7 "),
            (Dialect::Len32, b"\0\0\0"),
            (Dialect::Resp, b"+DELAYED\r\n"),
            (Dialect::Resp, b"-DELAYED 7\r\n"),
            (Dialect::Memcache, b"SERVER_ERROR con_delayed:7\r\n"),
        ] {
            assert_eq!(dialect.delayed_in(reply), None, "{dialect:?} {reply:?}");
        }
    }
}
