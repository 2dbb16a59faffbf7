//! What a host's reply means for a deferred transaction. Pure.
//!
//! Enters: a whole reply. Leaves: delivered, try again later, or never. Promised: a reply that is not known to be a
//! refusal counts as delivered: sending it again could execute it twice.

use memchr::memchr;

use crate::dialect::Dialect;

/// RESP errors after which trying again later is right. Source: the prefixes that Redis documents for a server that is
/// starting, busy with a script, a replica, or a cluster that is being mended.
const TRANSIENT: [&str; 6] = ["LOADING", "BUSY", "TRYAGAIN", "READONLY", "MASTERDOWN", "CLUSTERDOWN"];

/// Most bytes of a refusal that are kept for people.
const KEPT: usize = 200;

/// What a reply means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The host has taken it.
    Delivered,
    /// The host cannot take it now; the text says why, for people.
    Transient(String),
    /// The host will never take it; the text says why, for people.
    Permanent(String),
}

/// Judges a reply. `rejects`: with what a `line` or `len32` reply begins that refuses for good.
#[must_use]
pub fn judge(dialect: Dialect, rejects: &[String], reply: &[u8]) -> Verdict {
    match dialect {
        Dialect::Resp => judge_resp(reply),
        Dialect::Line => judge_text(rejects, reply),
        Dialect::Len32 => judge_text(rejects, reply.get(4..).unwrap_or_default()),
        // Its hosts are never deferred.
        Dialect::Memcache => Verdict::Delivered,
    }
}

fn judge_text(rejects: &[String], reply: &[u8]) -> Verdict {
    if rejects.iter().any(|prefix| reply.starts_with(prefix.as_bytes())) {
        Verdict::Permanent(first_line(reply))
    } else {
        Verdict::Delivered
    }
}

/// A simple error (`-CODE text`) or a bulk error of RESP3 (`!length`, then the same).
fn judge_resp(reply: &[u8]) -> Verdict {
    let error = match reply.first() {
        Some(b'-') => &reply[1..],
        Some(b'!') => match memchr(b'\n', reply) {
            Some(end) => &reply[end + 1..],
            None => return Verdict::Delivered,
        },
        _ => return Verdict::Delivered,
    };
    let code = error.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let why = first_line(error);
    if TRANSIENT.iter().any(|transient| code == transient.as_bytes()) {
        Verdict::Transient(why)
    } else {
        Verdict::Permanent(why)
    }
}

fn first_line(text: &[u8]) -> String {
    let end = memchr(b'\n', text).unwrap_or(text.len()).min(KEPT);
    String::from_utf8_lossy(&text[..end]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resp(reply: &str) -> Verdict {
        judge(Dialect::Resp, &[], reply.as_bytes())
    }

    #[test]
    fn an_error_of_a_host_that_is_not_ready_is_transient_and_any_other_is_permanent() {
        assert_eq!(resp("-LOADING Redis is loading\r\n"), Verdict::Transient("LOADING Redis is loading".to_owned()));
        assert_eq!(resp("!16\r\nREADONLY replica\r\n"), Verdict::Transient("READONLY replica".to_owned()));
        assert_eq!(resp("-ERR unknown command\r\n"), Verdict::Permanent("ERR unknown command".to_owned()));
        assert_eq!(resp("-BUSYKEY exists\r\n"), Verdict::Permanent("BUSYKEY exists".to_owned()));
        assert_eq!(resp("+OK\r\n"), Verdict::Delivered);
        assert_eq!(resp("$5\r\n-BUSY\r\n"), Verdict::Delivered);
    }

    #[test]
    fn a_text_is_a_refusal_if_it_begins_as_configured() {
        let rejects = ["error".to_owned(), "refused".to_owned()];
        assert_eq!(judge(Dialect::Line, &rejects, b"refused: no\n"), Verdict::Permanent("refused: no".to_owned()));
        assert_eq!(judge(Dialect::Len32, &rejects, b"\0\0\0\x05error"), Verdict::Permanent("error".to_owned()));
        assert_eq!(judge(Dialect::Line, &rejects, b"no error\n"), Verdict::Delivered);
        assert_eq!(judge(Dialect::Line, &[], b"error\n"), Verdict::Delivered);
    }
}
