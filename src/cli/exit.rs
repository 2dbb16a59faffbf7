//! Exit codes, as in sysexits(3).

/// All is well.
pub const OK: u8 = 0;
/// The command was used wrongly.
pub const USAGE: u8 = 64;
/// Something that is needed is not there: no daemon answers, or another one is in the way.
pub const UNAVAILABLE: u8 = 69;
/// An internal error.
pub const SOFTWARE: u8 = 70;
/// Reading or writing failed.
pub const IOERR: u8 = 74;
/// It may work later.
pub const TEMPFAIL: u8 = 75;
/// Permission is missing.
pub const NOPERM: u8 = 77;
/// The configuration is wrong.
pub const CONFIG: u8 = 78;
