//! Where the daemon of this machine has its sockets, and which of them lead to a name. Pure but for finding the directory.
//!
//! Enters: perhaps a directory or a configuration; a name; what the registry says of it. Leaves: addresses to be tried one
//! after the other. Promised: a name never leads out of the directory.
//!
//! The directory, the first that is given: by the program; `run_dir` of the configuration that the program names; the
//! environment's `TIELINE_RUN_DIR`; `run_dir` of the configuration at its usual place (`/etc/tieline/tieline.toml`, else
//! `./etc/tieline.toml`); `/run/tieline`.

use std::env;
use std::path::{Path, PathBuf};

use super::error::Error;
use super::registry::Instance;
use crate::config::{self, Address};
use crate::dialect::Dialect;
use crate::registry::grammar;

/// The environment's word for the directory.
pub const RUN_DIR_VARIABLE: &str = "TIELINE_RUN_DIR";

/// Where it is when nobody says so.
const USUAL: &str = "/run/tieline";

/// The directory of the daemon's sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    run_dir: PathBuf,
    config: Option<PathBuf>,
}

/// What the registry said of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Where it is; the first one is to be tried first.
    At(Vec<Address>),
    /// There is no such name; the text is the registry's.
    Nowhere(String),
    /// No registry answers.
    Away(String),
}

impl Home {
    /// Finds the directory.
    pub(super) fn find(run_dir: Option<&Path>, config: Option<&Path>) -> Result<Self, Error> {
        let at = |run_dir: PathBuf| Self { run_dir, config: config.map(Path::to_owned) };
        if let Some(dir) = run_dir {
            return Ok(at(dir.to_owned()));
        }
        if config.is_some() {
            return Ok(at(config::load_places(config)?.0.run_dir));
        }
        let named = env::var_os(RUN_DIR_VARIABLE).filter(|dir| !dir.is_empty()).map(PathBuf::from);
        // A program need not be allowed to read the configuration: then its usual directory counts.
        let configured = || config::load_places(None).ok().map(|(places, _)| places.run_dir);
        Ok(at(named.or_else(configured).unwrap_or_else(|| USUAL.into())))
    }

    pub(super) fn registry(&self) -> PathBuf {
        self.run_dir.join("registry.sock")
    }

    /// Where to try for `name`, in this order. `last` is where it was found before: it counts while the registry is away.
    pub(super) fn places(&self, name: &str, asked: Asked, last: &[Address]) -> Result<Vec<Address>, Error> {
        let usual = || vec![Address::Unix { path: self.run_dir.join(format!("{name}.sock")) }];
        match asked {
            Asked::At(places) => Ok(places),
            Asked::Nowhere(text) => Err(Error::UnknownName { name: name.to_owned(), text }),
            Asked::Away(_) if last.is_empty() => Ok(usual()),
            Asked::Away(_) => Ok(last.to_vec()),
        }
    }

    /// The dialect that `hosts.tab` says for `name`, if the table can be read and is the one of this directory.
    pub(super) fn dialect_in_table(&self, name: &str) -> Option<Dialect> {
        let settings = config::load(self.config.as_deref()).ok()?;
        let is_ours = settings.daemon.run_dir == self.run_dir;
        settings.hosts.into_iter().find(|host| is_ours && host.name == name).map(|host| host.dialect)
    }
}

/// Where requests are stored that are for the socket at `address`: beside a host's socket; nowhere if it is no host's.
pub(super) fn deferred(address: &Address) -> Option<Address> {
    let Address::Unix { path } = address else { return None };
    let name = path.file_name()?.to_str()?.strip_suffix(".sock")?;
    Some(Address::Unix { path: path.with_file_name(format!("{name}.deferred.sock")) })
}

/// The sockets at `places` that are to be connected to.
pub(super) fn wanted(places: &[Address], is_deferred: bool) -> Vec<Address> {
    if is_deferred { places.iter().filter_map(deferred).collect() } else { places.to_vec() }
}

/// The dialect that an instance of `name` says it speaks.
pub(super) fn dialect_among(instances: &[Instance], name: &str) -> Option<Dialect> {
    let of_name = instances.iter().filter(|instance| instance.row.name == name);
    of_name.filter_map(|instance| Dialect::from_name(instance.row.pairs.get("dialect")?)).next()
}

/// Checks a name before it becomes a part of a path or of a line.
pub(super) fn checked(name: &str) -> Result<&str, Error> {
    if grammar::is_name(name) { Ok(name) } else { Err(Error::NoName { name: name.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> Home {
        Home { run_dir: "/run/x".into(), config: None }
    }

    fn unix(path: &str) -> Address {
        Address::Unix { path: path.into() }
    }

    fn away() -> Asked {
        Asked::Away("refused".to_owned())
    }

    #[test]
    fn without_a_registry_the_last_known_address_counts_else_the_socket_of_that_name() {
        assert_eq!(home().places("a", away(), &[]).unwrap(), [unix("/run/x/a.sock")]);
        let known = [unix("/run/y/a.sock")];
        assert_eq!(home().places("a", away(), &known).unwrap(), known);
        assert_eq!(home().places("a", Asked::At(known.to_vec()), &[]).unwrap(), known);
        let unknown = home().places("a", Asked::Nowhere("no such name".to_owned()), &known);
        assert!(matches!(unknown, Err(Error::UnknownName { .. })), "the registry knows better than we");
    }

    #[test]
    fn the_deferred_socket_stands_beside_the_hosts() {
        assert_eq!(deferred(&unix("/run/x/a.sock")), Some(unix("/run/x/a.deferred.sock")));
        assert_eq!(deferred(&unix("/run/x/a")), None);
        assert_eq!(deferred(&Address::Tcp { host: "h".to_owned(), port: 1 }), None);
    }

    #[test]
    fn a_name_is_no_path() {
        for name in ["", "../a", "a/b", "A", "a\nb", "a b", ".a", "a.deferred", &"x".repeat(64)] {
            assert!(checked(name).is_err(), "{name}");
        }
        assert_eq!(checked("a-1_b.c").unwrap(), "a-1_b.c");
    }

    #[test]
    fn a_configuration_that_is_named_must_be_there() {
        assert!(matches!(Home::find(None, Some(Path::new("/nowhere"))), Err(Error::Config(_))));
        let home = Home::find(Some(Path::new("/run/x")), Some(Path::new("/nowhere"))).unwrap();
        assert_eq!(home.registry(), Path::new("/run/x/registry.sock"));
    }
}
