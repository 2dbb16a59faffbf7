//! The far end: a listener, and programs, workers or another service that answer its requests.
//!
//! Enters: a [`ServeSettings`](crate::config::ServeSettings), and a listener that was inherited or is to be opened. Leaves: one answer to every request.
//! Promised: what runs at once is bounded, and so is what waits, and how long; nothing that was started outlives its
//! request or its worker, whatever it has started itself; at the end what is owed is answered.
//!
//! ```text
//!  requester ──▶ door ──▶ session ──▶ choice ──▶ desk (gate) ──▶ exec / worker / forward ──▶ process (reaper)
//!                            ◀────────────────── one answer, in order ──────────
//! ```
//!
//! - [`choice`], [`gate`], [`life`], [`once`], [`output`], [`timetable`], [`wire`], `intake` — the rules; pure
//! - [`door`], `session`, [`tls`] — requesters
//! - [`far`], `chosen`, `desk`, `job` — where a request meets what answers it; `report` — what is told of that
//! - `tagged`, `ledger` — what is executed once, and what is remembered of it
//! - `exec`, `worker`, `forward`, `talk` — what answers it
//! - `process`, [`reaper`], `complaints`, `leftovers` — processes
//! - `registrar`, `tasks` — the name, and maintenance
//! - `control`, `house` — the parent, signals, and the way from the beginning to the end
//!
//! What is spoken and promised to users: `docs/serve.md`.

pub mod choice;
mod chosen;
mod clock;
mod complaints;
mod control;
mod desk;
pub mod door;
mod exec;
pub mod far;
mod forward;
pub mod gate;
mod house;
mod intake;
mod job;
mod ledger;
mod leftovers;
pub mod life;
pub mod once;
pub mod output;
mod process;
pub mod reaper;
mod registrar;
mod report;
mod session;
mod tagged;
mod talk;
mod tasks;
pub mod timetable;
pub mod tls;
pub mod wire;
mod worker;

pub use house::ServeError;
pub(crate) use house::{alone, beside, run};
