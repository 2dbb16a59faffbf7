//! The parent as a process: what its children inherit, who is refused, who is killed and who is not.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on should end, and say why")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Far longer than anything here takes, even on a busy machine.
const BOUND: Duration = Duration::from_secs(30);

fn tieline() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tieline"))
}

fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + BOUND;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory with a configuration.
struct Place(tempfile::TempDir);

impl Place {
    fn new(hosts: &str) -> Self {
        let place = Self(tempfile::Builder::new().prefix("tl").tempdir_in("/tmp").unwrap());
        let text = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n[defaults]\ndrain = \"1s\"\n";
        fs::write(place.config(), text).unwrap();
        fs::write(place.0.path().join("hosts.tab"), hosts).unwrap();
        place
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("tieline.toml")
    }

    fn run_dir(&self) -> PathBuf {
        self.0.path().join("run")
    }

    fn start(&self) -> Daemon<'_> {
        self.start_with(&mut tieline(), &[])
    }

    /// Runs `tieline run`, or `command` with these words behind it, and waits until it says that it is ready.
    fn start_with(&self, command: &mut Command, environment: &[(&str, &str)]) -> Daemon<'_> {
        let notify = self.0.path().join("notify");
        fs::remove_file(&notify).ok();
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        let log = fs::File::options().create(true).append(true).open(self.0.path().join("log")).unwrap();
        command.arg("run").arg("--config").arg(self.config()).env("NOTIFY_SOCKET", &notify).stderr(log);
        let process = command.envs(environment.iter().copied()).stdin(Stdio::null()).spawn().unwrap();
        let daemon = Daemon { place: self, process, socket };
        daemon.wait_for_notice("READY=1");
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.path().join("log")).unwrap()
    }

    /// Runs a command to its end, which must come: `timeout` gives exit code 124 else.
    fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.arg(BOUND.as_secs().to_string()).arg(env!("CARGO_BIN_EXE_tieline"));
        command.args(words).arg("--config").arg(self.config()).output().unwrap()
    }
}

/// A running parent; killed with its children, when dropped.
struct Daemon<'a> {
    place: &'a Place,
    process: Child,
    socket: UnixDatagram,
}

impl Daemon<'_> {
    fn wait_for_notice(&self, wanted: &str) {
        let mut bytes = [0; 4096];
        loop {
            let read = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if String::from_utf8_lossy(&bytes[..read]).contains(wanted) {
                return;
            }
        }
    }

    fn status(&self) -> Value {
        let mut control = UnixStream::connect(self.place.run_dir().join("control.sock")).unwrap();
        ask(&mut control, &json!({"status": {"host": null}}))["ok"].clone()
    }

    fn host(&self, at: usize) -> Value {
        self.status()["hosts"][at].clone()
    }

    fn child(&self, at: usize) -> Pid {
        wait_until("the host has a child", || {
            let pid = self.host(at)["pid"].as_i64()?;
            Some(Pid::from_raw(i32::try_from(pid).unwrap()))
        })
    }

    fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.id()).unwrap())
    }

    fn exit_code(&mut self) -> Option<i32> {
        let status = wait_until("the parent has exited", || self.process.try_wait().unwrap());
        assert_eq!(status.signal(), None, "{}", self.place.log());
        status.code()
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            eprintln!("{}", self.place.log());
        }
    }
}

fn ask(control: &mut UnixStream, request: &Value) -> Value {
    writeln!(control, "{request}").unwrap();
    let mut line = String::new();
    BufReader::new(control).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn is_alive(pid: Pid) -> bool {
    // A zombie whose parent is gone waits for init, which is another program's business.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NOWHERE: &str = "a 127.0.0.1:1 line\n";

#[test]
fn a_child_inherits_its_listeners_and_nothing_of_who_started_the_parent() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new(&format!("a 127.0.0.1:1 line listen={address}\n"));
    // A shell that ignores ALRM and has a file open at 9 and at 40, neither of which is a child's business.
    let script = "trap '' ALRM; exec 9</etc/passwd 40</etc/passwd 4</etc/passwd; exec \"$0\" \"$@\"";
    let mut command = Command::new("bash");
    let daemon = place.start_with(command.args(["-c", script, env!("CARGO_BIN_EXE_tieline")]), &[]);
    let child = daemon.child(0);
    let proc = PathBuf::from(format!("/proc/{child}"));
    for entry in fs::read_dir(proc.join("fd")).unwrap() {
        let Ok(target) = fs::read_link(entry.unwrap().path()) else { continue };
        assert_ne!(target, Path::new("/etc/passwd"));
        assert!(!target.ends_with("tieline.pid"), "the parent's lock must not outlive it");
    }
    let status = fs::read_to_string(proc.join("status")).unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & (1 << (Signal::SIGALRM as u64 - 1)), 0, "SigIgn {ignored:x}");
    let environment = text(&fs::read(proc.join("environ")).unwrap());
    assert!(!environment.contains("NOTIFY_SOCKET"), "{environment}");
    let title = text(&fs::read(proc.join("cmdline")).unwrap());
    assert!(title.starts_with("tieline: a\0"), "{title:?}");
    assert_eq!(nix::unistd::getpgid(Some(child)).unwrap(), child, "a terminal's Ctrl-C is the parent's");
    UnixStream::connect(place.run_dir().join("a.sock")).unwrap();
    std::net::TcpStream::connect(address).unwrap();
}

