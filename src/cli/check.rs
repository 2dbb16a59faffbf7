//! `tieline check`.

use std::path::Path;

pub(super) fn run(_config: Option<&Path>) -> u8 {
    super::complain("check is not in this build");
    super::exit::UNAVAILABLE
}
