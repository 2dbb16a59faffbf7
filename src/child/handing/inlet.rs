//! The inlet: where a child finds what its predecessor hands over.
//!
//! Enters: packets. Leaves: [`Arrival`]s. Promised: what cannot be understood is closed, with a warning, and the next one is
//! taken; while the process has no descriptor left, what is handed over waits.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::libc;
use tracing::warn;

use super::Parcel;
use crate::system::handover::{End, Packet};

/// How long to wait for descriptors to become free.
const PAUSE: Duration = Duration::from_millis(100);

/// See the head of this file.
#[derive(Debug)]
pub struct Inlet(End);

/// A socket that was handed over.
#[derive(Debug)]
pub struct Arrival {
    /// What it is.
    pub parcel: Parcel,
    /// The socket, in no event loop yet.
    pub socket: OwnedFd,
    /// What was read from it and not dealt with.
    pub unread: Vec<u8>,
}

/// Why a packet is of no use.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error("its header is unknown ({0}); it was built by another version")]
    Unknown(serde_json::Error),
    #[error("it came without its descriptors; may enough files be open (LimitNOFILE)?")]
    Bare,
    #[error("its unread bytes cannot be read: {0}")]
    Unread(io::Error),
}

impl Inlet {
    /// Takes an inlet into the current event loop. Every worker may have a copy: each packet goes to one of them.
    ///
    /// # Errors
    /// Those of the event loop.
    pub fn new(inlet: OwnedFd) -> io::Result<Self> {
        End::new(inlet).map(Self)
    }

    /// The next thing that is handed over; `None` when there will be no more. When dropped before it is ready, nothing was
    /// taken.
    pub async fn next(&self) -> Option<Arrival> {
        loop {
            match self.0.receive().await {
                Ok(None) => return None,
                Ok(Some(packet)) => match understand(packet) {
                    Ok(arrival) => return Some(arrival),
                    Err(why) => warn!("something that a predecessor handed over is closed: {why}"),
                },
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    warn!("no descriptor is free, what a predecessor hands over waits; raise LimitNOFILE");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    warn!("nothing more can be taken over from a predecessor: {error}");
                    return None;
                }
            }
        }
    }
}

impl Arrival {
    /// Whether it is a requester whose requests are deferred ones.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        matches!(self.parcel, Parcel::Requester { deferred: true, .. })
    }
}

fn understand(packet: Packet) -> Result<Arrival, Useless> {
    let parcel = serde_json::from_slice(&packet.header).map_err(Useless::Unknown)?;
    let mut descriptors = packet.descriptors.into_iter();
    let socket = descriptors.next().ok_or(Useless::Bare)?;
    let unread = match parcel {
        Parcel::Requester { unread: length @ 1.., .. } => {
            let file = File::from(descriptors.next().ok_or(Useless::Bare)?);
            read_all(&file, length).map_err(Useless::Unread)?
        }
        _ => Vec::new(),
    };
    Ok(Arrival { parcel, socket, unread })
}

/// The bytes of a file in memory, which must be as many as was said.
fn read_all(file: &File, length: u64) -> io::Result<Vec<u8>> {
    if file.metadata()?.len() != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
