//! Which options mean something to which hosts, besides those of the spool. Pure.
//!
//! Enters: a host with all its options, and the key of one of them. Leaves: what is wrong with giving it to this host.
//! Promised: nothing that is given is silently without effect; what `[defaults]` says to all hosts goes only to those to
//! whom it means something.

use super::complaint::Wrong;
use super::fields::certified_name;
use super::settings::{Address, HostSettings};
use crate::dialect::Dialect;

/// What is wrong with giving the option `key` to this host, if anything is. `is_given` tells whether its own line has an
/// option, right or wrong.
pub(super) fn check(host: &HostSettings, key: &str, is_given: &dyn Fn(&str) -> bool) -> Result<(), Wrong> {
    match key {
        "tls" => tls(host, is_given("sni")),
        "sni" | "ca" | "cert" | "key" if !host.tls => {
            let help = format!("add `tls` to this host, or remove `{key}`");
            Err(Wrong::new(format!("`{key}` means nothing without `tls`"), help))
        }
        "cert" if host.key.is_none() && !is_given("key") => {
            Err(Wrong::new("`cert` is given without `key`", "add `key=` and the file of the certificate's private key"))
        }
        "key" if host.cert.is_none() && !is_given("cert") => {
            Err(Wrong::new("`key` is given without `cert`", "add `cert=` and the file of the key's certificate"))
        }
        "user" | "password_file" | "db" if !logs_in(host.dialect) => Err(no_login(host.dialect, key)),
        "user" if host.password_file.is_none() && !is_given("password_file") => {
            let help = "add `password_file=` and the file of this user's password";
            Err(Wrong::new("`user` is given without `password_file`", help))
        }
        "greeting" | "secrets" if !has_script(host.dialect) => Err(no_script(host.dialect, key)),
        "secrets" if host.greeting.is_none() && !is_given("greeting") => {
            let help = "add `greeting=` and the file that uses the secrets, or remove `secrets`";
            Err(Wrong::new("`secrets` means nothing without `greeting`", help))
        }
        _ => Ok(()),
    }
}

fn tls(host: &HostSettings, sni_is_given: bool) -> Result<(), Wrong> {
    match &host.address {
        // The address may be one that could not be read.
        Address::Unix { path } if path.as_os_str().is_empty() => Ok(()),
        Address::Unix { .. } => Err(Wrong::new(
            "`tls` is for hosts that are reached over TCP",
            "remove it: what goes over a UNIX socket does not leave the machine",
        )),
        Address::Tcp { .. } if host.sni.is_none() && !sni_is_given && certified_name(&host.address).is_none() => {
            let help = "add `sni=` and the name that the host's certificate has";
            Err(Wrong::new("no certificate can have the name in this address", help))
        }
        // Of an instance without a name in its address it is said when it is met.
        Address::Tcp { .. } | Address::Name { .. } => Ok(()),
    }
}

/// Whether user, password and database mean something in this dialect.
fn logs_in(dialect: Dialect) -> bool {
    dialect == Dialect::Resp
}

/// Whether a scripted exchange means something in this dialect.
fn has_script(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Line | Dialect::Len32)
}

fn no_login(dialect: Dialect, key: &str) -> Wrong {
    let help = match has_script(dialect) {
        true => "write what a connection says first into a file, and name it with `greeting=`".to_owned(),
        false => format!("remove it: connections of `{}` begin with no word", dialect.name()),
    };
    Wrong::new(format!("`{key}` is for `resp`"), help)
}

fn no_script(dialect: Dialect, key: &str) -> Wrong {
    let help = match logs_in(dialect) {
        true => "use `user`, `password_file` and `db`".to_owned(),
        false => format!("remove it: connections of `{}` begin with no word", dialect.name()),
    };
    Wrong::new(format!("`{key}` is for `line` and `len32`"), help)
}

/// Takes from a host what `[defaults]` says to hosts of another kind only. `plain` is the host without any option.
pub(super) fn without_idle_words(host: &mut HostSettings, plain: &HostSettings) {
    let HostSettings { sni, ca, cert, key, user, password_file, db, greeting, secrets, .. } = plain.clone();
    host.tls &= !matches!(host.address, Address::Unix { .. });
    if !host.tls {
        (host.sni, host.ca, host.cert, host.key) = (sni, ca, cert, key);
    }
    if !logs_in(host.dialect) {
        (host.user, host.password_file, host.db) = (user, password_file, db);
    }
    if !has_script(host.dialect) {
        (host.greeting, host.secrets) = (greeting, secrets);
    }
}
