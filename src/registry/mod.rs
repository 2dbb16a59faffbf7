//! The registry: names → addresses, with owners and leases.
//!
//! Enters: lines of `registry.sock`, the hosts that the parent tells of. Leaves: replies, and changes to those who watch.
//! Promised: a change is answered `ok` only when the store has it; a row is gone within a second of the end of its lease,
//! and not before; whoever watches ends with exactly the true table. What programs may say is in `docs/registry.md`.
//!
//! - [`row`] — what is registered
//! - [`directory`] — all rows in memory: who may change them, turns, leases, changes in their order (pure)
//! - [`grammar`] — what programs say and are told, as lines (pure)
//! - [`store`] — what a place must offer that makes changes last; a local one, or one that machines share
//! - [`sqlite`] — the local store
//! - `desk` — where commands meet directory and store; `turnstile`: one change of a name at a time
//! - `session`, `line`, `telling` — one program: its lines, its answers, its listings and what it watches
//! - `ask` — how other children ask it for an address `@NAME`
//! - [`serve`] — all of it in one event loop: the registry's child

pub(crate) mod ask;
mod desk;
pub mod directory;
pub mod grammar;
mod line;
pub mod row;
pub mod serve;
mod session;
pub mod sqlite;
pub mod store;
mod telling;
mod turnstile;
