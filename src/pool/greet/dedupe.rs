//! The greeting of `dedupe`: the two ends agree on a word ([`crate::spool::once`]).
//!
//! Enters: the word, and how long a request may be kept. Leaves: a connection on which requests may have tags, or why the
//! other end offers no such thing. Promised: no request is sent to a far end that does not remember, or not long enough.

use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use super::{GreetFailure, words};
use crate::config::HostSettings;
use crate::spool::once::{Word, kept};

/// What is to be said, and how long the far end must remember then (seconds).
pub(in crate::pool) struct Agreement {
    greeting: Vec<u8>,
    expire: u64,
}

impl Agreement {
    /// For one host.
    pub(super) fn of(host: &HostSettings, word: &Word) -> Self {
        // A part of a second counts as one.
        let expire = host.expire.as_millis().div_ceil(1000);
        let expire = u64::try_from(expire).unwrap_or(u64::MAX);
        Self { greeting: word.greeting(expire), expire }
    }

    /// Says it, and hears the answer.
    pub(super) async fn reach(
        &self,
        wire: &mut Wire<'_, impl AsyncRead + AsyncWrite + Unpin>,
    ) -> Result<(), GreetFailure> {
        wire.send(&self.greeting).await?;
        let reply = wire.reply("the greeting of dedupe").await?;
        match kept(&reply) {
            Some(keep) if keep > self.expire => Ok(()),
            _ => Err(GreetFailure::NoDedupe { said: words(&reply, &[]) }),
        }
    }
}
