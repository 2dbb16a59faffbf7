//! Mistakes that only the file system shows, the directories that are made, and what is worth a warning.
//!
//! Enters: [`Settings`]. Leaves: complaints and warnings. Promised: nothing is changed but by
//! [`Settings::prepare_dirs`], which makes at most the last part of `run_dir` and of `spool_dir`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, faccessat, geteuid};

use super::complaint::{Complaint, ConfigError};
use super::fields::SOCKET_PATH_MAX;
use super::serve::Listen;
use super::settings::Settings;
use super::sockets;
use super::{host_files, serve};
use crate::spool::sign::may_have_backlog;

/// Permission bits of the directories that are made.
const DIR_MODE: u32 = 0o750;
/// Descriptors that a child needs besides requesters and connections: the standard ones, the control channel, the
/// listeners, those of the event loop, a log file, and some to spare.
const OWN_DESCRIPTORS: u64 = 32;

/// Worth saying, but nothing that keeps the daemon from its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// There is nothing to do.
    NoHosts {
        /// The table of hosts.
        file: PathBuf,
    },
    /// More replays are allowed at once than a connection takes.
    WideReplay {
        /// The host's name.
        host: String,
        /// Its `replay_window`.
        window: u32,
        /// Its `pipeline`.
        pipeline: u32,
    },
    /// A host has stored requests, but is not `deferred` any more: nothing replays them.
    IdleSpool {
        /// The host's name.
        host: String,
        /// Where they are.
        dir: PathBuf,
    },
    /// A far end is to start a program that is not there.
    NoProgram {
        /// The far end's name.
        serve: String,
        /// The program, as it is looked for.
        program: String,
    },
    /// A host may run out of descriptors before its bounds are reached.
    FewDescriptors {
        /// Its name.
        host: String,
        /// As many as its bounds allow it to use.
        wanted: u64,
        /// The hard limit of RLIMIT_NOFILE.
        limit: u64,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHosts { file } => {
                write!(f, "{}: no host is in the table\n  = help: see hosts.tab(5)", file.display())
            }
            Self::WideReplay { host, window, pipeline } => write!(
                f,
                "host {host}: replay_window={window} is more than its connections take at once (pipeline={pipeline})\n  \
                 = help: raise `pipeline` if the host expects several requests before its first reply, or lower \
                 `replay_window`"
            ),
            Self::IdleSpool { host, dir } => write!(
                f,
                "host {host}: requests may be stored in {}, and nothing replays them: the host is not `deferred`\n  = \
                 help: `tieline spool list {host}` shows them: add `deferred` again until they are delivered, or remove the \
                 directory",
                dir.display()
            ),
            Self::NoProgram { serve, program } => write!(
                f,
                "far end {serve}: there is no program {program} that could be started\n  = help: install it, or name \
                 another in [[serve.{serve}.handler]]; until then these requests are answered with an error"
            ),
            Self::FewDescriptors { host, wanted, limit } => write!(
                f,
                "host {host}: its bounds allow {wanted} descriptors, the limit is {limit}\n  = help: lower its \
                 `requesters`, or raise the hard limit (LimitNOFILE= of the unit, or ulimit -Hn)"
            ),
        }
    }
}

