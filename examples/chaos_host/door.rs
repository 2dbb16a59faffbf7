//! The door: the listener, which can be closed and opened again at the same address.
//!
//! Enters: connections. Leaves: a thread for each, in `connection.rs`. Promised: when `close` returns, the host refuses.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::{Host, connection};

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The listener and the thread that accepts on it.
pub(crate) struct Door {
    address: String,
    open: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Door {
    /// Listens at `address`; port 0 is any free one.
    pub(crate) fn open(address: &str, host: &Arc<Host>) -> io::Result<Self> {
        let listener = Listener::bind(address)?;
        let mut door = Self { address: listener.address(address)?, open: None };
        door.accept_on(listener, host);
        Ok(door)
    }

    /// Where it listens, with the port in place.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Closes the listener; those in its backlog are reset.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        let Some((closing, thread)) = self.open.take() else {
            return Ok(());
        };
        closing.store(true, Ordering::SeqCst);
        drop(connect(&self.address)?); // wakes the thread
        thread.join().map_err(|_| io::Error::other("the accepting thread panicked"))
    }

    /// Listens again where it did before.
    pub(crate) fn reopen(&mut self, host: &Arc<Host>) -> io::Result<()> {
        if self.open.is_none() {
            let listener = Listener::bind(&self.address)?;
            self.accept_on(listener, host);
        }
        Ok(())
    }

    fn accept_on(&mut self, listener: Listener, host: &Arc<Host>) {
        let closing = Arc::new(AtomicBool::new(false));
        let (flag, host) = (Arc::clone(&closing), Arc::clone(host));
        let thread = std::thread::spawn(move || {
            while let Ok(stream) = listener.accept() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                connection::serve(stream, &host);
            }
        });
        self.open = Some((closing, thread));
    }
}

impl Listener {
    fn bind(address: &str) -> io::Result<Self> {
        match address.strip_prefix("unix:") {
            None => TcpListener::bind(address).map(Self::Tcp),
            Some(path) => {
                std::fs::remove_file(path).ok();
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    fn address(&self, asked: &str) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Unix(_) => Ok(asked.to_owned()),
        }
    }

    /// The next connection, as a file: from here on TCP and UNIX are the same.
    fn accept(&self) -> io::Result<File> {
        let fd: OwnedFd = match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                stream.into()
            }
            Self::Unix(listener) => listener.accept()?.0.into(),
        };
        Ok(File::from(fd))
    }
}

fn connect(address: &str) -> io::Result<OwnedFd> {
    match address.strip_prefix("unix:") {
        None => TcpStream::connect(address).map(OwnedFd::from),
        Some(path) => UnixStream::connect(path).map(OwnedFd::from),
    }
}
