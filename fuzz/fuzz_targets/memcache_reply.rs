//! memcache replies: the framer agrees in every split, whatever was asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::{Dialect, Expect};

const ALL: [Expect; 8] = [
    Expect::Any,
    Expect::Values,
    Expect::Stats,
    Expect::Meta,
    Expect::Line,
    Expect::Version,
    Expect::Silence,
    Expect::Quiet,
];

fuzz_target!(|data: &[u8]| {
    let [which, data @ ..] = data else { return };
    let expect = ALL[usize::from(*which) % ALL.len()];
    splits::replies_to(Dialect::Memcache, expect, data, |frame| assert!(frame.ends_with(b"\n")));
});
