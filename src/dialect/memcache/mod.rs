//! The dialect `memcache`: memcached's text protocol, meta commands included.
//!
//! ```text
//! words     a command line taken apart         request   where requests end       data   blocks of a known length
//! commands  which may be sent on, and what     reply     where replies end
//!           is to be expected then
//! ```
//!
//! A failure is an error of the protocol's own: `SERVER_ERROR con_lost detail CR LF`, and for what is refused
//! `CLIENT_ERROR con_refused detail CR LF`. Either may be the reply to any command.
//!
//! **Commands without a reply.** Those with `noreply`, and meta commands with the flag `q`, are answered with nothing, or
//! only if something is amiss. On a shared connection nobody could say whose an answer is. So several of one requester
//! are sent together as a *run*, which ends with [`CLOSING`]: the answer to that is known by its first word, whatever the
//! host's age, and ends the run. What comes before it belongs to the run: it is given to the requester if that was
//! *quiet* (`q`), and dropped if it was *silent* (`noreply`).
//!
//! Sources: `doc/protocol.txt` of memcached; where it is vague, what memcached 1.6 does.

mod commands;
mod data;
mod reply;
mod request;
#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;
mod words;

pub(super) use commands::{expect, wish};
pub(super) use reply::ReplyMachine;
pub(super) use request::RequestMachine;

use super::Failure;
use super::resp::push_line;

/// Ends a run of commands without a reply. `mn` is made for that, but before version 1.6 memcached answers it `ERROR`, as
/// it may answer a command of the run; `VERSION` is the first word of no other reply.
pub const CLOSING: &[u8] = b"version\r\n";

/// The longest key (bytes; `KEY_MAX_LENGTH`).
const MAX_KEY: usize = 250;

const CRLF: &[u8] = b"\r\n";

/// The error line for `failure`.
pub(super) fn failure(failure: Failure, detail: &str, out: &mut Vec<u8>) {
    let kind = if failure == Failure::Refused { "CLIENT_ERROR " } else { "SERVER_ERROR " };
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(failure.word().as_bytes());
    if !detail.is_empty() {
        out.push(b' ');
        push_line(detail, out);
    }
    out.extend_from_slice(CRLF);
}
