//! What a parent begins with: what the image before it has left, and what is new.
//!
//! Enters: the configuration, the heritage if there is one. Leaves: an [`Estate`]. Promised: what is wanted and is there
//! is taken over; what is there and not wanted is closed; at a restart nothing that cannot be had ends the parent: it
//! goes on with what there was, and says so.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixListener;

use super::ParentError;
use super::control::Desk;
use super::heritage::{Conversation, Heritage, Socket, taken};
use super::reconcile::{Fate, reconcile};
use super::rehearsal::Complaint;
use super::sockets::{HostSockets, Inherited, Listening, Place, control, wanted};
use super::status::RestartFault;
use super::supervise::{Before, Estate};
use super::systemd::Manager;
use super::systemd::passed::Passed;
use super::table::bequest::HostBequest;
use super::table::made::Build;
use crate::config::{DaemonSettings, Settings};
use crate::heritage::{Heritage as Plan, Role};
use crate::spool::sign::may_have_backlog;
use crate::system::binary::BinaryId;
use crate::system::listen::{ListenError, Rights, listen_tcp};
use crate::system::pid_file::PidFile;
use crate::version::version;

/// Who may ask the parent.
const CONTROL_RIGHTS: Rights = Rights { mode: 0o660, owner: None, group: None };

/// How long the children of a parent that was killed may take to let go of the addresses they accept at.
const ORPHANS: Duration = Duration::from_secs(3);
/// How often it is looked whether they have.
const LOOK: Duration = Duration::from_millis(5);

/// Gathers it. `complaint`: what is wrong with the configuration on disk, if the inherited one holds on.
pub(super) fn gather(
    mut settings: Settings,
    heritage: Option<Heritage>,
    complaint: Option<String>,
) -> Result<Estate, ParentError> {
    let system = |what| move |source| ParentError::System { what, source };
    let build = own_build().map_err(system("look at its own binary"))?;
    let manager = Manager::from_environment();
    let Some(mut heritage) = heritage else { return first(settings, build, manager) };
    let mut complaints = Vec::new();
    let pid_file = inherit_pid_file(&mut heritage, &settings, &mut complaints)?;
    let (control, desk) = inherit_control(&mut heritage, &settings.daemon, &manager, &mut complaints)?;
    let (plans, sockets) = open_all(&mut settings, &mut heritage, &manager, &mut complaints);
    // The fates of what is configured come first, as the sockets do.
    let any_new = sockets.iter().map(HostSockets::any_new).chain(std::iter::repeat(false));
    let fates = reconcile(std::mem::take(&mut heritage.hosts), plans, &build).into_iter().zip(any_new);
    let fates: Vec<_> = fates.map(|(fate, new)| if new { fate.with_new_sockets() } else { fate }).collect();
    let sockets = kept(sockets, &manager).chain(std::iter::repeat_with(|| None)).take(fates.len()).collect();
    complaints.iter().for_each(|complaint| tracing::error!("{complaint}"));
    // The one that there was before is in the log already.
    complaints.splice(..0, complaint);
    let fault = |text| Complaint { fault: RestartFault::Configuration, text };
    let before = Before {
        generation: heritage.generation + 1,
        started: heritage.started,
        debug: heritage.debug,
        last_ask: heritage.last_ask,
        status_owed: heritage.status_owed,
        asked: heritage.asked,
        serves: heritage.serves,
        complaint: (!complaints.is_empty()).then(|| fault(complaints.join("\n"))),
        children: heritage.children,
    };
    say_fates(&fates);
    Ok(Estate { settings, build, binary: heritage.binary, manager, pid_file, control, desk, sockets, fates, before })
}

/// Listens for all; what cannot be had as it is configured goes on as it was, or is left out.
fn open_all(
    settings: &mut Settings,
    heritage: &mut Heritage,
    manager: &Manager,
    complaints: &mut Vec<String>,
) -> (Vec<Plan>, Vec<HostSockets>) {
    let mut inherited = heritage.take_sockets();
    let mut opened = Vec::new();
    for role in settings.roles() {
        match open_one(settings, role, heritage, &mut inherited) {
            Ok((plan, sockets, None)) => opened.push((plan, sockets)),
            Ok((plan, sockets, Some(error))) => {
                complaints.push(format!("{error}; {} goes on as it was", called(&plan.role)));
                opened.push((plan, sockets));
            }
            Err((called, error)) => complaints.push(format!("{error}; {called} is left out")),
        }
    }
    settings.run(opened.iter().map(|(plan, _)| plan.role.clone()));
    // What is left is wanted by nobody any more.
    inherited.0.into_iter().for_each(|listening| listening.forget(manager));
    opened.into_iter().unzip()
}

