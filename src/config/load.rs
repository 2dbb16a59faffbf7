//! Finding and reading the two files.
//!
//! Enters: perhaps a path. Leaves: [`Settings`], or every complaint of both files. Promised: never more than 4 MiB of a
//! file are read; a mistake in one file hides none in the other.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf, absolute};

use super::complaint::{Complaint, ConfigError};
use super::hosts_tab;
use super::settings::{Address, DaemonSettings, HostSettings, Settings};
use super::source::Source;
use super::tieline_toml::{self, Reading};
use super::toml_values::normalized;

/// Where the configuration is when nobody says so; the first one that is there counts.
const PLACES: [&str; 2] = ["/etc/tieline/tieline.toml", "etc/tieline.toml"];
/// Most bytes of a file.
const FILE_MAX: u64 = 4 << 20;

/// Reads the configuration `explicit`, or the one at its usual place: `/etc/tieline/tieline.toml`, else
/// `./etc/tieline.toml`; and the table of hosts that it names.
///
/// # Errors
/// Every complaint about both files.
pub fn load(explicit: Option<&Path>) -> Result<Settings, ConfigError> {
    load_file(&find_file(explicit)?)
}

/// Reads only where things are, for commands that ask a running daemon: it may well serve on while somebody edits the
/// files. Besides, there are the complaints about `tieline.toml`, which say more than that no daemon was found there.
///
/// # Errors
/// When the file is not there or cannot be read.
pub fn load_places(explicit: Option<&Path>) -> Result<(DaemonSettings, Option<ConfigError>), ConfigError> {
    let (_, reading) = read_toml(&find_file(explicit)?)?;
    Ok((reading.daemon, ConfigError::unless_empty(reading.complaints).err()))
}

fn find_file(explicit: Option<&Path>) -> Result<PathBuf, Complaint> {
    explicit.map_or_else(|| find(&PLACES.map(Path::new)), |file| Ok(file.to_owned()))
}

/// The first of the places where something is, readable or not.
pub(super) fn find(places: &[&Path]) -> Result<PathBuf, Complaint> {
    let absent = |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    let is_there = |place: &&&Path| place.metadata().map_or_else(|error| !absent(error), |_| true);
    let names: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    places.iter().find(is_there).map(|place| (*place).to_owned()).ok_or_else(|| {
        let what = format!("there is no configuration, neither at {}", names.join(" nor at "));
        Complaint::about(Path::new("tieline"), what, "name one with --config FILE")
    })
}

/// `tieline.toml`, under its absolute name.
fn read_toml(given: &Path) -> Result<(PathBuf, Reading), Complaint> {
    let file = absolute(given).map(|path| normalized(&path)).unwrap_or_else(|_| given.to_owned());
    let bytes = read_file(given).map_err(|error| cannot_read(&file, &error, "name another with --config FILE"))?;
    let reading = tieline_toml::read(&Source::new(&file, &bytes), &file);
    Ok((file, reading))
}

fn load_file(given: &Path) -> Result<Settings, ConfigError> {
    let (file, mut reading) = read_toml(given)?;
    let mut complaints = std::mem::take(&mut reading.complaints);
    let hosts = read_table(&file, &reading).unwrap_or_else(|found| {
        complaints.extend(found);
        Vec::new()
    });
    if reading.registry.is_none() {
        complaints.extend(hosts.iter().filter_map(|host| in_no_registry(host, &reading.daemon.hosts_tab, &file)));
    }
    ConfigError::unless_empty(complaints)?;
    let Reading { daemon, log, drain, registry, serves, .. } = reading;
    Ok(Settings { file, daemon, log, drain, hosts, registry, serves })
}

/// What is wrong with a host that is to be looked up where there is no registry.
fn in_no_registry(host: &HostSettings, hosts_tab: &Path, file: &Path) -> Option<Complaint> {
    let Address::Name { .. } = &host.address else { return None };
    let what = format!("the host {} is to be looked up as {}, and there is no registry", host.name, host.address);
    let help = format!("write its address, or remove `enabled = false` from [registry] in {}", file.display());
    Some(Complaint::about(hosts_tab, what, help))
}

/// The table of hosts, or the complaints about it.
fn read_table(file: &Path, reading: &Reading) -> Result<Vec<HostSettings>, Vec<Complaint>> {
    let path = &reading.daemon.hosts_tab;
    let bytes = match read_file(path) {
        Ok(bytes) => bytes,
        // Its place may be among what could not be understood.
        Err(error) if error.kind() == ErrorKind::NotFound && !reading.hosts_tab_is_known => {
            return Ok(Vec::new());
        }
        Err(error) => {
            let help = format!("set another hosts_tab in [daemon] of {}", file.display());
            return Err(vec![cannot_read(path, &error, &help)]);
        }
    };
    let (hosts, complaints) =
        hosts_tab::read(&Source::new(path, &bytes), path.parent().unwrap_or(Path::new("/")), &reading.defaults);
    if complaints.is_empty() { Ok(hosts) } else { Err(complaints) }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is larger than 4 MiB"));
    }
    Ok(bytes)
}

fn cannot_read(path: &Path, error: &io::Error, otherwise: &str) -> Complaint {
    let remedy = match error.kind() {
        ErrorKind::NotFound => "make it",
        ErrorKind::PermissionDenied => "let the user that runs tieline read it",
        ErrorKind::FileTooLarge => "make it smaller",
        _ => "make it a readable file",
    };
    Complaint::about(path, format!("cannot be read: {error}"), format!("{remedy}, or {otherwise}"))
}
