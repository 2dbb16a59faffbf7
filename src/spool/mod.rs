//! The spool: deferred transactions survive anything and are replayed in order.

pub mod judge;
pub mod replay;
pub mod sign;
pub mod store;
pub mod tools;
