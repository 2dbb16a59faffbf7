//! RESP replies: the framer agrees in every split, and anything can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::{Dialect, render_reply};

fuzz_target!(|data: &[u8]| {
    splits::replies(Dialect::Resp, data, show);
    show(data);
});

fn show(reply: &[u8]) {
    let shown = render_reply(reply);
    assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{shown:?}");
}
