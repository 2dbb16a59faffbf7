//! A connection for tokio: bytes in, bytes out, and waiting as a step of its own.
//!
//! Enters: an address; bytes. Leaves: what the kernel took or had. Promised: a future that is dropped has taken and given
//! nothing, for only the calls that do not wait move bytes.

use std::future::{Future, pending};
use std::io::{self, IoSlice};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout_at;

use crate::config::Address;

/// See the head of this file.
#[derive(Debug)]
pub(in crate::client) enum Wire {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Wire {
    pub(in crate::client) async fn connect(address: &Address, until: Instant) -> io::Result<Self> {
        match address {
            Address::Unix { path } => UnixStream::connect(path).await.map(Self::Unix),
            Address::Tcp { host, port } => {
                let stream = within(until, TcpStream::connect((host.as_str(), *port))).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            // The registry leads to no further name.
            Address::Name { .. } => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// What has come; nothing at all is the end.
    pub(in crate::client) fn read(&self, chunk: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_read(chunk),
            Self::Tcp(stream) => stream.try_read(chunk),
        }
    }

    pub(in crate::client) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.try_write_vectored(slices),
            Self::Tcp(stream) => stream.try_write_vectored(slices),
        }
    }

    /// Waits until something has come, or there is room to write if that is wanted, or the time has passed.
    pub(in crate::client) async fn wait(&self, wants_room: bool, until: Option<Instant>) {
        let interest = if wants_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        let ready = async {
            match self {
                Self::Unix(stream) => stream.ready(interest).await,
                Self::Tcp(stream) => stream.ready(interest).await,
            }
        };
        tokio::select! {
            // What is wrong with the connection will be seen by reading.
            _ = ready => {}
            () = passed(until) => {}
        }
    }
}

/// Waits for the time; without one for ever.
pub(in crate::client) async fn passed(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => pending().await,
    }
}

/// As `future`, until the time has passed.
pub(in crate::client) async fn within<T>(until: Instant, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout_at(until.into(), future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