#[test]
fn a_second_parent_is_refused_by_the_lock_and_by_the_control_socket() {
    let place = Place::new(NOWHERE);
    let daemon = place.start();
    let named = format!("process {}", daemon.pid());
    let second = place.command(&["run"]);
    assert_eq!(second.status.code(), Some(69));
    assert!(text(&second.stderr).contains(&named), "{}", text(&second.stderr));

    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), config.replace("[daemon]\n", "[daemon]\npid_file = \"other.pid\"\n")).unwrap();
    let third = place.command(&["run"]);
    assert_eq!(third.status.code(), Some(69));
    let told = text(&third.stderr);
    assert!(told.contains(&named) && told.contains("control.sock"), "{told}");
    assert_eq!(daemon.status()["pid"], daemon.process.id(), "the first one is untouched");
}

#[test]
fn with_a_watchdog_a_child_that_hangs_is_killed_alone_and_the_manager_is_fed_meanwhile() {
    let place = Place::new("a 127.0.0.1:1 line\nb 127.0.0.1:1 line\n");
    let daemon = place.start_with(&mut tieline(), &[("WATCHDOG_USEC", "1000000")]);
    let (hung, other) = (daemon.child(0), daemon.child(1));
    kill(hung, Signal::SIGSTOP).unwrap();
    // Nobody asks for a status meanwhile: the parent has to notice by itself.
    wait_until("the hung child is gone", || (!is_alive(hung)).then_some(()));
    daemon.wait_for_notice("WATCHDOG=1");
    assert_eq!(daemon.child(1), other);
    wait_until("it has a successor", || (daemon.host(0)["restarts"] == 1).then_some(()));
}

#[test]
fn without_a_watchdog_a_child_that_hangs_is_shown_and_left_alone() {
    let place = Place::new(NOWHERE);
    let daemon = place.start();
    let child = daemon.child(0);
    kill(child, Signal::SIGSTOP).unwrap();
    let before = Instant::now();
    assert_eq!(daemon.host(0)["state"], "hung");
    assert!(before.elapsed() < Duration::from_secs(5), "a status does not wait for it");
    for _ in 0..20 {
        daemon.signal(Signal::SIGUSR2);
        daemon.signal(Signal::SIGUSR1);
    }
    assert_eq!(daemon.host(0)["pid"], child.as_raw());
    kill(child, Signal::SIGCONT).unwrap();
    wait_until("it answers again", || (daemon.host(0)["state"] == "idle").then_some(()));
}

#[test]
fn a_stop_waits_for_a_child_that_hangs_no_longer_than_it_may_drain() {
    let place = Place::new(NOWHERE);
    let mut daemon = place.start();
    let child = daemon.child(0);
    kill(child, Signal::SIGSTOP).unwrap();
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for_notice("STOPPING=1");
    assert_eq!(daemon.exit_code(), Some(0));
    assert!(!is_alive(child));
    assert_eq!(fs::read_dir(place.run_dir()).unwrap().count(), 0, "sockets and pid file are gone");
}

#[test]
fn a_second_stop_ends_everything_at_once_with_exit_code_1() {
    let place = Place::new(NOWHERE);
    let config = fs::read_to_string(place.config()).unwrap();
    fs::write(place.config(), config.replace("1s", "1h")).unwrap();
    let mut daemon = place.start();
    let child = daemon.child(0);
    kill(child, Signal::SIGSTOP).unwrap();
    daemon.signal(Signal::SIGINT);
    daemon.wait_for_notice("STOPPING=1");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), Some(1));
    assert!(!is_alive(child));
    assert_eq!(fs::read_dir(place.run_dir()).unwrap().count(), 0);
}

