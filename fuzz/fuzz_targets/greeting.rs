//! Greeting files: any bytes give a script whose expressions can all be made, or complaints that can be printed.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tieline::config::greeting::{Step, parse};

fuzz_target!(|bytes: &[u8]| match parse(Path::new("greeting"), bytes, &["secret"]) {
    Ok(script) => {
        for step in script.steps {
            if let Step::Expect(pattern) = step {
                assert!(pattern.compile(|_| Some(b"a.b")).is_some(), "{}", pattern.written);
            }
        }
    }
    Err(complaints) => assert!(complaints.iter().all(|complaint| !complaint.to_string().is_empty())),
});
