//! Ages and amounts of bytes, for people.

/// An age in the largest whole unit that fits.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// An amount of bytes with three digits at most, and the unit that fits.
pub(super) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes;
    let mut unit = 0;
    while scaled >= 1024 * 1024 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    let (whole, tenth) = (scaled / 1024, scaled % 1024 * 10 / 1024);
    if whole < 10 { format!("{whole}.{tenth} {}", UNITS[unit]) } else { format!("{whole} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_amounts_have_the_unit_that_fits() {
        assert_eq!([0, 119, 120, 7_199, 7_200, 172_800].map(age), ["0 s", "119 s", "2 min", "119 min", "2 h", "2 d"]);
        let bytes = [0, 1023, 1024, 10 << 10, (1 << 20) - 1, 1 << 20, 5 << 29, u64::MAX];
        let shown = ["0 B", "1023 B", "1.0 KiB", "10 KiB", "1023 KiB", "1.0 MiB", "2.5 GiB", "16777215 TiB"];
        assert_eq!(bytes.map(amount), shown);
    }
}
