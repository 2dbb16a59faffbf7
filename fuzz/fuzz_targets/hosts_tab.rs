//! Any bytes as `hosts.tab`: either complaints, all printable, or hosts that survive being written and read again.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tieline::config::{parse_hosts_tab, show_host};

fuzz_target!(|bytes: &[u8]| {
    let file = Path::new("hosts.tab");
    match parse_hosts_tab(file, bytes) {
        Err(error) => {
            let printable = |c: char| !c.is_control() || c == '\n' || c == '\t';
            assert!(error.to_string().chars().all(printable), "{error:?}");
        }
        Ok(hosts) => {
            let table: Vec<String> = hosts.iter().map(show_host).collect();
            let again = parse_hosts_tab(file, table.join("\n").as_bytes());
            assert_eq!(again.ok(), Some(hosts));
        }
    }
});
