//! Requesters: the accepted connections of local programs.
//!
//! Enters: bytes of local programs. Leaves: whole requests to the dispatch, and the replies owed, in the order of the
//! requests. [`Account`], [`Spares`] and [`Intake`] are pure; [`Rights`] says who may come; [`listener`] and [`session`] have the
//! sockets.

mod account;
mod intake;
pub mod listener;
mod rights;
pub mod session;
mod spares;
mod turned_away;

pub use account::{Account, Aside, Pending, Standing, Turned, Way};
pub use intake::{Flow, Intake, Refusal};
pub use rights::{Rights, may_come};
pub use spares::Spares;
