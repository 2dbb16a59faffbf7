//! How the allocator keeps memory that was given up, for the next who wants some.
//!
//! Enters: that this process carries values of any size; later, that it rests. Leaves: fewer page faults. Promised: at
//! most [`KEPT`] bytes are kept at the end of the heap while there is work; [`give_back`] returns what can be returned.
//!
//! By default glibc returns the end of the heap to the kernel whenever 128 KiB of it are free, and takes large pieces from
//! the kernel each time: a value of 64 KiB then costs sixteen page faults, which is more than all that is done with it.
#![expect(unsafe_code, reason = "mallopt(3) and malloc_trim(3)")]

use nix::libc;

/// What is kept (bytes): a few values of a megabyte.
pub const KEPT: libc::c_int = 8 << 20;

/// Pieces from this size on are taken from the kernel, and returned as soon as they are free (bytes).
const OWN_PIECE: libc::c_int = 4 << 20;

/// Says that values of any size will come and go. To be called before there are threads.
pub fn keep_for_values() {
    #[cfg(target_env = "gnu")]
    // SAFETY: both calls take plain numbers; where one of them is refused the default stays.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PIECE);
    }
}

/// Returns what nobody uses now to the kernel.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) touches nothing that is in use, and may be called from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
