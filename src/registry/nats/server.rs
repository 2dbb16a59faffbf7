//! The version of a NATS server, and whether its bucket can keep leases. Pure.
//!
//! Enters: what a server says of itself when it is connected to. Leaves: nothing, or [`NatsError::TooOld`]. Promised: a server
//! that would take a time to live and then ignore it is never written to.

use super::error::NatsError;

/// The first version whose buckets end a key by its own time and tell of it, on a single node and in a cluster alike.
pub const OLDEST: (u64, u64) = (2, 12);

/// Checks the version `said` of the server `name`, as in `2.12.3` or `2.13.0-beta.1`.
///
/// # Errors
/// When it is older than [`OLDEST`], or cannot be read.
pub fn check(name: &str, said: &str) -> Result<(), NatsError> {
    match read(said) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => Err(NatsError::TooOld { server: name.to_owned(), version: said.to_owned() }),
    }
}

/// The first two numbers of a version.
fn read(said: &str) -> Option<(u64, u64)> {
    let mut numbers = said.trim_start_matches('v').split(['.', '-', '+']);
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_from_2_12_on_are_taken() {
        for version in ["2.12.0", "2.12.8", "v2.12.1", "2.13.0-beta.1", "2.15.1", "3.0.0", "2.100.0", "10.0.0"] {
            assert!(check("n1", version).is_ok(), "{version}");
        }
    }

    #[test]
    fn older_ones_and_nonsense_are_refused_by_name() {
        for version in ["2.11.11", "2.9.25", "1.99.0", "", "2", "two.twelve", "2.x", "-2.12", "99999999999999999999.1"]
        {
            let refusal = check("n1", version).expect_err(version).to_string();
            assert!(refusal.contains("n1") && refusal.contains(version) && refusal.contains("2.12"), "{refusal}");
        }
    }
}
