//! Where clients in Python and Perl begin: dialects that they do not speak, a registry that is away, odd addresses, many
//! descriptors.

use tieline::client::{Offer, Registry};

use super::instance::Instance;
use super::program::said;
use super::registering::registry;
use crate::common::Daemon;

/// A client for a name whose dialect the registry says, and the file does not speak, is an error at once.
fn refuses_dialects(language: &str, text: &str) {
    let daemon = Daemon::start(&["store 127.0.0.1:1 memcache start=demand"]);
    let options = tieline::client::Options::default().run_dir(daemon.place().path("run"));
    let instance = Instance::tcp(|_| Some(b"HTTP/1.1 200\r\n\r\n".to_vec()));
    let offer = Offer::new("web", &instance.address).pair("dialect", "http");
    let _registration = Registry::open(&options).expect("a run directory").register(&offer).expect("it is registered");
    let expected = "store speaks memcache: this file speaks only line, len32, resp\n\
                    web speaks http: this file speaks only line, len32, resp\n";
    assert_eq!(said(language, text, daemon.place()), expected);
    assert_eq!(instance.requests(), 0);
    daemon.stop();
}

#[test]
fn python_refuses_dialects_that_it_does_not_speak() {
    refuses_dialects(
        "python3",
        "for name in 'store', 'web':\n    \
             try:\n        tieline.Client(name, deadline=1).request('get k')\n    \
             except tieline.Error as error:\n        print(error)\n",
    );
}

#[test]
fn perl_refuses_dialects_that_it_does_not_speak() {
    refuses_dialects(
        "perl",
        "for (qw(store web)) { eval { Tieline->open($_, deadline => 1)->request('get k') }; print $@ }",
    );
}

/// What is said of a registry that is away.
fn says_that_the_registry_is_away(language: &str, text: &str) {
    let (daemon, _) = registry();
    let place = std::sync::Arc::clone(daemon.place());
    daemon.stop();
    let said = said(language, text, &place);
    assert!(said.contains("the registry cannot be asked") && said.lines().count() == 1, "{said}");
}

#[test]
fn python_says_that_nothing_is_registered_without_a_registry() {
    says_that_the_registry_is_away(
        "python3",
        "try:\n    tieline.register('ledger', 'tcp:127.0.0.1:7')\nexcept tieline.Error as error:\n    print(error)\n",
    );
}

#[test]
fn perl_says_that_nothing_is_registered_without_a_registry() {
    says_that_the_registry_is_away("perl", "eval { Tieline->register('ledger', 'tcp:127.0.0.1:7') }; print $@");
}

#[test]
fn perl_says_that_no_dialect_can_be_had_without_a_registry() {
    says_that_the_registry_is_away("perl", "eval { Tieline->open('ledger') }; print $@");
}

/// A client that asks an instance of `line`.
fn asks(language: &str, text: &str) {
    let (daemon, options) = registry();
    let answer = |request: &[u8]| Some([b"ok ", request].concat());
    let instance = Instance::tcp(answer);
    let offer = Offer::new("ledger", &instance.address).pair("dialect", "line");
    let _registration = Registry::open(&options).expect("a run directory").register(&offer).expect("it is registered");
    assert_eq!(said(language, text, daemon.place()).trim(), "ok book");
    daemon.stop();
}

const ASK_IN_PYTHON: &str = "print(tieline.Client('ledger').request('book').body.decode())\n";
const ASK_IN_PERL: &str = "print Tieline->open('ledger')->request('book')->{body};";

#[test]
fn a_program_may_have_any_number_of_descriptors() {
    let many = "import os, resource\n\
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n\
                resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n\
                held = [os.open('/dev/null', os.O_RDONLY) for _ in range(1100)]\n";
    asks("python3", &format!("{many}{ASK_IN_PYTHON}"));
    let many = "my @held = map { CORE::open(my $null, '<', '/dev/null') or die $!; $null } 1 .. 1100;";
    crate::common::raise_file_limit();
    asks("perl", &format!("{many}{ASK_IN_PERL}"));
}
