//! Names that programs register, through the real registry: they are there as long as the programs are, whatever happens to
//! the registry meanwhile.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tieline::client::{AsyncRegistry, News, Offer, Options, Registry, RegistryError};
use tokio::runtime::Builder;

use super::program::{Program, command};
use crate::common::{Daemon, LONG, Place, wait_until};

const HOST: &str = "cache 127.0.0.1:1 resp start=demand";

/// A daemon, and how to reach its registry.
pub(super) fn registry() -> (Daemon, Options) {
    let daemon = Daemon::start(&[HOST]);
    let options = Options::default().run_dir(daemon.place().path("run"));
    (daemon, options)
}

/// The addresses of a name; none if nobody is registered so.
pub(super) fn addresses(options: &Options, name: &str) -> Vec<String> {
    match Registry::open(options).expect("a run directory").resolve(name) {
        Ok(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Err(RegistryError::Refused { .. }) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

/// Waits until the registry has forgotten the lease of `name` although its program lives: its rows are gone from the file.
fn forget(daemon: &mut Daemon, place: &Place) {
    let child = daemon.child("registry");
    let file = place.path("spool/.registry/registry.sqlite");
    child.signal(Signal::SIGSTOP);
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(file.with_extension(format!("sqlite{suffix}"))).ok();
    }
    child.signal(Signal::SIGKILL);
}

fn offer() -> Offer {
    Offer::new("ledger", "tcp:127.0.0.1:7").ttl(Duration::from_secs(3))
}

#[test]
fn a_name_that_the_registry_has_forgotten_is_registered_again_and_gone_when_its_registration_is_dropped() {
    let (mut daemon, options) = registry();
    let registration = Registry::open(&options).expect("a run directory").register(&offer()).expect("it is registered");
    assert_eq!(addresses(&options, "ledger"), ["127.0.0.1:7"]);
    let lease = registration.lease();
    let place = std::sync::Arc::clone(daemon.place());
    forget(&mut daemon, &place);
    wait_until("it has registered again", || (addresses(&options, "ledger") == ["127.0.0.1:7"]).then_some(()));
    wait_until("it knows its new lease", || registration.lease().filter(|new| Some(new) != lease.as_ref()));
    assert_eq!(registration.trouble(), None);
    drop(registration);
    assert_eq!(addresses(&options, "ledger"), Vec::<String>::new(), "it is gone when the drop is over");
    daemon.stop();
}

#[test]
fn the_face_for_tokio_keeps_a_name_as_well() {
    let (mut daemon, options) = registry();
    let place = std::sync::Arc::clone(daemon.place());
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let registry = AsyncRegistry::open(&options).expect("a run directory");
        let [kept, dropped] = [7, 8].map(|port| Offer::new("ledger", &format!("tcp:127.0.0.1:{port}")));
        let kept = registry.register(&kept.ttl(Duration::from_secs(3))).await.expect("it is registered");
        let dropped = registry.register(&dropped).await.expect("it is registered");
        assert_eq!(addresses(&options, "ledger").len(), 2);
        drop(dropped);
        until("what was dropped is gone", || addresses(&options, "ledger") == ["127.0.0.1:7"]).await;
        let lease = kept.lease();
        forget(&mut daemon, &place);
        until("it has registered again", || kept.lease().is_some_and(|new| Some(new) != lease)).await;
        assert_eq!(kept.trouble(), None);
        assert_eq!(addresses(&options, "ledger"), ["127.0.0.1:7"]);
        kept.unregister().await;
        assert_eq!(addresses(&options, "ledger"), Vec::<String>::new());
    });
    daemon.stop();
}

/// As `wait_until`, for a runtime whose tasks must go on meanwhile.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < LONG, "waited {LONG:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_watcher_goes_on_where_it_was_when_the_registry_was_killed() {
    let (mut daemon, options) = registry();
    let registry = Registry::open(&options).expect("a run directory");
    let mut watch = registry.watch("led").expect("a prefix");
    let News::Snapshot { instances, .. } = watch.news().expect("a snapshot") else { panic!("first comes a snapshot") };
    assert_eq!(instances, []);
    let offer = |port: u16| Offer::new("ledger", &format!("tcp:127.0.0.1:{port}"));
    let first = registry.register(&offer(1)).expect("it is registered");
    let News::Put { instance, .. } = watch.news().expect("a change") else { panic!("it is there") };
    assert_eq!(instance.row.address, "tcp:127.0.0.1:1");

    daemon.child("registry").signal(Signal::SIGKILL);
    let second = wait_until("the registry is there again", || registry.register(&offer(2)).ok());
    let mut known: Vec<String> = vec![instance.row.address];
    // Whether the next life of the registry still knows the change is its affair: together it must be the truth.
    while known.len() < 2 {
        match watch.news().expect("the watch goes on") {
            News::Snapshot { instances, .. } => known = instances.into_iter().map(|each| each.row.address).collect(),
            News::Put { instance, .. } => known.push(instance.row.address),
            News::Gone { .. } => panic!("nobody has gone"),
        }
    }
    assert_eq!(known, ["tcp:127.0.0.1:1", "tcp:127.0.0.1:2"]);
    drop((first, second));
    daemon.stop();
}

/// What the clients of other languages do to keep a name: a program that registers, says so, and waits for its input's end.
fn keeps_a_name(language: &str, code: &str) {
    let (mut daemon, options) = registry();
    let mut program = Program::start(command(language, code, daemon.place()));
    assert_eq!(program.line(), "registered");
    assert_eq!(addresses(&options, "ledger"), ["127.0.0.1:7"]);
    let place = std::sync::Arc::clone(daemon.place());
    forget(&mut daemon, &place);
    wait_until("it has registered again", || (addresses(&options, "ledger") == ["127.0.0.1:7"]).then_some(()));
    assert_eq!(program.end(), "");
    assert_eq!(addresses(&options, "ledger"), Vec::<String>::new(), "it has unregistered");
    daemon.stop();
}

#[test]
fn a_program_in_python_keeps_its_name() {
    keeps_a_name(
        "python3",
        "with tieline.register('ledger', 'tcp:127.0.0.1:7', ttl=1, dialect='line'):\n    \
             print('registered', flush=True)\n    \
             sys.stdin.read()\n",
    );
}

#[test]
fn a_program_in_perl_keeps_its_name() {
    keeps_a_name(
        "perl",
        "$| = 1; my $lease = Tieline->register('ledger', 'tcp:127.0.0.1:7', ttl => 1, dialect => 'line');\n\
         print \"registered\\n\"; <STDIN>; undef $lease;",
    );
}
