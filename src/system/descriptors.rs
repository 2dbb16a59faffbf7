//! Descriptors that a child finds at agreed numbers.
//!
//! Enters: nothing but the numbers of [`crate::heritage`]. Leaves: owned descriptors, each checked to be what it should
//! be, or [`NotInherited`] for a person who ran `tieline child` by hand.
//! Promised: each number is given out once; what is given out is not passed on to other programs.
#![expect(unsafe_code, reason = "taking ownership of a descriptor by its number")]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use thiserror::Error;

use crate::heritage::{CONTROL_FD, FIRST_LISTENER_FD, OUTLET_FD};

/// A descriptor was not there, or was something else: this process was not started by a parent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "descriptor {number} is not {wanted}: a child is started by its parent and is of no use by hand; start the daemon \
     with `tieline run`"
)]
pub struct NotInherited {
    number: RawFd,
    wanted: &'static str,
}

/// The numbers that were given out already, one bit each: two owners of one descriptor would close each other's.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// What a descriptor must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Control,
    Listener,
    /// An end of a way from a child to its successor.
    Way,
}

impl Kind {
    fn wanted(self) -> &'static str {
        match self {
            Self::Control => "a control channel",
            Self::Listener => "a listening socket",
            Self::Way => "a way to hand requesters over",
        }
    }
}

/// The child's end of the control channel. To be called before anything else opens a descriptor.
///
/// # Errors
/// When there is no connected socket at [`CONTROL_FD`], or when it was given out before.
pub fn inherited_control() -> Result<OwnedFd, NotInherited> {
    take(CONTROL_FD, Kind::Control)
}

/// The child's end of the way to its successor.
///
/// # Errors
/// When it is not there, or was given out before.
pub fn inherited_outlet() -> Result<OwnedFd, NotInherited> {
    take(OUTLET_FD, Kind::Way)
}

/// The child's `count` listeners, in the order of [`crate::heritage::Heritage::listeners`].
///
/// # Errors
/// When one of them is no listening socket, or was given out before.
pub fn inherited_listeners(count: usize) -> Result<Vec<OwnedFd>, NotInherited> {
    (FIRST_LISTENER_FD..).take(count).map(|number| take(number, Kind::Listener)).collect()
}

/// The child's `count` inlets, which lie behind its `listeners` listeners.
///
/// # Errors
/// When one of them is not there, or was given out before.
pub fn inherited_inlets(listeners: usize, count: usize) -> Result<Vec<OwnedFd>, NotInherited> {
    (FIRST_LISTENER_FD..).skip(listeners).take(count).map(|number| take(number, Kind::Way)).collect()
}

fn take(number: RawFd, kind: Kind) -> Result<OwnedFd, NotInherited> {
    let refused = NotInherited { number, wanted: kind.wanted() };
    if !is_a(number, kind) {
        return Err(refused);
    }
    let Some(bit) = u32::try_from(number).ok().and_then(|shift| 1u64.checked_shl(shift)) else {
        return Err(refused);
    };
    if TAKEN.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return Err(refused);
    }
    // SAFETY: the descriptor is open (checked above), and `TAKEN` shows that nobody got it from here before. Nothing
    // else in a child owns these numbers: they were arranged before exec, and callers take them before they open more.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether `number` is open and what it should be; if so it no longer survives an exec.
fn is_a(number: RawFd, kind: Kind) -> bool {
    let wanted = if kind == Kind::Way { SockType::SeqPacket } else { SockType::Stream };
    // SAFETY: the borrow ends with this function; a closed number makes every call below fail with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok()
        && getsockopt(&fd, sockopt::SockType) == Ok(wanted)
        && getsockopt(&fd, sockopt::AcceptConn) == Ok(kind == Kind::Listener)
}
