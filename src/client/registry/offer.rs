//! What is to be registered: a name, an address, a time, and what else there is to say. Pure.
//!
//! Enters: words. Leaves: the registry's command. Promised: the command means what was said; words that would mean something
//! else are refused here.

use std::time::Duration;

use super::error::RegistryError;
use crate::config::show_duration;
use crate::registry::grammar::{self, Command};

/// How long a lease lives without being renewed, unless said otherwise.
const TTL: Duration = Duration::from_secs(30);

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    name: String,
    address: String,
    ttl: Duration,
    pairs: Vec<(String, String)>,
}

impl Offer {
    /// Offers `name` at `address`: `tcp:host:port`, `tcp:[IPv6]:port` or `unix:/path`.
    #[must_use]
    pub fn new(name: &str, address: &str) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), ttl: TTL, pairs: Vec::new() }
    }

    /// How long it stays registered when this program does not renew it any more (30 s; from 1 s to 30 d).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Says one more thing of it. `dialect` is what clients look for.
    #[must_use]
    pub fn pair(mut self, key: &str, value: &str) -> Self {
        self.pairs.push((key.to_owned(), value.to_owned()));
        self
    }

    pub(in crate::client) fn time_to_live(&self) -> Duration {
        self.ttl
    }

    /// As the registry wants it.
    pub(in crate::client) fn command(&self) -> Result<String, RegistryError> {
        let Self { name, address, ttl, pairs } = self;
        let mut line = format!("REGISTER {name} {address} ttl={}", show_duration(*ttl));
        for (key, value) in pairs {
            line += &format!(" {key}={value}");
        }
        match grammar::command(line.as_bytes()) {
            Ok(Command::Register(read)) if read.name == *name && read.pairs.len() == pairs.len() => Ok(line),
            Ok(_) => Err(RegistryError::Unfit(format!("{line:?} would be taken for something else"))),
            Err(malformed) => Err(RegistryError::Unfit(malformed.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_the_registrys_command() {
        let offer = Offer::new("ledger", "tcp:h:7").pair("dialect", "line").pair("zone", "b");
        assert_eq!(offer.command().unwrap(), "REGISTER ledger tcp:h:7 ttl=30s dialect=line zone=b");
        let offer = Offer::new("ledger", "unix:/run/x").ttl(Duration::from_millis(1500));
        assert_eq!(offer.command().unwrap(), "REGISTER ledger unix:/run/x ttl=1500ms");
    }

    #[test]
    fn words_that_would_mean_something_else_are_refused() {
        let sound = || Offer::new("a", "tcp:h:7");
        for odd in [
            Offer::new("a b", "tcp:h:7"),
            Offer::new("a", "h:7"),
            sound().ttl(Duration::ZERO),
            sound().pair("k", "v\nUNREGISTER x"),
            sound().pair("k", "v ttl=9s"),
            sound().pair("k", "v w=1"),
            sound().pair("ttl", "9s"),
            sound().pair("Key", "v"),
        ] {
            assert!(matches!(odd.command(), Err(RegistryError::Unfit(_))), "{odd:?}");
        }
    }
}
