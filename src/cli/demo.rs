//! `tieline demo`.

pub(super) fn run() -> u8 {
    super::complain("demo is not in this build");
    super::exit::UNAVAILABLE
}
