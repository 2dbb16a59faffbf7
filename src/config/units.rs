//! Units: durations, sizes and counts, as written ↔ as numbers. Pure.
//!
//! Enters: one word. Leaves: a value, or why the word is none. Promised: no word overflows or panics, and what
//! [`show_duration`] and [`show_size`] write is read back as the same value.
//!
//! ```text
//! count     digits                                      10
//! duration  digits, then `ms`, `s`, `m`, `h` or `d`     250ms  5s  1h  5d
//! size      digits, then nothing (bytes), `KiB`, `MiB`, `GiB` or `TiB`   64KiB
//! ```

use std::time::Duration;

/// The forms of a duration, for help texts.
pub(super) const DURATION_FORM: &str = "a whole number and `ms`, `s`, `m`, `h` or `d`";
/// The forms of a size, for help texts.
pub(super) const SIZE_FORM: &str = "a number of bytes, or a whole number and `KiB`, `MiB`, `GiB` or `TiB`";

/// Milliseconds of each unit of a duration, largest first.
const TIMES: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Bytes of each unit of a size, largest first.
const SIZES: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Why a word is no value; completes "cannot be `x`: …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(pub(super) &'static str);

const TOO_LARGE: Reason = Reason("it is too large");
const NO_NUMBER: Reason = Reason("it is no whole number");

/// Reads a count.
pub(super) fn count(word: &str) -> Result<u64, Reason> {
    let (number, unit) = split(word)?;
    if unit.is_empty() { Ok(number) } else { Err(NO_NUMBER) }
}

/// Reads a duration.
pub(super) fn duration(word: &str) -> Result<Duration, Reason> {
    let (number, unit) = split(word)?;
    if unit.is_empty() {
        return Err(Reason("its unit is missing"));
    }
    scaled(number, unit, &TIMES).map(Duration::from_millis)
}

/// Reads a duration for those outside of the configuration; what is wrong with it completes "is no duration: …".
pub(crate) fn read_duration(word: &str) -> Result<Duration, &'static str> {
    duration(word).map_err(|reason| reason.0)
}

/// Reads a size in bytes.
pub(super) fn size(word: &str) -> Result<u64, Reason> {
    let (number, unit) = split(word)?;
    if unit.is_empty() { Ok(number) } else { scaled(number, unit, &SIZES) }
}

/// The digits at the word's start as a number, and the rest.
fn split(word: &str) -> Result<(u64, &str), Reason> {
    let end = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(end);
    if digits.is_empty() {
        return Err(NO_NUMBER);
    }
    digits.parse().map(|number| (number, unit)).map_err(|_| TOO_LARGE)
}

fn scaled(number: u64, unit: &str, units: &[(&str, u64)]) -> Result<u64, Reason> {
    let found = units.iter().find(|(name, _)| *name == unit);
    let (_, factor) = found.ok_or(Reason("its unit is unknown"))?;
    number.checked_mul(*factor).ok_or(TOO_LARGE)
}

/// Writes a duration of whole milliseconds with the largest unit that leaves no rest.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(millis, &TIMES).unwrap_or_else(|| "0s".to_owned())
}

/// Writes a size with the largest unit that leaves no rest.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES).unwrap_or_else(|| bytes.to_string())
}

fn show(value: u64, units: &[(&str, u64)]) -> Option<String> {
    let fits = |factor: u64| value != 0 && value.is_multiple_of(factor);
    let (unit, factor) = units.iter().find(|(_, factor)| fits(*factor))?;
    Some(format!("{}{unit}", value / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_in_each_unit() {
        let read = ["250ms", "5s", "10m", "1h", "5d", "0s"].map(|word| duration(word).unwrap().as_millis());
        assert_eq!(read, [250, 5000, 600_000, 3_600_000, 432_000_000, 0]);
    }

    #[test]
    fn sizes_are_read_in_each_unit() {
        let read = ["7", "64KiB", "16MiB", "1GiB", "2TiB"].map(|word| size(word).unwrap());
        assert_eq!(read, [7, 64 << 10, 16 << 20, 1 << 30, 2 << 40]);
    }

    #[test]
    fn what_is_not_quite_a_value_is_refused_with_the_reason() {
        let reasons = ["5", "s", "5 s", "5S", "1.5s", "-1s", "+1s", "", "99999999999999999999s", "999999999999999d"]
            .map(|word| duration(word).unwrap_err().0);
        assert_eq!(reasons[0], "its unit is missing");
        assert_eq!(reasons[1], NO_NUMBER.0);
        assert_eq!(reasons[2..5], ["its unit is unknown"; 3]);
        assert_eq!(reasons[5..8], [NO_NUMBER.0; 3]);
        assert_eq!(reasons[8..], [TOO_LARGE.0; 2]);
        assert_eq!(["64KB", "64K", "64kib"].map(|word| size(word).unwrap_err().0), ["its unit is unknown"; 3]);
        assert_eq!(["4x", "4s", "x", "٣"].map(|word| count(word).unwrap_err().0), [NO_NUMBER.0; 4]);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(millis in 0..u64::MAX, bytes: u64) {
            prop_assert_eq!(duration(&show_duration(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }
}
