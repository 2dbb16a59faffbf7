//! Waiting until a descriptor is readable, without reading from it.
//!
//! Enters: a descriptor. Leaves: a future. Promised: the caller's own descriptor is not touched.
#![expect(unsafe_code, reason = "the runtime takes a descriptor's owner at its word")]

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::Poll;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Descriptors that are watched together.
#[derive(Debug)]
pub struct Watched(Vec<AsyncFd<OwnedFd>>);

impl Watched {
    /// Watches copies of `fds`, because a descriptor stays registered for as long as it is watched.
    ///
    /// # Errors
    /// When one cannot be copied or registered.
    pub fn new(fds: impl IntoIterator<Item = impl AsFd>) -> io::Result<Self> {
        let copies = fds.into_iter().map(|fd| register(fd.as_fd().try_clone_to_owned()?));
        copies.collect::<io::Result<_>>().map(Self)
    }

    /// Ready once one of them is readable; for a listener: once somebody waits to be accepted.
    pub async fn readable(&self) {
        poll_fn(|context| {
            let ready = self.0.iter().any(|fd| fd.poll_read_ready(context).is_ready());
            if ready { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, and `AsyncFd` deregisters it before.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}
