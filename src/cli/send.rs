//! `tieline send`.

use std::ffi::OsString;
use std::path::Path;

pub(super) fn run(_config: Option<&Path>, _host: &str, _request: &[OsString]) -> u8 {
    super::complain("send is not in this build");
    super::exit::UNAVAILABLE
}
