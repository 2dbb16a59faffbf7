//! The spool: deferred transactions of one host, stored until it has answered them.
//!
//! Enters: requests that could not be carried at once. Leaves: the same requests, in the order in which they were stored,
//! and what became of them. Promised: what was said to be stored survives the end of every process and the loss of power;
//! a request that was damaged on disk is reported and never sent.
//!
//! - [`store`] — the file: synchronous, knows no thread
//! - [`keeper`] — the thread that owns a store, and the questions it answers
//! - [`replay`] — which stored transaction is sent next; pure
//! - [`judge`] — what a host's reply means for it; pure
//! - [`sign`] — whether there may be a backlog, seen from outside

pub mod judge;
pub mod keeper;
pub mod replay;
pub mod sign;
pub mod store;
