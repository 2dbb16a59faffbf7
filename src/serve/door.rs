//! The door of a far end: where requesters come in.
//!
//! Enters: a listener, inherited or to be opened. Leaves: a session for each accepted socket. Promised: who is too many is
//! told so and closed; without a descriptor left accepting pauses; a listener that has died, or whose file is gone, is
//! opened again with a growing pause, where it is ours to open; the place of somebody who listens is not taken; when the
//! far end retires nobody is accepted any more.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::spawn_local;
use tracing::{debug, error, info, warn};

use super::far::{Far, Stage};
use super::session::{self, Socket};
use super::tls::Certified;
use super::wire::Failure;
use crate::config::serve::{Listen, ServeSettings};
use crate::pool::pause;
use crate::system::listen::{ListenError, SocketFile, listen_tcp, listen_unix_alone};

/// How long accepting pauses after an error, which is nearly always a lack of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a UNIX socket's file is looked after.
const LOOK: Duration = Duration::from_secs(1);

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// An open listener.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    /// The file of a socket, which goes with it if it was opened here.
    file: Option<SocketFile>,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    /// Opens the listener of a far end.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub fn open(settings: &ServeSettings) -> Result<Self, ListenError> {
        let (listener, file) = match &settings.listen {
            Listen::Unix(path) => {
                let (listener, file) = listen_unix_alone(path, settings.rights)?;
                (listener, Some(file))
            }
            Listen::Tcp(address) => (listen_tcp(*address)?, None),
        };
        let adopted = Self::adopt(listener, &settings.listen);
        let path = Path::new(&settings.listen.to_string()).to_owned();
        let failed = |source| ListenError::Unix { path, what: "adopt", source, remedy: "this is a fault of tieline" };
        adopted.map(|door| Self { file, ..door }).map_err(failed)
    }

    /// Takes a listener into the event loop that was opened by somebody else.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn adopt(listener: OwnedFd, listen: &Listen) -> io::Result<Self> {
        Ok(match listen {
            Listen::Unix(path) => {
                let listener = std::os::unix::net::UnixListener::from(listener);
                listener.set_nonblocking(true)?;
                Self { listener: Listener::Unix(UnixListener::from_std(listener)?), file: SocketFile::of_another(path) }
            }
            Listen::Tcp(_) => {
                let listener = std::net::TcpListener::from(listener);
                listener.set_nonblocking(true)?;
                Self { listener: Listener::Tcp(TcpListener::from_std(listener)?), file: None }
            }
        })
    }

    /// Accepts until the far end retires, or this listener is of no use any more; says why.
    async fn accept(&self, far: &Rc<Far>, certified: &Rc<Certified>) -> Option<io::Error> {
        loop {
            let accepted = tokio::select! {
                biased;
                () = far.reached(Stage::Retiring) => return None,
                accepted = self.next(far, certified) => accepted,
                () = tokio::time::sleep(LOOK), if self.file.is_some() => Ok(()),
            };
            match accepted {
                Ok(()) if self.file.as_ref().is_some_and(|file| !file.is_in_place()) => {
                    return Some(io::Error::new(io::ErrorKind::NotFound, "its socket file is gone"));
                }
                Ok(()) => {}
                Err(error) if is_for_good(&error) => return Some(error),
                Err(error) => {
                    warn!("cannot accept a requester: {error}; trying again in 100 ms");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn next(&self, far: &Rc<Far>, certified: &Rc<Certified>) -> io::Result<()> {
        match &self.listener {
            Listener::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                admit(far, stream);
            }
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // A reply must not wait for the next one. The socket works without, only slower.
                stream.set_nodelay(true).ok();
                match far.settings().has_tls() {
                    // Who is too many is closed: only behind a handshake could it be told why.
                    true if far.handshakes.get() >= far.settings().requesters => debug!("too many TLS handshakes"),
                    true => {
                        far.handshakes.set(far.handshakes.get() + 1);
                        drop(spawn_local(admit_over_tls(Rc::clone(far), Rc::clone(certified), stream)));
                    }
                    false => admit(far, stream),
                }
            }
        }
        Ok(())
    }
}

/// Errors of accept(2) that another try cannot mend.
fn is_for_good(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP | Errno::EFAULT))
}

fn admit(far: &Rc<Far>, stream: impl Socket + 'static) {
    let far = Rc::clone(far);
    match far.comes() {
        true => drop(spawn_local(session::serve(far, stream))),
        false => drop(spawn_local(send_away(far, stream))),
    }
}

async fn send_away(far: Rc<Far>, mut stream: impl Socket) {
    let many = Failure::Busy(format!("{} requesters are connected", far.requesters()));
    session::turn_away(&far, &mut stream, &many).await;
}

async fn admit_over_tls(far: Rc<Far>, certified: Rc<Certified>, stream: TcpStream) {
    let shaken = shake_hands(&far, &certified, stream).await;
    far.handshakes.set(far.handshakes.get() - 1);
    if let Some(stream) = shaken {
        admit(&far, stream);
    }
}

async fn shake_hands(far: &Far, certified: &Certified, stream: TcpStream) -> Option<impl Socket + 'static> {
    let acceptor = certified.acceptor(far.settings()).inspect_err(|why| error!("nobody can be served: {why}")).ok()?;
    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some(stream),
        // It has said nothing, or not all: a port scan, or somebody who has thought better of it.
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => debug!("a TLS handshake was left: {error}"),
        Ok(Err(error)) => info!("a requester failed in the TLS handshake: {error}"),
        Err(_) => debug!("a requester did not finish the TLS handshake"),
    }
    None
}

/// Accepts until the far end retires. A door that was opened here is opened again when it has died.
///
/// # Errors
/// Why an inherited one is of no use any more.
pub async fn keep(far: Rc<Far>, mut door: Door, is_inherited: bool) -> io::Result<()> {
    let certified = Rc::new(Certified::default());
    loop {
        let Some(why) = door.accept(&far, &certified).await else { return Ok(()) };
        if is_inherited {
            return Err(why);
        }
        warn!("the listener {} has died: {why}; it is opened again", far.settings().listen);
        let Some(opened) = open_again(&far).await else { return Ok(()) };
        let old = std::mem::replace(&mut door, opened);
        spawn_local(empty(Rc::clone(&far), old, Rc::clone(&certified)));
    }
}

/// Accepts who had come to a listener before it was replaced.
async fn empty(far: Rc<Far>, door: Door, certified: Rc<Certified>) {
    while let Ok(Ok(())) = tokio::time::timeout(PAUSE, door.next(&far, &certified)).await {}
}

/// Tries until it is open; none if the far end retires meanwhile.
async fn open_again(far: &Far) -> Option<Door> {
    for failures in 1.. {
        match Door::open(far.settings()) {
            Ok(door) => {
                info!("listening again on {}", far.settings().listen);
                return Some(door);
            }
            Err(error) => {
                let pause = pause(failures, fastrand::f64());
                warn!("{error}; next attempt in {} ms", pause.as_millis());
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = far.reached(Stage::Retiring) => return None,
                }
            }
        }
    }
    None
}