impl Settings {
    /// Looks for what would keep the daemon from making its files and sockets.
    ///
    /// # Errors
    /// Every mistake, each with its path and a remedy.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let directories = self.directories().into_iter().filter_map(|(key, dir)| self.directory(key, dir));
        let files = self.files().into_iter().filter_map(|(key, file)| self.parent_of(key, file));
        let names = self.hosts.iter().map(|host| self.daemon.host_socket(&host.name));
        let registry = self.registry.iter().map(|_| self.daemon.registry_socket());
        let sockets = std::iter::once(self.daemon.control_socket()).chain(registry).chain(names);
        let deferred = || self.hosts.iter().filter(|host| host.deferred).map(|host| host.name.as_str());
        let sockets = sockets.chain(deferred().map(|name| self.daemon.deferred_socket(name)));
        let remember = self.serves.iter().filter(|serve| serve.dedupe.is_some()).map(|serve| serve.name.as_str());
        let stores: BTreeSet<&str> = deferred().chain(remember).collect();
        let spools = stores.into_iter().filter_map(|name| self.spool(&self.daemon.spool_of(name)));
        let long = sockets.filter_map(|socket| self.socket(&socket));
        let named = self.hosts.iter().flat_map(|host| host_files::complaints(host, &self.file));
        let nats = self.registry.as_ref().and_then(|registry| registry.nats.as_ref());
        let nats = nats.and_then(|nats| crate::registry::nats::access::check_files(nats).err());
        let services = self.registry_file().into_iter().chain(nats).chain(self.serve_sockets());
        let named = named.chain(self.serves.iter().flat_map(serve::complaints));
        let twice = sockets::twice(self);
        let services = services.chain(twice);
        ConfigError::unless_empty(
            directories.chain(spools).chain(files).chain(long).chain(named).chain(services).collect(),
        )
    }

    /// Makes `run_dir` and `spool_dir` (0750) where only their last part is missing.
    ///
    /// # Errors
    /// What could not be made, and why.
    pub fn prepare_dirs(&self) -> Result<(), ConfigError> {
        let make = |(key, dir): (&str, &Path)| make(dir).err().map(|error| self.cannot_make(key, dir, &error));
        ConfigError::unless_empty(self.directories().into_iter().filter_map(make).collect())
    }

    /// What is worth saying before the start.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard);
        self.warnings_within(limit)
    }

    pub(super) fn warnings_within(&self, limit: u64) -> Vec<Warning> {
        let is_idle = self.hosts.is_empty() && self.serves.is_empty();
        let none = is_idle.then(|| Warning::NoHosts { file: self.daemon.hosts_tab.clone() });
        let few = self.hosts.iter().filter_map(|host| {
            let wanted = u64::from(host.requesters) + u64::from(host.connections) + OWN_DESCRIPTORS;
            (wanted > limit).then(|| Warning::FewDescriptors { host: host.name.clone(), wanted, limit })
        });
        let wide = self.hosts.iter().filter(|host| host.deferred && host.replay_window > host.pipeline);
        let wide = wide.map(|host| Warning::WideReplay {
            host: host.name.clone(),
            window: host.replay_window,
            pipeline: host.pipeline,
        });
        none.into_iter().chain(few).chain(wide).chain(self.idle_spools()).chain(self.missing_programs()).collect()
    }

    fn missing_programs(&self) -> impl Iterator<Item = Warning> {
        self.serves.iter().flat_map(|each| {
            let warning = |program| Warning::NoProgram { serve: each.name.clone(), program };
            serve::missing_programs(each).into_iter().map(warning)
        })
    }

    fn idle_spools(&self) -> impl Iterator<Item = Warning> {
        let idle = self.hosts.iter().filter(|host| !host.deferred);
        idle.filter_map(|host| {
            let dir = self.daemon.spool_of(&host.name);
            may_have_backlog(&dir).then(|| Warning::IdleSpool { host: host.name.clone(), dir })
        })
    }

    /// The directories that are made when they are missing, in this order.
    fn directories(&self) -> [(&'static str, &Path); 2] {
        [("run_dir", &self.daemon.run_dir), ("spool_dir", &self.daemon.spool_dir)]
    }

    /// The files that are written, besides the sockets.
    fn files(&self) -> Vec<(&'static str, &Path)> {
        let daemon: [(&str, &Path); 2] =
            [("pid_file", &self.daemon.pid_file), ("status_file", &self.daemon.status_file)];
        let log = self.log.file.as_deref().map(|file| ("file", file));
        daemon.into_iter().chain(log).collect()
    }

    fn directory(&self, key: &str, dir: &Path) -> Option<Complaint> {
        match fs::metadata(dir) {
            Ok(found) if !found.is_dir() => Some(self.about(key, dir, "is not a directory", "move it away")),
            Ok(_) => self.writable(key, dir, dir),
            Err(error) if error.kind() == ErrorKind::NotFound => self.makeable(key, dir),
            Err(error) => Some(self.about(key, dir, &format!("cannot be reached: {error}"), "make way")),
        }
    }

    /// The registry's file; a missing directory of its own is made by its child.
    fn registry_file(&self) -> Option<Complaint> {
        let file = &self.registry.as_ref()?.file;
        let own = self.daemon.registry_dir();
        match file.parent() {
            Some(dir) if dir == own && !dir.exists() => None,
            _ => self.parent_of("registry", file),
        }
    }

    /// The sockets of what is served: their directories are not made.
    fn serve_sockets(&self) -> impl Iterator<Item = Complaint> {
        self.serves.iter().filter_map(|serve| match &serve.listen {
            Listen::Unix(path) => self.parent_of("serve", path),
            Listen::Tcp(_) => None,
        })
    }

    /// The spool of a host, where a far end of its name may have its ledger; a missing one is made by the child.
    fn spool(&self, dir: &Path) -> Option<Complaint> {
        fs::symlink_metadata(dir).ok().and_then(|_| self.directory("spool_dir", dir))
    }

    /// A directory that is missing: can it be made?
    fn makeable(&self, key: &str, dir: &Path) -> Option<Complaint> {
        if dir.is_symlink() {
            return Some(self.about(key, dir, "is a symbolic link that leads nowhere", "remove it"));
        }
        let parent = dir.parent()?;
        if parent == self.daemon.run_dir {
            return None;
        }
        self.existing(key, dir, parent)
    }

    /// A file that is to be written: can it be?
    fn parent_of(&self, key: &str, file: &Path) -> Option<Complaint> {
        if file.is_dir() {
            return Some(self.about(key, file, "is a directory", "move it away"));
        }
        let parent = file.parent()?;
        if parent == self.daemon.run_dir || parent == self.daemon.spool_dir {
            return None;
        }
        self.existing(key, file, parent)
    }

    /// The parent of something that is to be made.
    fn existing(&self, key: &str, path: &Path, parent: &Path) -> Option<Complaint> {
        match fs::metadata(parent) {
            Ok(found) if found.is_dir() => self.writable(key, path, parent),
            Ok(_) => Some(self.about(key, path, &format!("{} is not a directory", parent.display()), "move that away")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let remedy = format!("make that one (mkdir -p {})", parent.display());
                Some(self.about(key, path, &format!("cannot be made: {} is missing", parent.display()), &remedy))
            }
            Err(error) => {
                let what = format!("cannot be made: {} cannot be reached: {error}", parent.display());
                Some(self.about(key, path, &what, "make way"))
            }
        }
    }

    /// Whether entries can be made in `dir`, for the sake of `path`.
    fn writable(&self, key: &str, path: &Path, dir: &Path) -> Option<Complaint> {
        let error = faccessat(AT_FDCWD, dir, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS).err()?;
        let what = match path == dir {
            true => format!("cannot be written to: {}", error.desc()),
            false => format!("cannot be made: {} cannot be written to: {}", dir.display(), error.desc()),
        };
        let remedy = format!("let the user that runs tieline (now uid {}) write to {}", geteuid(), dir.display());
        Some(self.about(key, path, &what, &remedy))
    }

    fn socket(&self, socket: &Path) -> Option<Complaint> {
        let length = socket.as_os_str().len();
        let what = format!("the path of this socket has {length} bytes, at most {SOCKET_PATH_MAX} are allowed");
        let is_own = socket == self.daemon.control_socket() || socket == self.daemon.registry_socket();
        let remedy = if is_own { "" } else { "give the host a shorter name" };
        (length > SOCKET_PATH_MAX).then(|| self.about("run_dir", socket, &what, remedy))
    }

    fn cannot_make(&self, key: &str, dir: &Path, error: &io::Error) -> Complaint {
        let remedy = "make it, writable for the user that runs tieline";
        self.about(key, dir, &format!("cannot be made: {error}"), remedy)
    }

    /// A complaint about a path, with a remedy or another path as the way out.
    fn about(&self, key: &str, path: &Path, what: &str, remedy: &str) -> Complaint {
        let (table, key) = match key {
            "file" => ("log", key),
            "registry" => ("registry", "file"),
            "serve" => ("serve.NAME", "listen"),
            _ => ("daemon", key),
        };
        let shorter =
            if path.as_os_str().len() > SOCKET_PATH_MAX && key == "run_dir" { "a shorter" } else { "another" };
        let or = if remedy.is_empty() { "" } else { ", or " };
        let help = format!("{remedy}{or}set {shorter} {key} in [{table}] of {}", self.file.display());
        Complaint::about(path, what, help)
    }
}

/// Makes the last part of a path, unless a directory is there. The umask does not matter.
fn make(dir: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIR_MODE).create(dir) {
        Ok(()) => fs::set_permissions(dir, Permissions::from_mode(DIR_MODE)),
        // Whatever the error: on a read-only file system it need not be that the directory exists.
        Err(_) if dir.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
