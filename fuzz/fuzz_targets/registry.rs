//! Lines of `registry.sock`: any bytes are a command or told why not, in one line; a row that is read is written the same.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use tieline::registry::grammar::command;
use tieline::registry::grammar::replies::malformed;
use tieline::registry::grammar::rows::{read_change, read_row, write_row};

fuzz_target!(|bytes: &[u8]| {
    if let Err(what) = command(bytes) {
        let answer = malformed(&what);
        assert!(answer.ends_with('\n') && answer.matches('\n').count() == 1, "{answer:?}");
    }
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    drop(read_change(line));
    if let Some((row, left)) = read_row(line) {
        let (now, mut written) = (Instant::now(), String::new());
        let Some(expires) = left.map_or(Some(None), |left| now.checked_add(left).map(Some)) else { return };
        write_row(&mut written, &row, expires, now);
        assert_eq!(read_row(&written).map(|(again, _)| again), Some(row), "{written:?}");
    }
});
