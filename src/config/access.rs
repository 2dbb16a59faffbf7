//! Who may use a host's socket: owner, group and permission bits, and whom the child lets in.
//!
//! Enters: one word. Leaves: a number or several, or why the word is none. The machine's own tables of users and groups are asked.

use nix::unistd::{Group, User};

use super::complaint::quoted;
use super::settings::Allowed;

/// Reads a user, by name or by number.
pub(super) fn owner(word: &str) -> Result<u32, String> {
    id(word, || User::from_name(word).map(|user| user.map(|user| user.uid.as_raw())))
}

/// Reads a group, by name or by number.
pub(super) fn group(word: &str) -> Result<u32, String> {
    id(word, || Group::from_name(word).map(|group| group.map(|group| group.gid.as_raw())))
}

/// Reads users and groups, separated by commas, a group with an `@` before it.
pub(super) fn allowed(word: &str) -> Result<Vec<Allowed>, String> {
    let one = |part: &str| match part.strip_prefix('@') {
        _ if part.is_empty() || part == "@" => Err("a name is missing".to_owned()),
        Some(name) => group(name).map(Allowed::Group).map_err(|why| format!("group {}: {why}", quoted(name))),
        None => owner(part).map(Allowed::User).map_err(|why| format!("user {}: {why}", quoted(part))),
    };
    word.split(',').map(one).collect()
}

/// A number as it stands, or what the machine knows the name as.
fn id(word: &str, look_up: impl Fn() -> nix::Result<Option<u32>>) -> Result<u32, String> {
    if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) {
        // chown(2) takes the largest number for "leave it as it is".
        let number = word.parse().ok().filter(|number| *number != u32::MAX);
        return number.ok_or_else(|| "it is too large".to_owned());
    }
    match look_up() {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err("there is no such name on this machine".to_owned()),
        Err(error) => Err(format!("it cannot be looked up: {}", error.desc())),
    }
}

/// Reads permission bits, in octal.
pub(super) fn mode(word: &str) -> Result<u32, &'static str> {
    let octal = !word.is_empty() && word.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let bits = if octal { u32::from_str_radix(word, 8).ok() } else { None };
    match bits {
        None => Err("it is no octal number"),
        Some(bits) if bits > 0o777 => Err("it has more than the nine permission bits"),
        // To connect to a socket one must be allowed to write to it (unix(7)).
        Some(bits) if bits & 0o222 == 0 => Err("nobody could connect"),
        Some(bits) => Ok(bits),
    }
}
