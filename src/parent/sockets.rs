//! The listening sockets of one host, of the registry, or of what is served; held by the parent so that they outlive
//! every child.
//!
//! Enters: a role, and what the parent listened on before. Leaves: listeners for its children; a watch over them
//! while there is no child. Promised: the parent accepts nobody; a socket that is still wanted at the same place stays
//! the same socket, so that nobody is refused; dropped, the sockets are closed and their files removed.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::Note;
use super::systemd::Manager;
use super::systemd::names::{self, stored_name};
use super::systemd::passed::Passed;
use super::table::HostId;
use crate::config::{DaemonSettings, HostSettings, Listen, Settings};
use crate::heritage::{ListenerKind, Role};
use crate::system::listen::{ListenError, Rights, SocketFile, SocketId, listen_tcp, listen_unix};
use crate::system::readiness::Watched;

/// Where one listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// A socket file.
    Unix(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// One listening socket.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) place: Place,
    /// What it is called where the service manager keeps it.
    pub(super) name: String,
    pub(super) fd: OwnedFd,
    /// None for an address.
    pub(super) file: Option<SocketFile>,
    /// None if nobody knows: then they are set when it is used.
    pub(super) rights: Option<Rights>,
    pub(super) keeper: Keeper,
}

/// Who holds a listening socket besides the parent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Keeper {
    /// Nobody.
    Nobody,
    /// The service manager, under this name.
    Store(String),
    /// A socket unit: its rights are the unit's matter.
    Unit,
}

impl Listening {
    /// Listens at a place where nobody does yet.
    fn open(place: &Place, name: &str, rights: Rights) -> Result<Self, ListenError> {
        let (fd, file) = match place {
            Place::Unix(path) => listen_unix(path, rights).map(|(fd, file)| (fd, Some(file)))?,
            Place::Tcp(address) => (listen_tcp(*address)?, None),
        };
        let (place, name) = (place.clone(), name.to_owned());
        Ok(Self { place, name, fd, file, rights: Some(rights), keeper: Keeper::Nobody })
    }

    /// The one that the service manager has passed, if it has.
    fn claim(Wanted { place, name, .. }: &Wanted, passed: &mut Passed) -> Option<Self> {
        let (fd, file, is_units) = match place {
            Place::Unix(path) => passed.unix(name, path).map(|it| (it.listener, Some(it.file), it.is_units))?,
            Place::Tcp(address) => passed.tcp(name, *address).map(|it| (it.listener, None, it.is_units))?,
        };
        let keeper = if is_units { Keeper::Unit } else { Keeper::Nobody };
        Some(Self { place: place.clone(), name: name.clone(), fd, file, rights: None, keeper })
    }

    /// Whether whoever connects to its place still comes to this socket.
    fn is_in_place(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_in_place)
    }

    fn set_rights(&mut self, rights: Rights) -> Result<(), ListenError> {
        if let Some(file) = &self.file
            && self.rights != Some(rights)
            && self.keeper != Keeper::Unit
        {
            file.change_rights(rights)?;
        }
        self.rights = Some(rights);
        Ok(())
    }

    /// Has the manager keep it. What it keeps already it keeps once.
    pub(super) fn keep(&mut self, manager: &Manager) {
        if self.keeper != Keeper::Nobody {
            return;
        }
        let id = self.file.as_ref().map(SocketFile::id).or_else(|| SocketId::of(&self.fd).ok());
        let name = id.map(|id| stored_name(&self.name, id));
        if let Some(name) = name.filter(|name| manager.keep(name, self.fd.as_fd())) {
            self.keeper = Keeper::Store(name);
        }
    }

    /// Closes it because nobody wants it any more.
    pub(super) fn forget(self, manager: &Manager) {
        if let Keeper::Store(name) = &self.keeper {
            manager.forget(name);
        }
    }

    /// Closes it, to be listened on again at the next start: whoever connects until then waits for that.
    pub(super) fn leave(mut self) {
        if let (Keeper::Store(_), Some(file)) = (&self.keeper, &mut self.file) {
            file.stay();
        }
    }
}

/// Sockets that were listened on before, by an earlier image of this process or on the service manager's behalf.
#[derive(Debug, Default)]
pub(super) struct Inherited(pub(super) Vec<Listening>);

impl Inherited {
    /// Those of `settings` that the service manager has passed.
    pub(super) fn claim(settings: &Settings, passed: &mut Passed) -> Self {
        let wanted = settings.roles().into_iter().flat_map(|role| wanted(&settings.daemon, &role));
        let wanted = wanted.chain([control(&settings.daemon)]);
        Self(wanted.filter_map(|wanted| Listening::claim(&wanted, passed)).collect())
    }

