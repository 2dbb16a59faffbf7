//! The fields of a host, as written in `hosts.tab` → checked values: name, address, dialect. Pure.
//!
//! Enters: one word. Leaves: a name, an [`Address`], a [`Dialect`], a loopback address to listen on; or what is wrong
//! with the word. Promised: an address that is read is one that can be connected to as far as its form goes, and its
//! `Display` is read back as the same address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio_rustls::rustls::pki_types::ServerName;

use super::complaint::{Wrong, quoted};
use super::nearest::suggest;
use super::settings::Address;
use super::toml_values::normalized;
use crate::dialect::Dialect;

/// Most bytes of a UNIX socket's path: `sun_path` has 108, the last one is 0 (unix(7)).
pub(super) const SOCKET_PATH_MAX: usize = 107;

const ADDRESS_HELP: &str = "an address is host:port, [IPv6]:port, unix:/path or @name";
const DIALECTS: [(&str, Dialect); 4] =
    [("line", Dialect::Line), ("len32", Dialect::Len32), ("resp", Dialect::Resp), ("memcache", Dialect::Memcache)];
const LATER_DIALECTS: [&str; 1] = ["http"];
const OTHER_NAME: &str = "choose another name";
const NAME_HELP: &str = "a name is 1 to 63 of a-z, 0-9, `_`, `.` and `-`, and starts with a letter or a digit";

/// Checks the name of a host.
pub(super) fn check_name(word: &str) -> Result<(), Wrong> {
    let what = "for a host";
    match word {
        "" | "control" => no_name(word, what, "control.sock is the socket of tieline itself", OTHER_NAME),
        "registry" => no_name(word, what, "registry.sock is the socket of the registry", OTHER_NAME),
        _ if word.ends_with(".deferred") => no_name(word, what, "names that end in `.deferred` are kept", OTHER_NAME),
        _ => check_form(word, what),
    }
}

/// Checks the name of a `[serve.NAME]`.
pub(super) fn check_serve_name(word: &str) -> Result<(), Wrong> {
    check_form(word, "to serve under")
}

fn no_name(word: &str, what: &str, why: &str, help: &str) -> Result<(), Wrong> {
    Err(Wrong::new(format!("{} is no name {what}: {why}", quoted(word)), help))
}

fn check_form(word: &str, what: &str) -> Result<(), Wrong> {
    let no_name = |why: &str| no_name(word, what, why, NAME_HELP);
    if let Some(letter) = word.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '.' | '-')) {
        return no_name(&format!("{} may not stand in one", quoted(&letter.to_string())));
    }
    match word {
        _ if word.len() > 63 => no_name("it is too long"),
        _ if !word.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
            no_name("it starts with neither letter nor digit")
        }
        _ => Ok(()),
    }
}

/// Reads the address of a host.
pub(super) fn address(word: &str) -> Result<Address, Wrong> {
    if let Some(name) = word.strip_prefix('@') {
        return registered(word, name);
    }
    match word.strip_prefix("unix:") {
        Some(path) => unix(word, path),
        None => tcp(word),
    }
}

/// Reads the address of a host for those outside of the configuration; else says what is wrong with it.
pub(crate) fn read_address(word: &str) -> Result<Address, String> {
    address(word).map_err(|wrong| wrong.what)
}

/// Reads the path of a socket that is to be made: why it is none completes "cannot be `x`: …".
pub(super) fn socket_path(path: &str) -> Result<PathBuf, String> {
    match path {
        _ if !Path::new(path).is_absolute() => Err("its path is not absolute".to_owned()),
        _ if path.chars().any(char::is_control) => Err("its path has a control character".to_owned()),
        _ if path.len() > SOCKET_PATH_MAX => {
            Err(format!("its path has {} bytes, at most {SOCKET_PATH_MAX} are allowed", path.len()))
        }
        _ => Ok(normalized(Path::new(path))),
    }
}

/// Reads an address of this machine to listen on: why it is none completes "cannot be `x`: …".
pub(super) fn socket_address(word: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = word.parse().map_err(|_| "it is no IP address with a port")?;
    if address.port() == 0 { Err("its port is 0".to_owned()) } else { Ok(address) }
}

/// A name of the registry.
fn registered(word: &str, name: &str) -> Result<Address, Wrong> {
    if crate::registry::grammar::is_name(name) {
        return Ok(Address::Name { name: name.to_owned() });
    }
    let help = format!("{NAME_HELP}; it does not end in `.deferred`");
    Err(Wrong::new(format!("{} is no address: no name stands behind its `@`", quoted(word)), help))
}

