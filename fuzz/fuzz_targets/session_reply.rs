//! RESP replies on a connection of one's own, pushes among them: the framer agrees in every split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tieline::dialect::Dialect;

fuzz_target!(|data: &[u8]| splits::session_replies(Dialect::Resp, data, |_| {}));
