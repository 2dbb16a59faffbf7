//! memcache requests: the framer agrees in every split; what may be sent on is a line, or a line and its value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::{Dialect, Wish};

fuzz_target!(|data: &[u8]| {
    splits::requests(Dialect::Memcache, data, |frame| {
        std::hint::black_box(Dialect::Memcache.expect(frame));
        if Dialect::Memcache.wish(frame) == Wish::Forward {
            is_one_request(frame);
        }
    });
    std::hint::black_box((Dialect::Memcache.wish(data), Dialect::Memcache.expect(data)));
});

fn is_one_request(frame: &[u8]) {
    let end = frame.iter().position(|&byte| byte == b'\n').expect("a line") + 1;
    let line = frame[..end].trim_ascii_end();
    assert!(!line.contains(&0) && !line.contains(&b'\r'), "{line:?}");
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).collect();
    let place = match words.first().copied().unwrap_or_default() {
        b"set" | b"add" | b"replace" | b"append" | b"prepend" | b"cas" => 4,
        b"ms" => 2,
        _ => return assert_eq!(end, frame.len()),
    };
    let length: usize = std::str::from_utf8(words[place]).expect("digits").parse().expect("a length");
    assert_eq!(frame.len(), end + length + 2);
    assert!(frame.ends_with(b"\r\n"));
}
