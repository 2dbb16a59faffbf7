//! Both files on disk: found, read, and complained about together.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::super::load::find;
use super::super::*;

/// A directory with these files in it.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// What is said of the configuration in `dir`, without the directory's name.
fn said(dir: &Path) -> String {
    let error = load(Some(&dir.join("tieline.toml"))).unwrap_err();
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

#[test]
fn both_files_become_settings_and_defaults_hold_for_who_says_nothing_else() {
    let toml = b"[daemon]\nrun_dir = 'run'\n[defaults]\nconnections = 3\npipeline = 5\ndrain = '5s'\n";
    let dir = directory(&[("tieline.toml", toml), ("hosts.tab", b"a b:1 resp\nc d:1 line connections=4\n")]);
    let settings = load(Some(&dir.path().join("./tieline.toml"))).unwrap();
    let pools: Vec<_> = settings.hosts.iter().map(|host| (host.connections, host.pipeline)).collect();
    assert_eq!(pools, [(3, 5), (4, 5)]);
    assert_eq!(settings.drain.as_secs(), 5);
    assert_eq!(settings.file, dir.path().join("tieline.toml"));
    assert_eq!(settings.daemon.run_dir, dir.path().join("run"));
}

#[test]
fn defaults_for_deferred_hosts_trouble_no_other() {
    let toml = b"[defaults]\nexpire = '1d'\nreplay_window = 2\nrejects = 'error'\n";
    let table = b"a b:1 line\nc d:1 line deferred expire=2d\ne f:1 resp deferred";
    let dir = directory(&[("tieline.toml", toml), ("hosts.tab", table)]);
    let hosts = load(Some(&dir.path().join("tieline.toml"))).unwrap().hosts;
    let lines: Vec<String> = hosts.iter().map(show_host).collect();
    assert_eq!(lines[0], "a b:1 line");
    assert_eq!(lines[1], "c d:1 line deferred rejects=error replay_window=2 expire=2d");
    assert_eq!(lines[2], "e f:1 resp deferred replay_window=2 expire=1d");
}

#[test]
fn without_a_registry_no_host_can_be_looked_up() {
    let table = b"a b:1 line\nc @d line\n";
    let dir = directory(&[("tieline.toml", b"[registry]\nenabled = false\n"), ("hosts.tab", table)]);
    insta::assert_snapshot!(said(dir.path()), @r"
    hosts.tab: the host c is to be looked up as @d, and there is no registry
      = help: write its address, or remove `enabled = false` from [registry] in tieline.toml
    ");
}

#[test]
fn mistakes_of_both_files_are_told_at_once() {
    let dir = directory(&[("tieline.toml", b"[daemon]\nrun_dir = 5\n"), ("hosts.tab", b"a b line\n")]);
    insta::assert_snapshot!(said(dir.path()), @r"
    tieline.toml:2:11: `run_dir` is an integer
      run_dir = 5
                ^
      = help: write a string, in quotes: a path, relative to the directory of this file or from the root

    hosts.tab:1:3: `b` is no address: its port is missing
      a b line
        ^
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
}

#[test]
fn a_broken_tieline_toml_hides_no_mistake_in_hosts_tab() {
    let broken = b"[daemon\nhosts_tab = 'other.tab'\n= 5\n";
    let dir = directory(&[("tieline.toml", broken), ("hosts.tab", b"a b line\n"), ("other.tab", b"c d\n")]);
    insta::assert_snapshot!(said(dir.path()), @r"
    tieline.toml:1:8: no valid TOML: unclosed table
      [daemon
             ^
      = help: expected `]`

    tieline.toml:3:1: no valid TOML: unquoted keys cannot be empty
      = 5
      ^
      = help: expected letters, numbers, `-`, `_`

    hosts.tab:1:3: `b` is no address: its port is missing
      a b line
        ^
      = help: an address is host:port, [IPv6]:port, unix:/path or @name
    ");
}

#[test]
fn a_broken_tieline_toml_is_not_blamed_for_a_table_elsewhere() {
    let dir = directory(&[("tieline.toml", b"[daemon\nhosts_tab = 'other.tab'\n")]);
    insta::assert_snapshot!(said(dir.path()), @r"
    tieline.toml:1:8: no valid TOML: unclosed table
      [daemon
             ^
      = help: expected `]`
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason_and_the_remedy() {
    let dir = directory(&[]);
    insta::assert_snapshot!(said(dir.path()), @r"
    tieline.toml: cannot be read: No such file or directory (os error 2)
      = help: make it, or name another with --config FILE
    ");
    let dir = directory(&[("tieline.toml", b"")]);
    insta::assert_snapshot!(said(dir.path()), @r"
    hosts.tab: cannot be read: No such file or directory (os error 2)
      = help: make it, or set another hosts_tab in [daemon] of tieline.toml
    ");
    let dir = directory(&[("tieline.toml", b"daemon.hosts_tab = 'dir'")]);
    fs::create_dir(dir.path().join("dir")).unwrap();
    insta::assert_snapshot!(said(dir.path()), @r"
    dir: cannot be read: Is a directory (os error 21)
      = help: make it a readable file, or set another hosts_tab in [daemon] of tieline.toml
    ");
    let dir = directory(&[("tieline.toml", b""), ("hosts.tab", &vec![b'\n'; (4 << 20) + 1])]);
    insta::assert_snapshot!(said(dir.path()), @r"
    hosts.tab: cannot be read: it is larger than 4 MiB
      = help: make it smaller, or set another hosts_tab in [daemon] of tieline.toml
    ");
}

#[test]
fn the_first_place_where_a_file_is_counts() {
    let dir = directory(&[("second", b""), ("third", b"")]);
    let [first, second, third] = ["first", "second", "third"].map(|name| dir.path().join(name));
    assert_eq!(find(&[&first, &second, &third]), Ok(second));
    insta::assert_snapshot!(find(&[Path::new("/no/a"), Path::new("no/b")]).unwrap_err(), @r"
    tieline: there is no configuration, neither at /no/a nor at no/b
      = help: name one with --config FILE
    ");
}

#[test]
fn the_shipped_files_are_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = load(Some(&root.join("etc/tieline.toml"))).unwrap();
    let paths = [&settings.daemon.run_dir, &settings.daemon.spool_dir, &settings.daemon.hosts_tab];
    assert_eq!(paths, [&root.join("run"), &root.join("spool"), &root.join("hosts.tab")]);
    assert!(!settings.hosts.is_empty());
}

#[test]
fn the_examples_in_comments_of_the_shipped_files_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let uncommented = |name: &str, is_example: fn(&str) -> bool| {
        let text = fs::read_to_string(root.join(name)).unwrap();
        let line = |line: &str| match line.strip_prefix("# ").or(line.strip_prefix('#')) {
            Some(rest) if is_example(rest) => rest.replace("www-data", "root"),
            _ => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    };
    let toml =
        uncommented("etc/tieline.toml", |line| line.starts_with('[') || (line.contains(" = ") && !line.ends_with('.')));
    let hosts = uncommented("hosts.tab", |line| {
        line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains("=") && !line.contains(", ")
    });
    assert_eq!(toml.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(), 38, "{toml}");
    assert_eq!(parse_hosts_tab(Path::new("hosts.tab"), hosts.as_bytes()).unwrap().len(), 10);
    let dir = directory(&[("hosts.tab", hosts.as_bytes())]);
    fs::create_dir(dir.path().join("etc")).unwrap();
    fs::write(dir.path().join("etc/tieline.toml"), toml).unwrap();
    load(Some(&dir.path().join("etc/tieline.toml"))).unwrap();
}
