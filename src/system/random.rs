//! Random numbers that nobody can guess, from the kernel.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Such a number. Waits, right after the machine was started, until the kernel has gathered enough of it.
///
/// # Errors
/// When the kernel has none (getrandom(2)): it is older than 3.17, or forbids to ask.
pub fn random() -> Result<u128, Errno> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(u128::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_another_one_each_time() {
        let numbers: std::collections::BTreeSet<u128> = (0..1000).map(|_| random().unwrap()).collect();
        assert_eq!(numbers.len(), 1000);
    }
}
