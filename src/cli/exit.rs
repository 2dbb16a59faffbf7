//! Exit codes, as in sysexits(3).

/// All is well.
pub const OK: u8 = 0;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// The daemon, or what it was asked for, is not there.
pub const UNAVAILABLE: u8 = 69;
/// A mistake in this program.
pub const SOFTWARE: u8 = 70;
/// Reading or writing failed.
pub const IOERR: u8 = 74;
/// Try again later.
pub const TEMPFAIL: u8 = 75;
/// The user may not do this.
pub const NOPERM: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
