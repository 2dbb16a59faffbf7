//! `tieline register`, `resolve`, `list` and `watch`: the registry from the command line.
//!
//! Enters: names, addresses, prefixes. Leaves: addresses, rows and changes on standard output; an exit code that says whether
//! to try again. Promised: what is printed with `--json` has one object per line.
//!
//! - `show` — rows and changes as text
//! - `register` — keeps a registration until it is ended

mod register;
mod show;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use clap::Subcommand;

use super::{complain, exit, print};
use crate::client::{Client, Error, Kind, News, Registry, RegistryError};
use crate::config::read_duration;

/// What `register --help` says below the options.
const REGISTER_HELP: &str = "\
The lease is printed as soon as the name is registered. It is renewed until this command is ended by TERM or INT, which
unregisters the name. Should it be ended otherwise, the lease ends by itself after TTL.

With --once it is printed, and nothing renews it: who has it says RENEW and UNREGISTER to registry.sock.";

/// What is to be done with the registry.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Register an instance of a name, and keep it registered
    #[command(after_help = REGISTER_HELP)]
    Register {
        /// What it is found under
        name: String,
        /// Where it is: tcp:host:port, tcp:[IPv6]:port or unix:/path
        address: String,
        /// How long it stays registered when it is not renewed any more
        #[arg(long, default_value = "30s", value_parser = duration)]
        ttl: Duration,
        /// Print the lease and leave
        #[arg(long)]
        once: bool,
        /// What else is to be known of it, such as dialect=line
        #[arg(value_name = "KEY=VALUE", value_parser = pair)]
        pairs: Vec<(String, String)>,
    },
    /// Print the addresses of a name
    Resolve {
        /// The name
        name: String,
    },
    /// Print what is registered
    List {
        /// Only names that start so
        #[arg(default_value = "")]
        prefix: String,
        /// One object of JSON per line, for machines
        #[arg(long)]
        json: bool,
    },
    /// Print what is registered, then every change
    Watch {
        /// Only names that start so
        #[arg(default_value = "")]
        prefix: String,
        /// One object of JSON per line, for machines
        #[arg(long)]
        json: bool,
    },
}

fn duration(word: &str) -> Result<Duration, String> {
    read_duration(word).map_err(|why| format!("{why}; write a whole number and `ms`, `s`, `m`, `h` or `d`"))
}

fn pair(word: &str) -> Result<(String, String), String> {
    let (key, value) = word.split_once('=').ok_or("it is no KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

pub(super) fn run(config: Option<&Path>, action: &Action) -> u8 {
    match act(config, action) {
        Ok(code) => code,
        Err(error) => {
            complain(&error.to_string());
            exit_code(&error)
        }
    }
}

fn act(config: Option<&Path>, action: &Action) -> Result<u8, Error> {
    let options = config.map_or_else(Client::options, |file| Client::options().config(file));
    match action {
        Action::Register { name, address, ttl, once, pairs } => {
            register::run(&options, name, address, *ttl, *once, pairs)
        }
        Action::Resolve { name } => {
            let addresses = Registry::open(&options)?.resolve(name)?;
            Ok(print(&addresses.iter().map(|address| show::address(address) + "\n").collect::<String>()))
        }
        Action::List { prefix, json } => {
            let instances = Registry::open(&options)?.list(prefix)?;
            Ok(print(&if *json { show::json_rows(&instances) } else { show::table(&instances) }))
        }
        Action::Watch { prefix, json } => watch(&Registry::open(&options)?, prefix, *json),
    }
}

/// Prints news until nobody reads them any more.
fn watch(registry: &Registry, prefix: &str, json: bool) -> Result<u8, Error> {
    let (mut watch, mut out) = (registry.watch(prefix)?, io::stdout());
    let mut news = watch.news()?;
    let mut was_away = false;
    loop {
        if !write(&mut out, &news, json) {
            return Ok(exit::OK);
        }
        news = loop {
            match watch.news() {
                Ok(news) => break news,
                Err(error) if may_pass(&error) => {
                    if !std::mem::replace(&mut was_away, true) {
                        complain(&format!("{error}; trying again"));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        };
        was_away = false;
    }
}

/// Whether somebody reads that.
fn write(out: &mut io::Stdout, news: &News, json: bool) -> bool {
    let text = if json { show::json_news(news) } else { show::news(news) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Whether a watcher waits for better times.
fn may_pass(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Away { .. } | RegistryError::Refused { kind: Kind::Busy | Kind::Unavailable, .. })
}

fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Config(_) => exit::CONFIG,
        Error::Registry(error) => match error {
            RegistryError::Unfit(_) | RegistryError::Refused { kind: Kind::Malformed, .. } => exit::USAGE,
            RegistryError::Away { .. } | RegistryError::Refused { kind: Kind::Unknown, .. } => exit::UNAVAILABLE,
            RegistryError::Permission { .. } | RegistryError::Refused { kind: Kind::Denied, .. } => exit::NOPERM,
            RegistryError::Refused { .. } => exit::TEMPFAIL,
            RegistryError::Garbled { .. } => exit::SOFTWARE,
        },
        _ => exit::IOERR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_says_whether_to_try_again() {
        let refused = |kind| RegistryError::Refused { kind, text: String::new() };
        let away = RegistryError::Away { path: "/x".into(), reason: String::new() };
        for (error, code) in [
            (refused(Kind::Malformed), 64),
            (RegistryError::Unfit(String::new()), 64),
            (refused(Kind::Unknown), 69),
            (away, 69),
            (RegistryError::Garbled { line: String::new() }, 70),
            (refused(Kind::Busy), 75),
            (refused(Kind::Unavailable), 75),
            (refused(Kind::Failed), 75),
            (refused(Kind::Denied), 77),
            (RegistryError::Permission { path: "/x".into() }, 77),
        ] {
            assert_eq!(exit_code(&Error::Registry(error.clone())), code, "{error:?}");
        }
    }

    #[test]
    fn a_watcher_waits_for_a_registry_that_is_away_and_not_for_one_that_refuses() {
        assert!(may_pass(&RegistryError::Away { path: "/x".into(), reason: String::new() }));
        assert!(!may_pass(&RegistryError::Garbled { line: String::new() }));
        assert!(!may_pass(&RegistryError::Permission { path: "/x".into() }));
    }
}
