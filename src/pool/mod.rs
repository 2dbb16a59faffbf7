//! The pool: who may open a connection, which connection takes a transaction, and what a connection still owes.
//!
//! Enters: requests' bytes, what was written and read, and the time. Leaves: the same bytes towards the host, and
//! where each reply belongs. [`Reach`], [`Outgoing`], [`Slot`] and [`Own`] are pure; [`connect`], [`open`] with [`tls`],
//! [`greet`] and [`named`], and [`connection`] have the sockets.

pub mod connect;
pub mod connection;
pub mod greet;
pub mod named;
pub mod open;
mod outgoing;
mod own;
mod reach;
mod slot;
pub mod tls;
pub(crate) mod watched;

pub use outgoing::Outgoing;
pub use own::{Loss, Own};
pub(crate) use reach::pause;
pub use reach::{Reach, Standing};
pub use slot::{Flight, HOLD, Piece, Slot, Unfit};
