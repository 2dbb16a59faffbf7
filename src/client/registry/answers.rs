//! One line of the registry's → what was asked for. Pure.

use super::error::{Kind, RegistryError};
use crate::client::home::Asked;
use crate::config::Address;
use crate::registry::grammar;

/// What stands behind `ok`.
///
/// # Errors
/// The registry refuses, or that is no answer.
pub(in crate::client) fn rest(line: &str) -> Result<&str, RegistryError> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("ok", rest) => Ok(rest),
        ("error", rest) => {
            let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let kind = Kind::read(kind).ok_or_else(|| RegistryError::garbled(line))?;
            Err(RegistryError::Refused { kind, text: text.to_owned() })
        }
        _ => Err(RegistryError::garbled(line)),
    }
}

/// The addresses that answer a `RESOLVE`.
///
/// # Errors
/// As [`rest`].
pub(in crate::client) fn addresses(line: &str) -> Result<Vec<Address>, RegistryError> {
    let words = rest(line)?.split(' ');
    let found: Result<Vec<_>, _> = words.map(grammar::address).collect();
    found.map_err(|_| RegistryError::garbled(line))
}

/// What is known of a name now.
pub(in crate::client) fn asked(answer: Result<Vec<Address>, RegistryError>) -> Asked {
    match answer {
        Ok(places) => Asked::At(places),
        Err(RegistryError::Refused { kind: Kind::Unknown, text }) => Asked::Nowhere(text),
        Err(other) => Asked::Away(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_the_registrys_order() {
        let found = addresses("ok unix:/run/a.sock tcp:h:7 tcp:[::1]:8").unwrap();
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["unix:/run/a.sock", "h:7", "[::1]:8"]);
    }

    #[test]
    fn refusals_are_told_by_their_kind_and_what_is_no_answer_as_such() {
        let refused = rest("error unknown there is no lease x").unwrap_err();
        assert_eq!(refused.to_string(), "the registry refuses (unknown): there is no lease x");
        assert!(refused.is_unknown());
        for line in ["", "okay", "error", "error odd x"] {
            assert_eq!(rest(line), Err(RegistryError::garbled(line)));
        }
        for line in ["ok", "ok nonsense", "ok unix:relative"] {
            assert_eq!(addresses(line), Err(RegistryError::garbled(line)));
        }
        assert_eq!(rest("ok"), Ok(""));
    }

    #[test]
    fn only_a_registry_that_answers_knows_that_a_name_is_nowhere() {
        assert_eq!(asked(addresses("error unknown none")), Asked::Nowhere("none".to_owned()));
        assert!(matches!(asked(addresses("error unavailable nats is away")), Asked::Away(_)));
    }
}