/// Of a parent that inherits nothing: what cannot be had ends it.
fn first(settings: Settings, build: Build, manager: Manager) -> Result<Estate, ParentError> {
    let pid_file = PidFile::acquire(&settings.daemon.pid_file)?;
    let mut passed = Passed::from_environment();
    let mut inherited = Inherited::claim(&settings, &mut passed);
    if !inherited.has(&Place::Unix(settings.daemon.control_socket())) {
        refuse_another(&settings.daemon.control_socket())?;
    }
    let roles = settings.roles();
    wait_for_orphans(&settings.daemon, &roles, &inherited);
    let open = |role| HostSockets::open(&settings.daemon, role, &mut inherited);
    let sockets: Vec<_> = roles.iter().map(open).collect::<Result<_, _>>()?;
    let (control, desk) = open_control(&settings.daemon, &mut inherited, &manager)?;
    passed.close(&manager);
    let sockets = kept(sockets, &manager).collect();
    let plans = roles.into_iter().map(|role| plan(&settings, role)).collect();
    let fates = reconcile(Vec::new(), plans, &build);
    let before = Before {
        generation: 1,
        // Whole seconds are enough for people.
        started: Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default(),
        debug: false,
        last_ask: 0,
        status_owed: false,
        asked: 0,
        serves: 0,
        complaint: None,
        children: Vec::new(),
    };
    let binary = started_from(&build);
    Ok(Estate { settings, build, binary, manager, pid_file, control, desk, sockets, fates, before })
}

