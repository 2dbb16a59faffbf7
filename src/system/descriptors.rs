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

use crate::heritage::{CONTROL_FD, FIRST_LISTENER_FD};

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

/// The child's end of the control channel. To be called before anything else opens a descriptor.
///
/// # Errors
/// When there is no connected socket at [`CONTROL_FD`], or when it was given out before.
pub fn inherited_control() -> Result<OwnedFd, NotInherited> {
    take(CONTROL_FD, false)
}

/// The child's `count` listeners, in the order of [`crate::heritage::Heritage::listeners`].
///
/// # Errors
/// When one of them is no listening socket, or was given out before.
pub fn inherited_listeners(count: usize) -> Result<Vec<OwnedFd>, NotInherited> {
    (FIRST_LISTENER_FD..).take(count).map(|number| take(number, true)).collect()
}

fn take(number: RawFd, listening: bool) -> Result<OwnedFd, NotInherited> {
    let wanted = if listening { "a listening socket" } else { "a control channel" };
    let refused = NotInherited { number, wanted };
    if !is_stream(number, listening) {
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

/// Whether `number` is open and a stream socket of the wanted kind; if so it no longer survives an exec.
fn is_stream(number: RawFd, listening: bool) -> bool {
    // SAFETY: the borrow ends with this function; a closed number makes every call below fail with EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok()
        && getsockopt(&fd, sockopt::SockType) == Ok(SockType::Stream)
        && getsockopt(&fd, sockopt::AcceptConn) == Ok(listening)
}
