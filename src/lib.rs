//! `tieline`: one UNIX socket per remote host, and a small bounded pool of long-lived connections behind it.
//!
//! This page is the map. The way of a request, and the rooms it passes, each once:
//!
//! ```text
//!  local program                                                                 remote host
//!       │ request                                                                     ▲
//!       ▼                                                                             │
//!  requester ──bytes──▶ dialect ──frame──▶ child::dispatch ──▶ work (queue) ──▶ pool (connection)
//!       ▲                                        │                                    │
//!       └────── replies owed, in order ◀─────────┴───────── dialect ◀──reply──────────┘
//! ```
//!
//! In links: [`requester`] → [`dialect`] → [`child::dispatch`] → [`work`] → [`pool`], and back.
//!
//! Two kinds of process live here. The **parent** ([`parent`]) holds the listeners and supervises; one **child**
//! ([`child`]) per host does the carrying. They share no memory and no room: what they say to each other is
//! [`heritage`] (what a child is started with, and the messages of its control channel) and [`snapshot`] (what a child
//! tells of itself).
//!
//! Both write their log through [`logging`], and reach the operating system's sharp edges through [`system`] alone. What
//! they go by is in [`config`]; who starts them, and asks them later, in [`cli`].
//!
//! What must not be lost waits in the [`spool`], one store per host. The smaller files of the registry and of the far ends
//! are opened by `database`.
//!
//! A program in Rust that is a requester, or registers a name of its own, has the [`client`] for it.
//!
//! Children have other roles besides: one is the [`registry`] of names, and one for each `[serve.NAME]` is the far end of
//! other machines' hosts (`serve`). The parent treats them all alike.
//!
//! Pure rooms ([`work`], [`dialect`], `parent::table`, the slots and the backoff of [`pool`]) take the time as an
//! argument and touch no socket, file or runtime.
//!
//! Why it is built so: `docs/design.md`.

pub mod child;
pub mod cli;
pub mod client;
pub mod config;
mod database;
pub mod dialect;
pub mod heritage;
pub mod logging;
pub mod parent;
pub mod pool;
pub mod registry;
pub mod requester;
pub mod serve;
pub mod snapshot;
pub mod spool;
pub mod system;
pub mod version;
pub mod work;
