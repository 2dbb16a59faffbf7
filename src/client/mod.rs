//! The library for local programs: a name → the host's replies.
//!
//! Enters: a name, requests. Leaves: an [`Outcome`] for each: the host's reply, an ID under which the request is stored, or a
//! failure that says whether the host can have seen it. Promised:
//!
//! - Each request has one outcome, within its deadline. A reply goes to its request or to nobody.
//! - What may have been sent is never sent again: it is [`Failure::Unknown`]. What was not is sent on the next connection;
//!   a daemon that is away is waited for ([`Options::patience`]), then it is [`Failure::Lost`].
//! - Connections are opened again by themselves, and the registry is asked anew each time; pauses grow, with jitter.
//!
//! [`Client`] waits, [`AsyncClient`] is for tokio; they are two faces of one core, which is pure. `docs/client.md` tells more.
//!
//! # A request
//!
//! The examples name the daemon's directory; where it is at its usual place, `Client::open("ledger")` is enough.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fixture.rs"));
//! use tieline::client::{Again, Client, Outcome};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let run_dir = daemon("request");
//! let mut ledger = Client::options().run_dir(run_dir).open("ledger")?;
//! match ledger.request("book 12 EUR")? {
//!     Outcome::Reply(reply) => assert_eq!(reply.text(), "ok book 12 EUR"),
//!     Outcome::Delayed(_) => panic!("only request_deferred is answered so"),
//!     Outcome::Failure(failed) if failed.again() == Again::Later => println!("nothing was sent: {failed}"),
//!     Outcome::Failure(failed) => println!("it may have been executed: {failed}"),
//! }
//!
//! // Who only wants the reply takes the rest as errors.
//! let text = ledger.request("book 13 EUR")?.reply()?.text();
//! assert_eq!(text, "ok book 13 EUR");
//! # Ok(())
//! # }
//! ```
//!
//! # Several at once
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fixture.rs"));
//! # use tieline::client::Client;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let run_dir = daemon("several");
//! let mut ledger = Client::options().run_dir(run_dir).open("ledger")?;
//! for request in ["a", "busy", "c"] {
//!     ledger.send(request)?;
//! }
//! let mut words = Vec::new();
//! while let Some((_, outcome)) = ledger.receive() {
//!     words.push(outcome.word());
//! }
//! assert_eq!(words, ["reply", "busy", "reply"]);
//! # Ok(())
//! # }
//! ```
//!
//! # What must not be lost
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fixture.rs"));
//! # use tieline::client::{Client, Outcome};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let run_dir = daemon("deferred");
//! let mut ledger = Client::options().run_dir(run_dir).open("ledger")?;
//! match ledger.request_deferred("book 14 EUR")? {
//!     Outcome::Reply(reply) => println!("done: {}", reply.text()),
//!     Outcome::Delayed(id) => assert_eq!(id, 1), // on disk; it is sent when the host is back
//!     Outcome::Failure(failed) => println!("not stored: {failed}"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # With tokio
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fixture.rs"));
//! # use std::time::Duration;
//! # use tieline::client::Client;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let run_dir = daemon("tokio");
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let options = Client::options().run_dir(run_dir).deadline(Duration::from_secs(2));
//! let mut ledger = options.open_async("ledger").await?;
//! assert_eq!(ledger.request("book 15 EUR").await?.reply()?.text(), "ok book 15 EUR");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # A name of one's own
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/fixture.rs"));
//! # use std::time::Duration;
//! # use tieline::client::{Client, Offer, Registry};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let run_dir = daemon("register");
//! let mut registry = Registry::open(&Client::options().run_dir(run_dir))?;
//! let offer = Offer::new("ledger", "tcp:10.0.0.7:7000").ttl(Duration::from_secs(30)).pair("dialect", "line");
//! let registration = registry.register(&offer)?; // a thread renews the lease
//! assert_eq!(registration.lease().as_deref(), Some("l1"));
//! assert_eq!(registry.resolve("ledger")?.len(), 1);
//! drop(registration); // unregisters
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! - [`request`], [`reply`], [`outcome`] — what goes in and what comes out (pure)
//! - `core`, `link` — what is owed, when to connect, what is over (pure)
//! - `registry` — what the registry is asked and answers, when a lease is renewed (pure)
//! - `options`, `home`, `mishaps`, `error` — choices, where things are, what went wrong
//! - `blocking`, `asynchronous` — the two faces: they move bytes, and do nothing else

mod asynchronous;
mod blocking;
mod core;
mod error;
mod home;
mod link;
mod mishaps;
mod options;
pub mod outcome;
mod registry;
pub mod reply;
pub mod request;

pub use self::asynchronous::{AsyncClient, AsyncRegistration, AsyncRegistry, AsyncWatch};
pub use self::blocking::{Client, Registration, Registry, Watch};
pub use self::core::Ticket;
pub use self::error::Error;
pub use self::home::RUN_DIR_VARIABLE;
pub use self::options::Options;
pub use self::outcome::{Again, Failed, Fault, Outcome};
pub use self::registry::{Instance, Kind, News, Offer, RegistryError};
pub use self::reply::{Reply, Value};
pub use self::request::{Request, Unfit};
pub use crate::dialect::{Dialect, Failure};