    /// Whether there is one for `place`.
    pub(super) fn has(&self, place: &Place) -> bool {
        self.0.iter().any(|each| each.place == *place && each.is_in_place())
    }

    /// The one for `wanted`, with these rights; a new one, if there is none.
    pub(super) fn take_or_open(&mut self, wanted: &Wanted, rights: Rights) -> Result<Listening, ListenError> {
        let found = self.0.iter().position(|each| each.place == wanted.place && each.is_in_place());
        let Some(at) = found else { return Listening::open(&wanted.place, &wanted.name, rights) };
        self.0[at].set_rights(rights)?;
        Ok(self.0.swap_remove(at))
    }
}

/// The listeners of one entry, in the order of [`wanted`].
#[derive(Debug)]
pub(super) struct HostSockets {
    all: Vec<Listening>,
    /// Whether one of them was not there before: a child that was started before it does not accept on it.
    any_new: bool,
}

impl HostSockets {
    /// Listens on all that `role` wants, and says so where it is new. On an error `inherited` has all that it had.
    pub(super) fn open(daemon: &DaemonSettings, role: &Role, inherited: &mut Inherited) -> Result<Self, ListenError> {
        let rights = rights(role);
        let (mut old, mut new, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for wanted in wanted(daemon, role) {
            let is_new = !inherited.has(&wanted.place);
            match inherited.take_or_open(&wanted, rights) {
                Ok(listening) => all.push(listening),
                Err(error) => {
                    inherited.0.extend(all.into_iter().filter(|each| old.contains(&each.place)));
                    return Err(error);
                }
            }
            if is_new { new.push(wanted) } else { old.push(wanted.place) }
        }
        let any_new = !new.is_empty();
        for Wanted { kind, place, .. } in new {
            let what = if kind == ListenerKind::Deferred { " for deferred requests" } else { "" };
            tracing::info!(host = role.title(), "listening on {place}{what}");
        }
        Ok(Self { all, any_new })
    }

    /// Listens again where a socket's file is gone: nobody could come there any more. What cannot be had stays as it is.
    pub(super) fn mend(&mut self, role: &Role, manager: &Manager) {
        let is_lost = |listening: &&mut Listening| !listening.is_in_place() && listening.keeper != Keeper::Unit;
        for lost in self.all.iter_mut().filter(is_lost) {
            match Listening::open(&lost.place, &lost.name, rights(role)) {
                Ok(mut found) => {
                    tracing::warn!(host = role.title(), "the socket {} was gone; listening there again", lost.place);
                    found.keep(manager);
                    std::mem::replace(lost, found).forget(manager);
                }
                Err(error) => tracing::error!(host = role.title(), "a socket is gone: {error}"),
            }
        }
    }

    /// Whether a child that was started before has to be replaced for want of one of them.
    pub(super) fn any_new(&self) -> bool {
        self.any_new
    }

    /// Closes them at a stop.
    pub(super) fn leave(self) {
        self.all.into_iter().for_each(Listening::leave);
    }

    /// Has the service manager keep them.
    pub(super) fn keep(&mut self, manager: &Manager) {
        self.all.iter_mut().for_each(|listening| listening.keep(manager));
    }

    /// All of them, to be written down.
    pub(super) fn all(&self) -> impl Iterator<Item = &Listening> {
        self.all.iter()
    }

    /// The listeners, to be inherited.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.all().map(|listening| listening.fd.as_fd()).collect()
    }

    /// Sends [`Note::Wanted`] once a requester waits at one of them.
    pub(super) fn watch(&self, host: HostId, notes: &mpsc::Sender<Note>) -> io::Result<Watch> {
        let watched = Watched::new(self.descriptors())?;
        let notes = notes.clone();
        let task = tokio::spawn(async move {
            watched.readable().await;
            drop(watched);
            notes.send(Note::Wanted { host }).await.ok();
        });
        Ok(Watch(task.abort_handle()))
    }
}

/// What is to be listened on.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: ListenerKind,
    pub(super) place: Place,
    name: String,
}

/// Who may use the socket files of `role`.
fn rights(role: &Role) -> Rights {
    match role {
        Role::Host(host) => Rights { mode: host.mode, owner: host.owner, group: host.group },
        Role::Registry(registry) => registry.rights,
        Role::Serve(serve) => serve.rights,
    }
}

