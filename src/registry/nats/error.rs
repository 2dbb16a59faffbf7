//! What can go wrong between the registry and NATS, in words for people.
//!
//! Enters: what the client says. Leaves: [`NatsError`], which becomes the reason in the log, the status and `error
//! unavailable`. Promised: no password, token or key is in it.

use thiserror::Error;

use super::server::OLDEST;

/// Why the bucket cannot be used now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NatsError {
    /// A file that is needed to connect cannot be used.
    #[error("{complaint}")]
    File {
        /// A complaint of the room that reads it.
        complaint: String,
    },
    /// No server could be connected to.
    #[error("no server of {servers} can be reached: {reason}")]
    Unreachable {
        /// As configured.
        servers: String,
        /// The client's reason for the last one that was tried.
        reason: String,
    },
    /// A server wants other credentials.
    #[error(
        "{servers}: the server refuses {credentials}; see [registry] in tieline.toml, and the server's own configuration"
    )]
    Refused {
        /// As configured.
        servers: String,
        /// What was shown to it, and where that stands.
        credentials: String,
    },
    /// The certificate of a server is not trusted, or it does not trust ours.
    #[error("{servers}: no TLS connection could be made: {reason}; see `ca`, `cert` and `key` of [registry]")]
    Tls {
        /// As configured.
        servers: String,
        /// The client's reason.
        reason: String,
    },
    /// The server may ignore the time to live of a key.
    #[error(
        "the server {server} is NATS {version}, and the registry needs {}.{} or later: older ones take leases and may never \
         end them; update the server",
        OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// What it calls itself.
        server: String,
        /// What it says its version is.
        version: String,
    },
    /// The server keeps nothing.
    #[error(
        "the server {server} has no JetStream for this account; start it with JetStream, as `nats-server -js` does"
    )]
    NoJetStream {
        /// What it calls itself.
        server: String,
    },
    /// The bucket is not there and cannot be made, or cannot be read.
    #[error("the bucket {bucket} cannot be used: {reason}")]
    Bucket {
        /// Its name.
        bucket: String,
        /// The server's reason.
        reason: String,
    },
    /// Somebody made the bucket without what leases need.
    #[error(
        "the bucket {bucket} was made without {lacks}, which leases need; remove it, so that tieline makes it, or choose \
         another one with [registry] bucket"
    )]
    Unfit {
        /// Its name.
        bucket: String,
        /// What it lacks.
        lacks: &'static str,
    },
    /// The connection has ended, or nothing comes over it any more.
    #[error("the connection to {server} is lost: {reason}")]
    Lost {
        /// What the server calls itself.
        server: String,
        /// What happened.
        reason: String,
    },
}