/// Waits for addresses that are taken: by the children of a parent that was killed, perhaps, and these retire. A socket
/// file needs no waiting, as another one takes its place. Who has an address for longer is found when it is to be listened on.
fn wait_for_orphans(daemon: &DaemonSettings, roles: &[Role], inherited: &Inherited) {
    let deadline = Instant::now() + ORPHANS;
    let places = roles.iter().flat_map(|role| wanted(daemon, role)).map(|wanted| wanted.place);
    for place in places.filter(|place| !inherited.has(place)) {
        let Place::Tcp(address) = place else { continue };
        if is_taken(address) {
            tracing::warn!("{address} is taken; waiting for at most {} s until it is free", ORPHANS.as_secs());
        }
        while is_taken(address) && Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether somebody listens there already.
fn is_taken(address: SocketAddr) -> bool {
    matches!(listen_tcp(address), Err(ListenError::Tcp { source, .. }) if source.kind() == io::ErrorKind::AddrInUse)
}

/// The build that this process runs.
///
/// # Errors
/// When /proc is not mounted.
pub(crate) fn own_build() -> io::Result<Build> {
    Ok(Build { version: version().to_owned(), binary: BinaryId::own()? })
}

/// The same sockets, kept by the service manager as well if it keeps any.
fn kept(sockets: Vec<HostSockets>, manager: &Manager) -> impl Iterator<Item = Option<HostSockets>> {
    sockets.into_iter().map(|mut sockets| {
        sockets.keep(manager);
        Some(sockets)
    })
}

/// Whether a child for `role` has something to store.
fn stores(role: &Role) -> bool {
    match role {
        Role::Host(host) => host.deferred,
        Role::Registry(_) => false,
        Role::Serve(serve) => serve.dedupe.is_some(),
    }
}

/// What a child for `role` would be started with now.
pub(crate) fn plan(settings: &Settings, role: Role) -> Plan {
    let daemon = &settings.daemon;
    let registry = settings.registry.as_ref().map(|_| daemon.registry_socket());
    Plan {
        listeners: wanted(daemon, &role).into_iter().map(|wanted| wanted.kind).collect(),
        spool: stores(&role).then(|| daemon.spool_of(role.name())),
        registry: registry.filter(|_| role.asks_registry()),
        role,
        log: settings.log.clone(),
        debug: false,
        drain: settings.drain,
        inlets: 0,
    }
}

type Opened = (Plan, HostSockets, Option<ListenError>);

/// Listens for `role`; if that cannot be done as it is configured now, as it was before, and why.
fn open_one(
    settings: &Settings,
    role: Role,
    heritage: &Heritage,
    inherited: &mut Inherited,
) -> Result<Opened, (String, ListenError)> {
    let error = match HostSockets::open(&settings.daemon, &role, inherited) {
        Ok(sockets) => return Ok((plan(settings, role), sockets, None)),
        Err(error) => error,
    };
    let old = heritage.hosts.iter().find(|old| old.is_of(&role));
    let Some(before) = old.and_then(HostBequest::plan) else { return Err((called(&role), error)) };
    match HostSockets::open(&heritage.settings.daemon, &before.role, inherited) {
        Ok(sockets) => Ok((before.clone(), sockets, Some(error))),
        Err(error) => Err((called(&role), error)),
    }
}

/// What a complaint calls it.
fn called(role: &Role) -> String {
    match role {
        Role::Host(host) => format!("host {}", host.name),
        Role::Registry(_) => "the registry".to_owned(),
        Role::Serve(serve) => format!("[serve.{}]", serve.name),
    }
}

fn inherit_pid_file(
    heritage: &mut Heritage,
    settings: &Settings,
    complaints: &mut Vec<String>,
) -> Result<PidFile, ParentError> {
    let held = heritage.pid_file.take();
    let held = held.and_then(|lock| Some((lock.path, taken(lock.fd, "the pid file")?)));
    let wanted = &settings.daemon.pid_file;
    match held.map(|(path, fd)| PidFile::inherit(&path, fd)).transpose()? {
        Some(held) if held.path() == wanted && held.is_in_place() => Ok(held),
        Some(held) => Ok(PidFile::acquire(wanted).unwrap_or_else(|error| {
            complaints.push(format!("{error}; the one before, {}, is kept", held.path().display()));
            held
        })),
        None => Ok(PidFile::acquire(wanted)?),
    }
}

fn inherit_control(
    heritage: &mut Heritage,
    daemon: &DaemonSettings,
    manager: &Manager,
    complaints: &mut Vec<String>,
) -> Result<(Listening, Desk), ParentError> {
    let mut held = Inherited(heritage.control.take().and_then(Socket::take).into_iter().collect());
    let (control, mut desk) = open_control(daemon, &mut held, manager).or_else(|error| {
        let old = open_control(&heritage.settings.daemon, &mut held, manager)?;
        complaints.push(format!("{error}; the control socket stays where it is"));
        Ok::<_, ParentError>(old)
    })?;
    held.0.into_iter().for_each(|listening| listening.forget(manager));
    desk.conversations = heritage.conversations.drain(..).filter_map(Conversation::take).collect();
    Ok((control, desk))
}

fn open_control(
    daemon: &DaemonSettings,
    inherited: &mut Inherited,
    manager: &Manager,
) -> Result<(Listening, Desk), ParentError> {
    let wanted = control(daemon);
    if !inherited.has(&wanted.place) {
        tracing::info!("control socket {}", wanted.place);
    }
    let mut control = inherited.take_or_open(&wanted, CONTROL_RIGHTS)?;
    control.keep(manager);
    let listener = control.fd.try_clone().and_then(|fd| UnixListener::from_std(fd.into()));
    let listener = listener.map_err(|source| ParentError::System { what: "watch the control socket", source })?;
    Ok((control, Desk { listener, conversations: Vec::new() }))
}

/// Two parents with different pid files in one run directory would replace each other's sockets.
pub(crate) fn refuse_another(control_socket: &Path) -> Result<(), ParentError> {
    let Ok(stream) = UnixStream::connect(control_socket) else {
        return Ok(());
    };
    // The credentials are those of who called listen(2), see unix(7).
    let pid = getsockopt(&stream, sockopt::PeerCredentials).ok().map(|peer| peer.pid());
    Err(ParentError::Another { path: control_socket.to_owned(), pid })
}

/// The path that leads to the binary for whoever starts tieline: an upgrade puts another one there. It may be a link, so
/// that the path of the image itself would not do.
fn started_from(build: &Build) -> PathBuf {
    let word = std::env::args_os().next().unwrap_or_default();
    let candidate = candidate(&word, std::env::var_os("PATH").as_deref(), build);
    candidate.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| PathBuf::from(word))
}

fn candidate(word: &OsStr, path: Option<&OsStr>, build: &Build) -> Option<PathBuf> {
    let given = Path::new(word);
    let is_own = |path: &PathBuf| BinaryId::of(path).is_ok_and(|found| found == build.binary);
    if given.components().count() > 1 {
        return std::path::absolute(given).ok().filter(is_own);
    }
    std::env::split_paths(path?).map(|dir| dir.join(given)).find(is_own)
}

fn say_fates(fates: &[Fate]) {
    for fate in fates {
        let name = fate.title();
        match fate {
            Fate::New(_) => tracing::info!(host = name, "is new"),
            Fate::Keep(..) => tracing::debug!(host = name, "stays as it is"),
            Fate::Replace(..) => tracing::info!(host = name, "its child is to be replaced"),
            Fate::Remove(_) => tracing::info!(host = name, "is configured no more; its children retire"),
        }
        if let Some(spool) = fate.leaves_spool().filter(|spool| may_have_backlog(spool)) {
            let spool = spool.display();
            tracing::warn!(host = name, "requests may be stored in {spool}, where nobody sends them any more");
        }
    }
}