/// What is listened on for `role`, in the order in which its child inherits it.
pub(super) fn wanted(daemon: &DaemonSettings, role: &Role) -> Vec<Wanted> {
    let unix = |path, name| Wanted { kind: ListenerKind::Unix, place: Place::Unix(path), name };
    match role {
        Role::Host(host) => wanted_by_host(daemon, host),
        Role::Registry(_) => vec![unix(daemon.registry_socket(), names::REGISTRY.to_owned())],
        Role::Serve(serve) => vec![match &serve.listen {
            Listen::Unix(path) => unix(path.clone(), names::serve(&serve.name)),
            Listen::Tcp(address) => {
                Wanted { kind: ListenerKind::Tcp, place: Place::Tcp(*address), name: names::serve(&serve.name) }
            }
        }],
    }
}

fn wanted_by_host(daemon: &DaemonSettings, host: &HostSettings) -> Vec<Wanted> {
    let name = host.name.as_str();
    let unix = |kind, path, name| Wanted { kind, place: Place::Unix(path), name };
    let mut wanted = vec![unix(ListenerKind::Unix, daemon.host_socket(name), names::unix(name))];
    if host.deferred {
        wanted.push(unix(ListenerKind::Deferred, daemon.deferred_socket(name), names::deferred(name)));
    }
    let tcp = |address| Wanted { kind: ListenerKind::Tcp, place: Place::Tcp(address), name: names::tcp(name) };
    wanted.extend(host.listen.map(tcp));
    wanted
}

/// The control socket.
pub(super) fn control(daemon: &DaemonSettings) -> Wanted {
    Wanted { kind: ListenerKind::Unix, place: Place::Unix(daemon.control_socket()), name: names::CONTROL.to_owned() }
}

/// A watch over listeners; over when dropped.
#[derive(Debug)]
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;

    use super::*;

    fn settings(dir: &Path, words: &str) -> (DaemonSettings, Vec<Role>) {
        let toml = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n";
        std::fs::write(dir.join("tieline.toml"), toml).unwrap();
        std::fs::write(dir.join("hosts.tab"), words).unwrap();
        std::fs::create_dir_all(dir.join("run")).unwrap();
        let settings = crate::config::load(Some(&dir.join("tieline.toml"))).unwrap();
        let roles = settings.roles();
        (settings.daemon, roles)
    }

    #[test]
    fn a_socket_that_is_still_wanted_stays_the_same_with_other_rights_and_one_that_is_not_goes() {
        let dir = tempfile::tempdir().unwrap();
        let (daemon, hosts) = settings(dir.path(), "far h:1 line deferred\n");
        let first = HostSockets::open(&daemon, &hosts[0], &mut Inherited::default()).unwrap();
        let path = daemon.host_socket("far");
        let inode = std::fs::metadata(&path).unwrap().ino();
        let mut inherited = Inherited(first.all);

        let (daemon, hosts) = settings(dir.path(), "far h:1 line mode=600\n");
        let second = HostSockets::open(&daemon, &hosts[0], &mut inherited).unwrap();
        assert!(!second.any_new(), "the child of before accepts there");
        drop(inherited);
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.ino(), found.permissions().mode() & 0o777), (inode, 0o600));
        assert!(!daemon.deferred_socket("far").exists(), "nobody wants it any more");
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_whose_name_leads_elsewhere_by_now_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (daemon, hosts) = settings(dir.path(), "far h:1 line\n");
        let first = HostSockets::open(&daemon, &hosts[0], &mut Inherited::default()).unwrap();
        let path = daemon.host_socket("far");
        std::fs::remove_file(&path).unwrap();
        let mut inherited = Inherited(first.all);
        let second = HostSockets::open(&daemon, &hosts[0], &mut inherited).unwrap();
        assert!(second.any_new(), "the child of before does not accept there");
        drop(inherited);
        std::os::unix::net::UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_costs_nothing_of_what_there_was() {
        let dir = tempfile::tempdir().unwrap();
        let (daemon, hosts) = settings(dir.path(), "far h:1 line\n");
        let first = HostSockets::open(&daemon, &hosts[0], &mut Inherited::default()).unwrap();
        let mut inherited = Inherited(first.all);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let words = format!("far h:1 line listen={}\n", taken.local_addr().unwrap());
        let (changed, hosts_changed) = settings(dir.path(), &words);
        HostSockets::open(&changed, &hosts_changed[0], &mut inherited).unwrap_err();
        let inode = std::fs::metadata(daemon.host_socket("far")).unwrap().ino();
        let _as_before = HostSockets::open(&daemon, &hosts[0], &mut inherited).unwrap();
        assert_eq!(std::fs::metadata(daemon.host_socket("far")).unwrap().ino(), inode);
    }
}
