//! Lines, both ways: the framers agree in every split and with a plain search for LF.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::Dialect;

fuzz_target!(|data: &[u8]| {
    splits::requests(Dialect::Line, data, is_one_line);
    splits::replies(Dialect::Line, data, is_one_line);
});

fn is_one_line(frame: &[u8]) {
    assert_eq!(frame.iter().position(|&byte| byte == b'\n'), Some(frame.len() - 1));
}
