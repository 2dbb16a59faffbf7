//! Mistakes: of the configuration and of the file system; each is named, with the remedy.

use std::fs;
use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;

use crate::common::Place;

/// The complaint of `tieline run`, which must end with this code.
fn complaint(place: &Arc<Place>, code: &[i32]) -> String {
    let Output { status, stderr, .. } = place.tieline(&["run"]);
    let text = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.code().is_some_and(|ended| code.contains(&ended)), "{status}: {text}");
    text
}

fn assert_names(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not named in:\n{text}");
    }
}

#[test]
fn all_mistakes_of_both_files_are_told_at_once_with_code_78() {
    let place = Place::with_settings(
        &["Cache 127.0.0.1:6379 resp", "far 127.0.0.1 line", "near 127.0.0.1:1 line conections=3"],
        "[log]\nlevle = \"info\"",
    );
    for words in [&["run"][..], &["check"]] {
        let output = place.tieline(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{text}");
        assert_names(
            &text,
            &["hosts.tab:1:1", "hosts.tab:2:5", "hosts.tab:3:23", "connections", "tieline.toml:6:1", "level"],
        );
    }
}

#[test]
fn a_missing_configuration_is_named() {
    let place = Place::new(&[]);
    fs::remove_file(place.path("tieline.toml")).expect("it was there");
    let text = complaint(&place, &[78]);
    assert_names(&text, &["tieline.toml", "No such file"]);
}

#[test]
fn a_missing_hosts_tab_is_named() {
    let place = Place::new(&[]);
    fs::remove_file(place.path("hosts.tab")).expect("it was there");
    let text = complaint(&place, &[78]);
    assert_names(&text, &["hosts.tab", "No such file"]);
}

/// A place whose run directory is at `run_dir`, relative to it.
fn place_with_run_dir(run_dir: &str) -> Arc<Place> {
    let place = Place::new(&["far 127.0.0.1:1 line"]);
    let file = place.path("tieline.toml");
    let text = fs::read_to_string(&file).expect("tieline.toml");
    fs::write(&file, text.replace("\"run\"", &format!("{run_dir:?}"))).expect("tieline.toml");
    place
}

#[test]
fn a_run_directory_without_a_parent_is_named_with_the_remedy() {
    let place = place_with_run_dir("missing/run");
    let text = complaint(&place, &[73, 74, 77, 78]);
    assert_names(&text, &[&place.path("missing").display().to_string(), "mkdir"]);
}

#[test]
fn a_run_directory_that_is_a_file_is_named() {
    let place = place_with_run_dir("run");
    fs::write(place.path("run"), "").expect("a file");
    let text = complaint(&place, &[73, 74, 77, 78]);
    assert_names(&text, &[&place.path("run").display().to_string(), "director"]);
}

#[test]
fn a_run_directory_in_which_nothing_can_be_written_is_named() {
    // /proc/self is a directory in which not even root can make a file.
    let place = place_with_run_dir("/proc/self");
    let text = complaint(&place, &[73, 74, 77, 78]);
    assert_names(&text, &["/proc/self"]);
}

#[test]
fn a_socket_path_over_107_bytes_is_named_with_its_length_and_the_remedy() {
    let long = "r".repeat(100);
    let place = place_with_run_dir(&long);
    let socket = place.path(&long).join("far.sock").display().to_string();
    let text = complaint(&place, &[73, 78]);
    assert_names(&text, &[&socket, "107", &socket.len().to_string(), "run_dir"]);
    assert!(!place.path(&long).exists(), "nothing was made");
}

#[test]
fn an_address_that_somebody_else_has_is_named_with_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let place = Place::new(&[&format!("far 127.0.0.1:1 line listen={address}")]);
    let text = complaint(&place, &[69]);
    assert_names(&text, &[&address, "another program has it", "choose another port"]);
    assert!(!place.socket("far").exists() && !place.path("run/tieline.pid").exists(), "nothing is left behind");
}

#[test]
fn wrong_usage_ends_with_code_64() {
    let place = Place::new(&[]);
    assert_eq!(place.tieline(&["fly"]).status.code(), Some(64));
}

#[test]
fn without_a_daemon_status_says_how_to_start_one() {
    let place = Place::new(&[]);
    let output = place.tieline(&["status"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(69), "{text}");
    assert_names(&text, &["tieline run"]);
}
