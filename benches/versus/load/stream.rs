//! A requester's stream: through any door, blocking or not.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use crate::contender::Door;

/// A reply that takes longer is an error.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    /// Behind a pointer, for it is large.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    pub(crate) fn connect(door: &Door) -> io::Result<Self> {
        match door {
            Door::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(stream))
            }
            Door::Tcp(address) => Ok(Self::Tcp(tcp(*address)?)),
            Door::Tls(address, config) => {
                let name = ServerName::from(address.ip());
                let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                Ok(Self::Tls(Box::new(StreamOwned::new(session, tcp(*address)?))))
            }
        }
    }

    /// TLS cannot be made so here.
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.set_nonblocking(true),
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends a request and reads its reply, which must be the expected one.
    pub(crate) fn ask(&mut self, request: &[u8], reply: &[u8], buffer: &mut [u8]) -> io::Result<()> {
        self.write_all(request)?;
        let mut got = 0;
        while got < reply.len() {
            let count = self.read(buffer)?;
            check(&buffer[..count], reply, got)?;
            got += count;
        }
        Ok(())
    }
}

/// Whether `bytes` are what comes at this place of the expected reply.
pub(crate) fn check(bytes: &[u8], reply: &[u8], place: usize) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up"));
    }
    if reply.get(place..place + bytes.len()) == Some(bytes) {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
    Err(io::Error::other(format!("it answered otherwise than expected: {begin:?}")))
}

fn tcp(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.flush(),
            Self::Unix(_) | Self::Tcp(_) => Ok(()),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(stream) => stream.as_fd(),
            Self::Tcp(stream) => stream.as_fd(),
            Self::Tls(stream) => stream.get_ref().as_fd(),
        }
    }
}
