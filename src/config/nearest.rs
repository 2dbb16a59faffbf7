//! The nearest name: what somebody who wrote an unknown word may have meant. Pure.
//!
//! Enters: a word and the known ones. Leaves: a help text that names the nearest, if it is near enough, else all.

use strsim::osa_distance;

use super::complaint::quoted;

/// The known word that differs least from `word`, if at most about a third of its letters differ.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // What is far longer than any known word cannot be near one, and would take long to compare.
    let longest = known.iter().map(|name| name.len()).max().unwrap_or(0);
    if word.len() > 2 * longest {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    if let Some(name) = continued(&lower, known) {
        return Some(name);
    }
    let distances = known.iter().map(|name| (osa_distance(&lower, name), *name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len().div_ceil(3)).then_some(name)
}

/// The only known word that `word` is the start of, or that is the start of `word`.
fn continued<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let fits = |name: &&&str| word.len() >= 3 && (name.starts_with(word) || word.starts_with(**name));
    let mut fitting = known.iter().filter(fits);
    fitting.next().filter(|_| fitting.next().is_none()).copied()
}

/// "did you mean …?", or else what there is, introduced by `lead`.
pub(super) fn suggest(word: &str, known: &[&str], lead: &str) -> String {
    match nearest(word, known) {
        Some(name) => format!("did you mean {}?", quoted(name)),
        None => format!("{lead} {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 5] = ["connections", "timeout", "retries", "idle", "max_reply"];

    #[test]
    fn a_slip_of_the_keyboard_finds_its_word() {
        let slips = ["conections", "time_out", "retry", "idel", "Timeout", "max-reply"];
        let meant = ["connections", "timeout", "retries", "idle", "timeout", "max_reply"];
        assert_eq!(slips.map(|slip| nearest(slip, &KNOWN)), meant.map(Some));
    }

    #[test]
    fn a_word_that_is_cut_short_or_too_long_finds_its_word_unless_there_are_two() {
        let known = ["warn", "max_reply", "max_request", "demand"];
        let found = ["warning", "dem", "max_rep", "max"].map(|word| nearest(word, &known));
        assert_eq!(found, [Some("warn"), Some("demand"), Some("max_reply"), None]);
    }

    #[test]
    fn another_word_finds_none() {
        assert_eq!(["tls", "deferred", "rejects", "x", ""].map(|word| nearest(word, &KNOWN)), [None; 5]);
        assert_eq!(suggest("tls", &KNOWN[..2], "known are"), "known are connections, timeout");
    }
}
