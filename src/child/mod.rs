//! The child: serves one host, or has another role.
//!
//! Enters: the [`Heritage`] on the control channel, the inherited listeners, and the ways from predecessors and to a
//! successor. Leaves: an exit code. Promised: when the parent is gone, or asks by SIGTERM, the child answers what it owes
//! and exits; when a successor is ready, it gives it every requester that is owed nothing.
//!
//! [`dispatch`] decides; [`worker`] carries its decisions to the sockets; `serve` assembles both into event loops;
//! `control` talks to the parent, and `service` does for the other roles; [`handing`] is how sockets go to the successor, and `ending` what the end waits for.

pub mod bells;
mod control;
pub mod dispatch;
mod ending;
pub mod handing;
pub mod report;
pub(crate) mod serve;
pub(crate) mod service;
mod share;
mod signals;
pub mod spooler;
pub mod tally;
pub mod worker;

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::prctl;
use tracing::{error, info};

use crate::cli::exit;
use crate::heritage::{Heritage, Role, ToParent};
use crate::requester::listener::Inherited;
use crate::system;

/// Why a child cannot serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChildError {
    #[error("this command is for tieline itself: the parent starts its children with it ({0})")]
    ByHand(system::descriptors::NotInherited),
    #[error("the heritage on the control channel cannot be read: {0}; this is a fault of tieline")]
    Heritage(io::Error),
    #[error("an inherited listener cannot be used: {0}; this is a fault of tieline")]
    Listener(io::Error),
    #[error("cannot log: {0}")]
    Log(crate::logging::LogError),
    #[error("the event loop cannot be started: {0}; is the system short of memory or descriptors?")]
    Runtime(io::Error),
    #[error("the kernel gives no random number (getrandom): {0}; dedupe needs one")]
    Random(rustix::io::Errno),
    #[error("{0}")]
    Service(Box<dyn Error + Send + Sync>),
}

/// Runs a child. Returns its exit code.
#[must_use]
pub fn run() -> u8 {
    match serve() {
        Ok(()) => exit::OK,
        Err(error) => {
            error!("{error}");
            match error {
                ChildError::ByHand(_) => {
                    say_by_hand(&error);
                    exit::USAGE
                }
                ChildError::Runtime(_) | ChildError::Random(_) | ChildError::Service(_) => exit::TEMPFAIL,
                ChildError::Log(_) => exit::CONFIG,
                ChildError::Heritage(_) | ChildError::Listener(_) => exit::SOFTWARE,
            }
        }
    }
}

#[expect(clippy::print_stderr, reason = "a person typed this command, and there is no log yet")]
fn say_by_hand(error: &ChildError) {
    eprintln!("tieline: {error}");
}

fn serve() -> Result<(), ChildError> {
    let control = system::descriptors::inherited_control().map_err(ChildError::ByHand)?;
    let (heritage, control) = read_heritage(control).map_err(ChildError::Heritage)?;
    // Without a second descriptor the log alone has its last words.
    let teller = control.try_clone().ok();
    let served = serve_role(heritage, control);
    if let (Err(error), Some(teller)) = (&served, teller) {
        tell_last_words(&teller, &error.to_string());
    }
    served
}

fn serve_role(heritage: Heritage, control: UnixStream) -> Result<(), ChildError> {
    let title = heritage.role.title();
    crate::logging::init(&heritage.log, Some(&title)).map_err(ChildError::Log)?;
    crate::logging::set_debug(heritage.debug);
    name_process(&title);
    tell_of_panics(&control);
    let inheritance = inherit(&heritage).map_err(ChildError::ByHand)?;
    match &heritage.role {
        Role::Host(host) => {
            info!("serving {} ({})", host.address, host.dialect.name());
            system::memory::keep_for_values();
            serve::run((**host).clone(), &heritage, control, inheritance)
        }
        Role::Registry(_) => crate::registry::serve::run(heritage, control, inheritance).map_err(failed),
        Role::Serve(_) => crate::serve::run(heritage, control, inheritance).map_err(failed),
    }
}

fn failed(error: impl Error + Send + Sync + 'static) -> ChildError {
    ChildError::Service(Box::new(error))
}

/// Takes the descriptors that the heritage speaks of.
fn inherit(heritage: &Heritage) -> Result<serve::Inheritance, system::descriptors::NotInherited> {
    use system::descriptors::{inherited_inlets, inherited_listeners, inherited_outlet};
    let count = heritage.listeners.len();
    let listeners = inherited_listeners(count)?.into_iter().zip(&heritage.listeners);
    Ok(serve::Inheritance {
        listeners: listeners.map(|(listener, kind)| Inherited::new(listener, *kind)).collect(),
        outlet: Some(inherited_outlet()?),
        inlets: inherited_inlets(count, heritage.inlets)?,
    })
}

/// What `ps -C` and `top` show. The image was found at /proc/self/exe, so that without this it would be `exe`.
fn name_process(title: &str) {
    let name = std::ffi::CString::new(format!("tieline: {title}")).unwrap_or_default();
    // The kernel cuts it after 15 bytes, and a process without a name serves as well.
    prctl::set_name(&name).ok();
}

/// Has the parent told what a panic says, for the status. Without the event loop, which is what panicked.
fn tell_of_panics(control: &UnixStream) {
    let Ok(control) = control.try_clone() else { return };
    crate::logging::on_panic(move |text| tell_last_words(&control, text));
}

/// The channel does not block. If it is full, nobody would read this either.
fn tell_last_words(mut control: &UnixStream, text: &str) {
    let words = serde_json::to_string(&ToParent::LastWords { text: text.to_owned() });
    drop(words.map(|words| control.write_all(format!("{words}\n").as_bytes())));
}

/// Reads the first line of the control channel, byte by byte beyond what is buffered: the rest belongs to the event loop.
fn read_heritage(control: OwnedFd) -> io::Result<(Heritage, UnixStream)> {
    let control = UnixStream::from(control);
    control.set_nonblocking(false)?;
    let mut line = String::new();
    // The parent says nothing further before the child is ready, so that no byte of a later message is buffered here.
    BufReader::new(&control).read_line(&mut line)?;
    let heritage = serde_json::from_str(&line)?;
    control.set_nonblocking(true)?;
    Ok((heritage, control))
}
