//! The operating system: the only unsafe code of the house, with a safe face on each piece.
//!
//! Enters: paths, rights, descriptors. Leaves: children, listeners, locks, and errors that name what to do about them.
//! Promised: no descriptor leaks into a child beyond those it inherits on purpose; nothing here waits for anybody.
//!
//! - [`activation`] — sockets that the service manager passes
//! - [`adopt`] — listening sockets that were opened before this process
//! - [`binary`] — whether a file is still what was started
//! - [`descriptors`] — what a child finds at agreed numbers
//! - [`handover`] — the way of sockets from a child to its successor, packet by packet
//! - [`limits`] — how many files may be open
//! - [`listen`] — listening sockets, UNIX and loopback TCP
//! - [`memory`] — how the allocator keeps what was given up
//! - [`peer`] — who is at the other end of a UNIX socket
//! - [`pid_file`] — one parent per pid file, by a lock
//! - [`program`] — fork and exec of other programs, with three pipes and nothing else
//! - [`random`] — numbers that nobody can guess
//! - [`readiness`] — waiting for a descriptor without reading from it
//! - [`reexec`] — another image in the same process, with descriptors kept
//! - [`signals`] — signals as things to be read
//! - [`spawn`] — fork and exec of the own binary
//! - [`stream`] — one face for UNIX, TCP and TLS sockets

pub mod activation;
pub mod adopt;
pub mod binary;
pub mod descriptors;
pub mod handover;
pub mod limits;
pub mod listen;
pub mod memory;
pub mod peer;
pub mod pid_file;
pub mod program;
pub mod random;
pub mod readiness;
pub mod reexec;
pub mod signals;
pub mod spawn;
pub mod stream;
