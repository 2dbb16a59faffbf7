//! RESP requests: the framer agrees in every split; what is sent on for an inline request is one request, and no
//! inline one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::{Dialect, Fed, RequestFramer, Wish};

fuzz_target!(|data: &[u8]| {
    splits::requests(Dialect::Resp, data, |frame| {
        if let Wish::ForwardAs(array) = Dialect::Resp.wish(frame) {
            let mut framer = RequestFramer::new(Dialect::Resp, u64::MAX);
            assert_eq!(framer.feed(&array), Fed::Complete(array.len()));
            assert!(!matches!(Dialect::Resp.wish(&array), Wish::ForwardAs(_) | Wish::Nothing));
        }
    });
});
