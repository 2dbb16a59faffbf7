//! Opening a connection: resolve, connect, TLS, greeting.
//!
//! Enters: a host's options. Leaves: a [`Stream`] that is ready for requests, or why there is none. Promised: the name is
//! resolved anew each time, and files that have changed are read again; all of it together takes at most
//! `connect_timeout`.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::greet::{GreetFailure, GreetRoom, Plan, greet};
use super::tls::{self, TlsFailure, TlsRoom};
use crate::config::{Address, HostSettings};
use crate::system::stream::Stream;

/// A silent connection is probed by TCP after this long (seconds), so that firewalls on the way do not forget it and a
/// host that has vanished is noticed.
const KEEPALIVE_S: u32 = 60;

/// Why an attempt failed. Trying again is right in all cases: what is wrong may be put right at the host or in a file.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name could not be resolved.
    #[error("{name}: the name cannot be resolved: {}", Plain(error))]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// The name has no address.
    #[error("{name}: the name has no address")]
    NoAddress {
        /// The name.
        name: String,
    },
    /// Every address refused or could not be reached; the last one's reason.
    #[error("{at}: {}", Plain(error))]
    Connect {
        /// The address that was tried last.
        at: String,
        /// What the system said.
        error: io::Error,
    },
    /// It took longer than `connect_timeout`.
    #[error("{address}: {stage} within {} ms", patience.as_millis())]
    Timeout {
        /// The address as configured.
        address: Address,
        /// What was not done in time.
        stage: Stage,
        /// `connect_timeout`.
        patience: Duration,
    },
    /// A file that says who the host is, or who we are, cannot be used.
    #[error("{address}: {what}")]
    Files {
        /// The address as configured.
        address: Address,
        /// Which file, what is wrong with it, and what to do.
        what: String,
    },
    /// The TLS handshake failed.
    #[error("{address}: TLS: {failure}")]
    Tls {
        /// The address as configured.
        address: Address,
        /// Why.
        failure: TlsFailure,
    },
    /// The greeting failed.
    #[error("{address}: the greeting failed: {failure}")]
    Greet {
        /// The address as configured.
        address: Address,
        /// Why.
        failure: GreetFailure,
    },
}

/// How far an attempt has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Resolving and connecting.
    Connect,
    /// Shaking hands.
    Tls,
    /// Greeting.
    Greet,
}

impl fmt::Display for Stage {
    /// What there is not, if this takes too long.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Tls => "no end of the TLS handshake (does the host speak TLS? if not, remove `tls`)",
            Self::Greet => "no end of the greeting",
        })
    }
}

/// An I/O error for people: without `(os error 111)`, and with what TLS has to say.
pub(super) fn plain(error: &io::Error) -> String {
    TlsFailure::of_connection(error).map_or_else(|| Plain(error).to_string(), |failure| format!("TLS: {failure}"))
}

struct Plain<'a>(&'a io::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.split(" (os error").next().unwrap_or(&text))
    }
}

/// Opens connections to one host, and remembers what helps to open the next: TLS sessions, and what was read from files.
pub struct Opener {
    host: HostSettings,
    tls: RefCell<TlsRoom>,
    greet: RefCell<GreetRoom>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.host.address)
    }
}

impl Opener {
    /// For one host.
    #[must_use]
    pub fn new(host: &HostSettings) -> Self {
        Self { host: host.clone(), tls: RefCell::default(), greet: RefCell::default() }
    }

    /// Opens a connection that is ready for requests.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self) -> Result<Stream, ConnectError> {
        let (stage, patience) = (Cell::new(Stage::Connect), self.host.connect_timeout);
        let opened = tokio::time::timeout(patience, self.all_stages(&stage)).await;
        let late = |_| Err(ConnectError::Timeout { address: self.address(), stage: stage.get(), patience });
        opened.unwrap_or_else(late)
    }

    async fn all_stages(&self, stage: &Cell<Stage>) -> Result<Stream, ConnectError> {
        let files = |what| ConnectError::Files { address: self.address(), what };
        // Before the host is troubled.
        let plan = self.greet.borrow_mut().plan(&self.host).map_err(files)?;
        let mut stream = match &self.host.address {
            Address::Tcp { host, port } if self.host.tls => self.open_tls(host, *port, stage).await?,
            Address::Tcp { host, port } => open_plain(host, *port).await?,
            Address::Unix { path } => open_unix(path).await?,
        };
        stage.set(Stage::Greet);
        self.greet_with(&plan, &mut stream).await?;
        Ok(stream)
    }

    async fn open_tls(&self, host: &str, port: u16, stage: &Cell<Stage>) -> Result<Stream, ConnectError> {
        let files = |what| ConnectError::Files { address: self.address(), what };
        let credentials = self.tls.borrow_mut().credentials(&self.host).map_err(files)?;
        let no_name = || files("no certificate can have the name in this address; name another with sni=".to_owned());
        let name = tls::server_name(&self.host).ok_or_else(no_name)?;
        let socket = open_tcp(host, port).await?;
        stage.set(Stage::Tls);
        let failed = |failure| ConnectError::Tls { address: self.address(), failure };
        tls::shake_hands(&credentials, name, socket).await.map_err(failed)
    }

    async fn greet_with(&self, plan: &Plan, stream: &mut Stream) -> Result<(), ConnectError> {
        greet(plan, stream).await.map_err(|failure| match failure {
            GreetFailure::Broken(error) => match TlsFailure::of_connection(&error) {
                Some(failure) => ConnectError::Tls { address: self.address(), failure },
                None => ConnectError::Greet { address: self.address(), failure: GreetFailure::Broken(error) },
            },
            failure => ConnectError::Greet { address: self.address(), failure },
        })
    }

    fn address(&self) -> Address {
        self.host.address.clone()
    }
}

async fn open_unix(path: &Path) -> Result<Stream, ConnectError> {
    let opened = UnixStream::connect(path).await.and_then(Stream::unix);
    opened.map_err(|error| ConnectError::Connect { at: path.display().to_string(), error })
}

async fn open_plain(host: &str, port: u16) -> Result<Stream, ConnectError> {
    let failure = |error| ConnectError::Connect { at: format!("{host}:{port}"), error };
    Stream::tcp(open_tcp(host, port).await?).map_err(failure)
}

async fn open_tcp(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let addresses = lookup_host((host, port)).await;
    let addresses = addresses.map_err(|error| ConnectError::Resolve { name: host.to_owned(), error })?;
    let mut failure = ConnectError::NoAddress { name: host.to_owned() };
    for address in addresses {
        match TcpStream::connect(address).await.and_then(not_to_itself).and_then(prepare) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = ConnectError::Connect { at: address.to_string(), error },
        }
    }
    Err(failure)
}

/// A TCP socket can connect to itself, if the host is on this machine, is down, and its port happens to be chosen as ours
/// (RFC 9293, simultaneous open): each request would come back as its own reply.
fn not_to_itself(stream: TcpStream) -> io::Result<TcpStream> {
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// Small requests leave at once, and a vanished host is noticed.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    if stream.peer_addr()?.ip().is_loopback() {
        // There is no path whose capacity could be probed: a congestion control that paces (bbr), if it is this machine's
        // default, would only hold large values up with timers. Where this one is not allowed, that is so.
        setsockopt(&stream, sockopt::TcpCongestion, &OsString::from("reno")).ok();
    }
    setsockopt(&stream, sockopt::KeepAlive, &true)?;
    setsockopt(&stream, sockopt::TcpKeepIdle, &KEEPALIVE_S)?;
    Ok(stream)
}