fn unix(word: &str, path: &str) -> Result<Address, Wrong> {
    let wrong = |why: &str, help: &str| Err(Wrong::new(format!("{} is no address: {why}", quoted(word)), help));
    if !Path::new(path).is_absolute() {
        return wrong("its path is not absolute", "write the path from the root: unix:/path");
    }
    if path.len() > SOCKET_PATH_MAX {
        let why = format!("its path has {} bytes", path.len());
        return wrong(&why, "a socket's path has at most 107 bytes: use a shorter one, or a symbolic link");
    }
    Ok(Address::Unix { path: PathBuf::from(path) })
}

fn tcp(word: &str) -> Result<Address, Wrong> {
    let wrong = |why: String| Err(Wrong::new(format!("{} is no address: {why}", quoted(word)), ADDRESS_HELP));
    let (host, port) = match split(word) {
        Ok(parts) => parts,
        Err(why) => return wrong(why.to_owned()),
    };
    let Some(port) = port_number(port) else {
        return wrong(format!("its port {} is no number from 1 to 65535", quoted(port)));
    };
    let host = host.to_owned();
    Ok(Address::Tcp { host, port })
}

/// Host and port; the host without its brackets, and checked.
fn split(word: &str) -> Result<(&str, &str), &'static str> {
    if let Some(rest) = word.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("its `]` is missing")?;
        let port = port.strip_prefix(':').ok_or("its port is missing")?;
        return if is_v6(host) { Ok((host, port)) } else { Err("no IPv6 address stands in its brackets") };
    }
    if word.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address stands in brackets, and a port after them");
    }
    let (host, port) = word.rsplit_once(':').ok_or("its port is missing")?;
    match host {
        _ if port.is_empty() => Err("its port is missing"),
        "" => Err("its host is missing"),
        _ if host.contains(':') => Err("it has too many colons"),
        _ if looks_like_v4(host) && host.parse::<Ipv4Addr>().is_err() => Err("its IPv4 address is no valid one"),
        _ if !is_host_name(host) => Err("its host is no name that could be resolved"),
        _ => Ok((host, port)),
    }
}

/// An IPv6 address, if need be with the zone that a link-local one takes (RFC 4007).
fn is_v6(host: &str) -> bool {
    let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
    let zone_is_fine =
        (1..=15).contains(&zone.len()) && zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    zone_is_fine && address.parse::<Ipv6Addr>().is_ok()
}

/// Digits and dots alone are never a name: `10.0.1` would be taken for 10.0.0.1 by some resolvers.
fn looks_like_v4(host: &str) -> bool {
    host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// Labels of 1 to 63 letters, digits, `-` and `_`, together at most 253 bytes (RFC 1123; `_` is in wide use).
fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= 253 && name.split('.').all(label)
}

fn port_number(port: &str) -> Option<u16> {
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|number| digits && *number != 0)
}

/// Reads an address to listen on: why it is none completes "cannot be `x`: …".
pub(super) fn loopback(word: &str) -> Result<SocketAddr, &'static str> {
    let address: SocketAddr = word.parse().map_err(|_| "it is no IP address with a port")?;
    match address.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() => Err("it is no loopback address"),
        IpAddr::V6(ip) if !ip.is_loopback() => Err("it is no loopback address"),
        _ if address.port() == 0 => Err("its port is 0"),
        _ => Ok(address),
    }
}

/// Reads a name to be found in a certificate: why it is none completes "cannot be `x`: …".
pub(super) fn server_name(word: &str) -> Result<String, &'static str> {
    match ServerName::try_from(word) {
        Ok(_) => Ok(word.to_owned()),
        Err(_) => Err("it is neither a DNS name nor an IP address"),
    }
}

/// The name or address that the certificate of a host at this address has, if there can be one.
pub(crate) fn certified_name(address: &Address) -> Option<ServerName<'static>> {
    let Address::Tcp { host, .. } = address else { return None };
    // Which interface a link-local address belongs to is no one else's business.
    let name = host.split('%').next().unwrap_or(host);
    ServerName::try_from(name.to_owned()).ok()
}

/// Reads the dialect of a host.
pub(super) fn dialect(word: &str) -> Result<Dialect, Wrong> {
    let found = DIALECTS.iter().find(|(name, _)| *name == word);
    found.map(|(_, dialect)| *dialect).ok_or_else(|| unknown_dialect(word))
}

fn unknown_dialect(word: &str) -> Wrong {
    let known = DIALECTS.map(|(name, _)| name);
    if LATER_DIALECTS.contains(&word) {
        let what = format!("the dialect {} is not in this version", quoted(word));
        return Wrong::new(what, format!("this version speaks {}", known.join(", ")));
    }
    Wrong::new(format!("there is no dialect {}", quoted(word)), suggest(word, &known, "this version speaks"))
}

/// A dialect as it is written.
pub(super) fn dialect_word(dialect: Dialect) -> &'static str {
    DIALECTS.iter().find(|(_, known)| *known == dialect).map_or("", |(word, _)| word)
}