#[test]
fn hup_is_survived() {
    let place = Place::new(NOWHERE);
    let daemon = place.start();
    daemon.signal(Signal::SIGHUP);
    wait_until("the log speaks of it", || place.log().contains("takes over").then_some(()));
    let status = daemon.status();
    assert_eq!((&status["pid"], &status["generation"]), (&daemon.process.id().into(), &2.into()));
}

#[test]
fn a_child_that_crashes_is_started_again_and_its_host_says_so() {
    let place = Place::new("a 127.0.0.1:1 line\nb 127.0.0.1:1 line\n");
    let daemon = place.start();
    let (child, other) = (daemon.child(0), daemon.child(1));
    kill(child, Signal::SIGABRT).unwrap();
    wait_until("the next child serves", || (daemon.host(0)["restarts"] == 1).then_some(()));
    assert_ne!(daemon.child(0), child);
    assert_eq!(daemon.child(1), other);
    let log = place.log();
    assert!(log.contains(&format!("child {child} is gone: ended by signal ABRT; the next one starts in 100")), "{log}");
}

#[test]
fn a_demand_host_has_a_child_only_once_a_requester_came() {
    let place = Place::new("a 127.0.0.1:1 line start=demand\n");
    let daemon = place.start();
    let before = daemon.host(0);
    assert_eq!((&before["state"], &before["pid"]), (&json!("idle"), &Value::Null));
    let mut requester = UnixStream::connect(place.run_dir().join("a.sock")).unwrap();
    requester.set_read_timeout(Some(BOUND)).unwrap();
    requester.write_all(b"hello\n").unwrap();
    let mut reply = [0; 9];
    requester.read_exact(&mut reply).unwrap();
    assert_eq!(text(&reply), "con_lost\n");
    daemon.child(0);
}

#[test]
fn the_control_socket_stays_of_use_whatever_some_do_to_it() {
    let place = Place::new(NOWHERE);
    let daemon = place.start();
    let path = place.run_dir().join("control.sock");
    let connect = || UnixStream::connect(&path).unwrap();
    let mut polite = connect();
    let silent: Vec<_> = (0..62).map(|_| connect()).collect();
    let mut endless = connect();
    endless.write_all(&[b'x'; 8192]).ok();
    assert_eq!(endless.read(&mut [0; 16]).unwrap_or(0), 0, "who asks without end is hung up on");
    let answer = ask(&mut polite, &json!({"probe": {"host": "b"}}));
    assert_eq!(answer, json!({"error": "no host is called b; there are: a"}));
    assert_eq!(ask(&mut polite, &json!({"probe": {"host": "a"}})), json!({"ok": null}));
    drop(silent);
    assert_eq!(daemon.status()["hosts"][0]["name"], "a");
}

#[test]
fn commands_say_what_is_wrong_by_their_exit_code() {
    let place = Place::new(NOWHERE);
    let nobody = place.command(&["status"]);
    assert_eq!(nobody.status.code(), Some(69));
    assert!(text(&nobody.stderr).contains("start it with `tieline run --config "), "{}", text(&nobody.stderr));
    assert_eq!(tieline().arg("child").stdin(Stdio::null()).output().unwrap().status.code(), Some(64));
    assert_eq!(tieline().arg("stauts").output().unwrap().status.code(), Some(64));
    assert_eq!(tieline().arg("--version").output().unwrap().status.code(), Some(0));

    let _daemon = place.start();
    let unknown = place.command(&["status", "b"]);
    assert_eq!((unknown.status.code(), text(&unknown.stderr).contains("there are: a")), (Some(69), true));
    let shown = place.command(&["status", "a"]);
    assert_eq!((shown.status.code(), text(&shown.stdout).lines().count()), (Some(0), 3));
    assert_eq!(place.command(&["probe", "a"]).status.code(), Some(69), "nothing listens on port 1");
    let closed = tieline().args(["status", "--config"]).arg(place.config()).stdout(closed_pipe()).output().unwrap();
    assert_eq!((closed.status.code(), text(&closed.stderr)), (Some(0), String::new()));
}

fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_parent_whose_log_nobody_reads_goes_on() {
    let place = Place::new(NOWHERE);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut process =
        tieline().arg("run").arg("--config").arg(place.config()).stderr(writer).stdin(Stdio::null()).spawn().unwrap();
    let control = place.run_dir().join("control.sock");
    wait_until("the parent answers", || UnixStream::connect(&control).ok());
    let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
    // Far more than a pipe holds.
    for _ in 0..2000 {
        kill(pid, Signal::SIGHUP).unwrap();
        let mut control = UnixStream::connect(&control).unwrap();
        ask(&mut control, &json!({"probe": {"host": "a"}}));
    }
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
    drop(reader);
}
