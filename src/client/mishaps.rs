//! Attempts to connect that came to nothing → one error that tells of all of them. Pure, but for a look at a socket's file.

use std::io::{self, ErrorKind};

use super::error::Error;
use super::home::deferred;
use crate::config::Address;

/// Attempts to reach one name.
#[derive(Debug)]
pub(super) struct Mishaps<'a> {
    name: &'a str,
    tried: Vec<(Address, io::Error)>,
}

impl<'a> Mishaps<'a> {
    pub(super) fn of(name: &'a str) -> Self {
        Self { name, tried: Vec::new() }
    }

    pub(super) fn note(&mut self, address: Address, error: io::Error) {
        self.tried.push((address, error));
    }

    /// What all of them come to. `places` is where the name is; its deferred sockets were wanted if `is_deferred`.
    pub(super) fn told(self, is_deferred: bool, places: &[Address]) -> Error {
        let name = self.name.to_owned();
        let lacks = |address: &Address| match (address, deferred(address)) {
            (Address::Unix { path }, Some(Address::Unix { path: other })) => path.exists() && !other.exists(),
            _ => true,
        };
        if is_deferred && places.iter().all(lacks) {
            return Error::NotDeferred { name };
        }
        if let [(Address::Unix { path }, error)] = &self.tried[..]
            && error.kind() == ErrorKind::PermissionDenied
        {
            return Error::Permission { path: path.clone() };
        }
        let told: Vec<String> = self.tried.iter().map(|(address, error)| format!("{address}: {error}")).collect();
        Error::Unreachable { name, tried: told.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(path: &str) -> Address {
        Address::Unix { path: path.into() }
    }

    #[test]
    fn every_attempt_is_told() {
        let mut mishaps = Mishaps::of("a");
        mishaps.note(unix("/x/a.sock"), ErrorKind::NotFound.into());
        mishaps.note(Address::Tcp { host: "h".to_owned(), port: 1 }, ErrorKind::ConnectionRefused.into());
        let text = mishaps.told(false, &[]).to_string();
        assert!(text.contains("unix:/x/a.sock: ") && text.contains("h:1: "), "{text}");
    }

    #[test]
    fn a_socket_that_is_not_for_us_is_told_with_its_path() {
        let mut mishaps = Mishaps::of("a");
        mishaps.note(unix("/x/a.sock"), ErrorKind::PermissionDenied.into());
        assert!(matches!(mishaps.told(false, &[]), Error::Permission { path } if path.ends_with("a.sock")));
    }

    #[test]
    fn a_host_without_a_deferred_socket_is_told_from_a_daemon_that_is_away() {
        let dir = tempfile::tempdir().unwrap();
        let place = Address::Unix { path: dir.path().join("a.sock") };
        let mishaps = || Mishaps::of("a");
        assert!(matches!(mishaps().told(true, std::slice::from_ref(&place)), Error::Unreachable { .. }));
        std::fs::write(dir.path().join("a.sock"), "").unwrap();
        assert!(matches!(mishaps().told(true, &[place]), Error::NotDeferred { .. }));
        let far = Address::Tcp { host: "h".to_owned(), port: 1 };
        assert!(matches!(mishaps().told(true, &[far]), Error::NotDeferred { .. }));
    }
}
