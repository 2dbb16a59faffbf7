//! The tools and libraries that people use with memcached.

use std::process::{Command, Stdio};

use super::memcached_behind_a_socket;
use crate::common::{python_venv, run};

fn clean(output: &std::process::Output) -> String {
    let (out, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !out.contains("con_"), "{}: {out} {complaints}", output.status);
    out.into_owned()
}

#[test]
fn memcached_tool_shows_what_it_shows_without_us() {
    let (memcached, daemon) = memcached_behind_a_socket();
    let tool = "/usr/share/memcached/scripts/memcached-tool";
    let socket = daemon.socket("cache");
    let socket = socket.to_str().expect("a path of text");
    memcached.ask("set a 0 0 5\r\nhello");
    for mode in ["display", "settings", "sizes"] {
        let (ours, direct) = (clean(&run(tool, &[socket, mode])), clean(&run(tool, &[&memcached.address(), mode])));
        let lines = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&ours), lines(&direct), "{mode}");
        assert!(ours.lines().count() > 1, "{mode}: {ours}");
    }
    assert!(clean(&run(tool, &[socket, "stats"])).contains("curr_items"));
    daemon.stop();
}

#[test]
fn pymemcache_works_as_its_programs_use_it() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/memcache.py");
    let output = Command::new(python_venv(&["pymemcache"]))
        .arg(script)
        .arg(daemon.socket("cache"))
        .stdin(Stdio::null())
        .output()
        .expect("Python can be run");
    clean(&output);
    daemon.stop();
}

#[test]
fn tieline_send_speaks_memcache() {
    let (_memcached, daemon) = memcached_behind_a_socket();
    let config = daemon.place().path("tieline.toml");
    let config = config.to_str().expect("a path of text");
    let send = |words: &[&str]| {
        let program = env!("CARGO_BIN_EXE_tieline");
        run(program, &[&["send", "--config", config, "cache"], words].concat())
    };
    assert_eq!(clean(&send(&["set k 0 0 5\r\nhello"])), "STORED\r\n");
    assert_eq!(clean(&send(&["get", "k"])), "VALUE k 0 5\r\nhello\r\nEND\r\n");
    for words in [&["set", "k", "0", "0", "5"][..], &["delete", "k", "noreply"], &["get k\r\nget k"], &["quit"]] {
        assert_eq!(send(words).status.code(), Some(64), "{words:?}");
    }
    for words in [&["watch"][..], &["lru_crawler", "metadump", "all"], &["nonsense"]] {
        let output = send(words);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{words:?}");
        assert!(complaint.contains("nothing tells where the answer to this ends"), "{complaint}");
    }
    daemon.stop();
}
