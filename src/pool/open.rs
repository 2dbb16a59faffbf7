//! Opening a connection: resolve, connect, TLS, greeting.
//!
//! Enters: a host's options. Leaves: a [`Stream`] that is ready for requests, or why there is none. Promised: the name is
//! resolved anew each time, and files that have changed are read again; all of it together takes at most
//! `connect_timeout`. Of a name of the registry ([`super::named`]) the next instance is tried when one cannot be reached.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use super::greet::{GreetFailure, GreetRoom, Plan, greet};
use super::named::Named;
use super::tls::{self, TlsFailure, TlsRoom};
use crate::config::{Address, HostSettings};
use crate::spool::once::Word;
use crate::system::stream::Stream;
use crate::work::ConnectionId;

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
    /// Nobody is registered under the name that the address is.
    #[error(
        "@{name}: nobody is registered under this name; start what registers it, or register an address with `tieline \
         register {name} ADDRESS`"
    )]
    Nobody {
        /// The name, without its `@`.
        name: String,
    },
    /// The registry cannot be asked where the name is, and it was not known before.
    #[error("@{name}: the registry cannot be asked ({why}), and nothing is known from before; see `tieline status`")]
    Registry {
        /// The name, without its `@`.
        name: String,
        /// What happened.
        why: String,
    },
    /// No instance of the name could be connected to.
    #[error("@{name}: none of {count} instances; the last one, {error}")]
    Instances {
        /// The name, without its `@`.
        name: String,
        /// How many were tried.
        count: usize,
        /// Why the last one failed.
        error: Box<ConnectError>,
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

/// A connection that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The way to the host.
    pub stream: Stream,
    /// Which instance of its name it leads to, if its address is a name.
    pub instance: Option<Address>,
}

/// Opens connections to one host, and remembers what helps to open the next: TLS sessions, and what was read from files.
pub struct Opener {
    host: HostSettings,
    tls: RefCell<TlsRoom>,
    greet: RefCell<GreetRoom>,
    /// The word to agree on with a far end that is to remember what it executes.
    word: Option<Word>,
    /// Where the host is, if its address is a name.
    named: Option<Named>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({})", self.host.address)
    }
}

impl Opener {
    /// For one host. `registry` is the socket at which names are looked up.
    #[must_use]
    pub fn new(host: &HostSettings, registry: Option<PathBuf>) -> Self {
        let named = match &host.address {
            Address::Name { name } => Some(Named::new(name, registry)),
            Address::Tcp { .. } | Address::Unix { .. } => None,
        };
        Self { host: host.clone(), tls: RefCell::default(), greet: RefCell::default(), word: None, named }
    }

    /// Agrees on this word on each connection.
    #[must_use]
    pub fn with_word(mut self, word: Option<Word>) -> Self {
        self.word = word;
        self
    }

    /// Where the host is, if its address is a name.
    #[must_use]
    pub fn named(&self) -> Option<&Named> {
        self.named.as_ref()
    }

    /// A connection has this number from now on.
    pub(super) fn numbered(&self, connection: ConnectionId, instance: Option<Address>) {
        if let Some(named) = &self.named {
            named.leads(connection, instance);
        }
    }

    /// Opens a connection that is ready for requests.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(&self) -> Result<Opened, ConnectError> {
        let (stage, patience) = (Cell::new(Stage::Connect), self.host.connect_timeout);
        let opened = tokio::time::timeout(patience, self.all_stages(&stage)).await;
        let late = |_| Err(ConnectError::Timeout { address: self.address(), stage: stage.get(), patience });
        opened.unwrap_or_else(late)
    }

    async fn all_stages(&self, stage: &Cell<Stage>) -> Result<Opened, ConnectError> {
        let files = |what| ConnectError::Files { address: self.address(), what };
        // Before the host is troubled.
        let plan = self.greet.borrow_mut().plan(&self.host, self.word.as_ref()).map_err(files)?;
        let mut opened = match &self.named {
            Some(named) => self.first_of(named, stage).await?,
            None => Opened { stream: self.open_at(&self.host.address, stage).await?, instance: None },
        };
        stage.set(Stage::Greet);
        self.greet_with(&plan, &mut opened.stream).await?;
        Ok(opened)
    }

    /// The first instance of the name that can be connected to. Each has its share of the time.
    async fn first_of(&self, named: &Named, stage: &Cell<Stage>) -> Result<Opened, ConnectError> {
        let (began, instances) = (Instant::now(), named.addresses().await?);
        let (count, mut last) = (instances.len(), None);
        for (tried, instance) in instances.into_iter().enumerate() {
            stage.set(Stage::Connect);
            let left = self.host.connect_timeout.saturating_sub(began.elapsed());
            let patience = left / u32::try_from(count - tried).unwrap_or(u32::MAX);
            match tokio::time::timeout(patience, self.open_at(&instance, stage)).await {
                Ok(Ok(stream)) => return Ok(Opened { stream, instance: Some(instance) }),
                Ok(Err(error)) => last = Some(error),
                Err(_) => last = Some(ConnectError::Timeout { address: instance, stage: stage.get(), patience }),
            }
        }
        let name = match &self.host.address {
            Address::Name { name } => name.clone(),
            Address::Tcp { .. } | Address::Unix { .. } => String::new(),
        };
        Err(match last {
            Some(error) => ConnectError::Instances { name, count, error: Box::new(error) },
            None => ConnectError::Nobody { name },
        })
    }

    /// Connects to one address.
    async fn open_at(&self, at: &Address, stage: &Cell<Stage>) -> Result<Stream, ConnectError> {
        match at {
            Address::Tcp { host, port } if self.host.tls => self.open_tls(at, host, *port, stage).await,
            Address::Tcp { host, port } => open_plain(host, *port).await,
            Address::Unix { .. } if self.host.tls => {
                let what = "this instance is a UNIX socket, and the host has `tls`; register it with tcp:".to_owned();
                Err(ConnectError::Files { address: at.clone(), what })
            }
            Address::Unix { path } => open_unix(path).await,
            // Of these there are no instances.
            Address::Name { name } => Err(ConnectError::Nobody { name: name.clone() }),
        }
    }

    async fn open_tls(&self, at: &Address, host: &str, port: u16, stage: &Cell<Stage>) -> Result<Stream, ConnectError> {
        let files = |what| ConnectError::Files { address: at.clone(), what };
        let credentials = self.tls.borrow_mut().credentials(&self.host).map_err(files)?;
        let no_name = || files("no certificate can have the name in this address; name another with sni=".to_owned());
        let name = tls::server_name(&self.host, at).ok_or_else(no_name)?;
        let socket = open_tcp(host, port).await?;
        stage.set(Stage::Tls);
        let failed = |failure| ConnectError::Tls { address: at.clone(), failure };
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
