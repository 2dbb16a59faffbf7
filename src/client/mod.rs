//! The library for local programs.

mod asynchronous;
mod blocking;
pub(crate) mod core;
mod error;
mod home;
mod link;
mod mishaps;
mod options;
mod outcome;
mod registry;
mod reply;
pub(crate) mod request;

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
