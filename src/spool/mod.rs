//! The spool: deferred transactions of one host, stored until it has answered them.
//!
//! Enters: requests that could not be carried at once. Leaves: the same requests, in the order in which they were stored,
//! and what became of them. Promised: what was said to be stored survives the end of every process and the loss of power;
//! a request that was damaged on disk is reported and never sent.
//!
//! - [`store`] — the file: synchronous, knows no thread
//! - [`keeper`] — the thread that owns a store, and the questions it answers
//! - [`replay`] — what is sent next, and what becomes of it; pure
//! - [`judge`] — what a host's reply means; pure
//! - [`once`] — what is agreed with a far end that remembers what it has executed; pure
//! - [`tools`] — what an operator asks, and is answered
//! - [`sign`] — whether a store may hold a backlog, seen without opening it

pub mod judge;
pub mod keeper;
pub mod once;
pub mod replay;
pub mod sign;
pub mod store;
pub mod tools;
