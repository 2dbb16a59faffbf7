//! What only the file system shows: the exact texts, and that nothing is changed by looking.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use super::super::*;

/// A directory with a configuration of these lines in `[daemon]`, and a host of that name.
fn configured(daemon: &str, host: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let toml = format!("[daemon]\nrun_dir = 'run'\nspool_dir = 'spool'\n{daemon}");
    fs::write(dir.path().join("tieline.toml"), toml).unwrap();
    fs::write(dir.path().join("hosts.tab"), format!("{host} b:1 line\n")).unwrap();
    dir
}

fn settings(dir: &Path) -> Settings {
    load(Some(&dir.join("tieline.toml"))).unwrap()
}

/// What is said of the file system, without the directory's name.
fn said(dir: &Path) -> String {
    let checked = settings(dir).check_files();
    checked.unwrap_err().to_string().replace(&format!("{}", dir.display()), "/D")
}

#[test]
fn directories_are_made_when_only_their_last_part_is_missing() {
    let dir = configured("", "a");
    let settings = settings(dir.path());
    assert_eq!(settings.check_files(), Ok(()));
    assert!(!dir.path().join("run").exists(), "looking makes nothing");
    assert_eq!(settings.prepare_dirs(), Ok(()));
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!([mode("run"), mode("spool")], [0o750, 0o750]);
    fs::set_permissions(dir.path().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(settings.prepare_dirs(), Ok(()));
    assert_eq!(mode("run"), 0o700, "what is there stays as it is");
}

#[test]
fn a_spool_inside_the_run_directory_can_be_made() {
    let dir = configured("", "a");
    let mut settings = settings(dir.path());
    settings.daemon.spool_dir = dir.path().join("run/spool");
    settings.registry = Some(RegistrySettings::with_defaults(settings.daemon.registry_dir().join("registry.sqlite")));
    assert_eq!(settings.check_files().and_then(|()| settings.prepare_dirs()), Ok(()));
    assert!(dir.path().join("run/spool").is_dir());
}

#[test]
fn what_the_registry_and_the_served_need_must_be_possible_and_theirs_alone() {
    let dir = configured("", "a");
    let toml = dir.path().join("tieline.toml");
    let more = "[registry]\nfile = 'no/names'\n[serve.x]\nlisten = 'unix:/no/x'\nhandler = [{ echo = true }]\n[serve.y]
listen = 'unix:RUN/a.sock'\nhandler = [{ echo = true }]\n";
    let more = more.replace("RUN", dir.path().join("run").to_str().unwrap());
    fs::write(&toml, fs::read_to_string(&toml).unwrap() + &more).unwrap();
    insta::assert_snapshot!(said(dir.path()), @r"
    /D/no/names: cannot be made: /D/no is missing
      = help: make that one (mkdir -p /D/no), or set another file in [registry] of /D/tieline.toml

    /no/x: cannot be made: /no is missing
      = help: make that one (mkdir -p /no), or set another listen in [serve.NAME] of /D/tieline.toml

    /D/tieline.toml: [serve.y] would listen on unix:/D/run/a.sock, which is a socket of the host a
      = help: give it a `listen` of its own
    ");
}

#[test]
fn a_missing_parent_is_named_with_the_remedy() {
    let dir = configured("pid_file = 'no/pid'\n", "a");
    let path = dir.path().join("tieline.toml");
    fs::write(
        &path,
        fs::read_to_string(&path).unwrap().replace("'run'", "'not/there/run'") + "[log]\nfile = 'log/l'\n",
    )
    .unwrap();
    insta::assert_snapshot!(said(dir.path()), @r"
    /D/not/there/run: cannot be made: /D/not/there is missing
      = help: make that one (mkdir -p /D/not/there), or set another run_dir in [daemon] of /D/tieline.toml

    /D/no/pid: cannot be made: /D/no is missing
      = help: make that one (mkdir -p /D/no), or set another pid_file in [daemon] of /D/tieline.toml

    /D/log/l: cannot be made: /D/log is missing
      = help: make that one (mkdir -p /D/log), or set another file in [log] of /D/tieline.toml
    ");
    let error = settings(dir.path()).prepare_dirs().unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&format!("{}", dir.path().display()), "/D"), @r"
    /D/not/there/run: cannot be made: No such file or directory (os error 2)
      = help: make it, writable for the user that runs tieline, or set another run_dir in [daemon] of /D/tieline.toml
    ");
}

#[test]
fn something_else_that_stands_in_the_way_is_named() {
    let dir = configured("pid_file = 'pid'\nstatus_file = 'hosts.tab/status'\n", "a");
    fs::write(dir.path().join("run"), "").unwrap();
    symlink("/no/where", dir.path().join("spool")).unwrap();
    fs::create_dir(dir.path().join("pid")).unwrap();
    insta::assert_snapshot!(said(dir.path()), @r"
    /D/run: is not a directory
      = help: move it away, or set another run_dir in [daemon] of /D/tieline.toml

    /D/spool: is a symbolic link that leads nowhere
      = help: remove it, or set another spool_dir in [daemon] of /D/tieline.toml

    /D/pid: is a directory
      = help: move it away, or set another pid_file in [daemon] of /D/tieline.toml

    /D/hosts.tab/status: /D/hosts.tab is not a directory
      = help: move that away, or set another status_file in [daemon] of /D/tieline.toml
    ");
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named_with_the_user() {
    let dir = configured("status_file = 'other/status'\n", "a");
    for name in ["run", "other"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o555)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let said = as_somebody(|| said(dir.path()));
    let user = format!("uid {}", nix::unistd::geteuid());
    insta::assert_snapshot!(said.replace(&user, "uid N"), @r"
    /D/run: cannot be written to: Permission denied
      = help: let the user that runs tieline (now uid N) write to /D/run, or set another run_dir in [daemon] of /D/tieline.toml

    /D/spool: cannot be made: /D cannot be written to: Permission denied
      = help: let the user that runs tieline (now uid N) write to /D, or set another spool_dir in [daemon] of /D/tieline.toml

    /D/other/status: cannot be made: /D/other cannot be written to: Permission denied
      = help: let the user that runs tieline (now uid N) write to /D/other, or set another status_file in [daemon] of /D/tieline.toml
    ");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Runs in a thread that has the file rights of an ordinary user, even if the test runs as root.
fn as_somebody<T: Send>(look: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            if nix::unistd::geteuid().is_root() {
                nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65_534));
            }
            look()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_socket_whose_path_is_too_long_is_named_with_both_lengths() {
    let long = "n".repeat(63);
    let dir = configured("", &long);
    let mut settings = settings(dir.path());
    let complain = |settings: &Settings| {
        let text = settings.check_files().unwrap_err().to_string();
        text.replace(&format!("{}", dir.path().display()), "/D").replace(&"r".repeat(60), "rr")
    };
    // 107 bytes: a slash, the directory, a slash, the name and `.sock`.
    settings.daemon.run_dir = Path::new("/").join("r".repeat(107 - 2 - 63 - 5));
    let text = complain(&settings);
    assert!(!text.contains("socket"), "107 bytes are allowed: {text}");
    settings.daemon.run_dir = Path::new("/").join("r".repeat(108 - 2 - 63 - 5));
    fs::create_dir(dir.path().join("run")).unwrap();
    let socket = settings.daemon.host_socket(&long);
    assert_eq!(socket.as_os_str().len(), 108);
    assert!(complain(&settings).contains("108 bytes, at most 107"));
}

#[test]
fn a_run_directory_that_is_too_long_spoils_every_socket() {
    let dir = configured("", "cache");
    let mut settings = settings(dir.path());
    settings.daemon.run_dir = Path::new("/tmp").join("r".repeat(95));
    settings.daemon.pid_file = settings.daemon.run_dir.join("pid");
    settings.daemon.status_file = settings.daemon.run_dir.join("status");
    settings.file = "/D/tieline.toml".into();
    let error = settings.check_files().unwrap_err();
    insta::assert_snapshot!(error, @r"
    /tmp/rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr/control.sock: the path of this socket has 113 bytes, at most 107 are allowed
      = help: set a shorter run_dir in [daemon] of /D/tieline.toml

    /tmp/rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr/registry.sock: the path of this socket has 114 bytes, at most 107 are allowed
      = help: set a shorter run_dir in [daemon] of /D/tieline.toml

    /tmp/rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr/cache.sock: the path of this socket has 111 bytes, at most 107 are allowed
      = help: give the host a shorter name, or set a shorter run_dir in [daemon] of /D/tieline.toml
    ");
}

#[test]
fn a_deferred_host_has_a_second_socket_and_a_spool_that_must_be_possible() {
    let dir = configured("", "cache");
    let mut settings = settings(dir.path());
    settings.hosts[0].deferred = true;
    assert_eq!(settings.check_files(), Ok(()));
    fs::create_dir(dir.path().join("spool")).unwrap();
    fs::write(dir.path().join("spool/cache"), "").unwrap();
    settings.daemon.run_dir = Path::new("/tmp").join("r".repeat(108 - "/tmp/".len() - "/cache.deferred.sock".len()));
    settings.daemon.pid_file = dir.path().join("pid");
    settings.daemon.status_file = dir.path().join("status");
    let said = settings.check_files().unwrap_err().to_string();
    insta::assert_snapshot!(said.replace(&format!("{}", dir.path().display()), "/D"), @r"
    /D/spool/cache: is not a directory
      = help: move it away, or set another spool_dir in [daemon] of /D/tieline.toml

    /tmp/rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr/cache.deferred.sock: the path of this socket has 108 bytes, at most 107 are allowed
      = help: give the host a shorter name, or set a shorter run_dir in [daemon] of /D/tieline.toml
    ");
}

#[test]
fn where_a_far_end_remembers_must_be_possible_and_is_said_once() {
    let serve = "[serve.a]\nlisten = '127.0.0.1:7'\ndialect = 'line'\ndedupe = true\nhandler = [{ echo = true }]\n";
    let dir = configured(serve, "a");
    let mut settings = settings(dir.path());
    assert_eq!(settings.check_files(), Ok(()));
    fs::create_dir(dir.path().join("spool")).unwrap();
    fs::write(dir.path().join("spool/a"), "").unwrap();
    let said = |settings: &Settings| settings.check_files().unwrap_err().to_string();
    let expected = said(&settings);
    insta::assert_snapshot!(expected.replace(&format!("{}", dir.path().display()), "/D"), @r"
    /D/spool/a: is not a directory
      = help: move it away, or set another spool_dir in [daemon] of /D/tieline.toml
    ");
    settings.hosts[0].deferred = true;
    assert_eq!(said(&settings), expected, "once, although both have it");
}

#[test]
fn a_replay_wider_than_a_connection_and_a_forgotten_spool_are_worth_a_warning() {
    let dir = configured("", "cache");
    let mut settings = settings(dir.path());
    settings.hosts[0].deferred = true;
    settings.hosts[0].replay_window = 8;
    fs::create_dir_all(dir.path().join("spool/cache")).unwrap();
    fs::write(dir.path().join("spool/cache/spool.sqlite"), "x").unwrap();
    let warnings = |settings: &Settings| {
        let texts: Vec<String> = settings.warnings_within(u64::MAX).iter().map(ToString::to_string).collect();
        texts.join("\n\n").replace(&format!("{}", dir.path().display()), "/D")
    };
    insta::assert_snapshot!(warnings(&settings), @r"
    host cache: replay_window=8 is more than its connections take at once (pipeline=1)
      = help: raise `pipeline` if the host expects several requests before its first reply, or lower `replay_window`
    ");
    settings.hosts[0].deferred = false;
    insta::assert_snapshot!(warnings(&settings), @r"
    host cache: requests may be stored in /D/spool/cache, and nothing replays them: the host is not `deferred`
      = help: `tieline spool list cache` shows them: add `deferred` again until they are delivered, or remove the directory
    ");
}

#[test]
fn an_empty_table_and_too_few_descriptors_are_worth_a_warning() {
    let dir = configured("", "cache");
    let mut settings = settings(dir.path());
    assert_eq!(settings.warnings_within(4096 + 10 + 32), []);
    let few = settings.warnings_within(1024);
    insta::assert_snapshot!(few[0], @r"
    host cache: its bounds allow 4138 descriptors, the limit is 1024
      = help: lower its `requesters`, or raise the hard limit (LimitNOFILE= of the unit, or ulimit -Hn)
    ");
    settings.hosts.clear();
    let none = settings.warnings();
    insta::assert_snapshot!(none[0].to_string().replace(&format!("{}", dir.path().display()), "/D"), @r"
    /D/hosts.tab: no host is in the table
      = help: see hosts.tab(5)
    ");
}
