//! Counted bodies, both ways: the framers agree in every split, and a frame is as long as it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::Dialect;

fuzz_target!(|data: &[u8]| {
    splits::requests(Dialect::Len32, data, is_as_long_as_it_says);
    splits::replies(Dialect::Len32, data, is_as_long_as_it_says);
});

fn is_as_long_as_it_says(frame: &[u8]) {
    let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]);
    assert_eq!(frame.len(), 4 + length as usize);
}
