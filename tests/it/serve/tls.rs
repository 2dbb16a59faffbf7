//! Both ends of a line: a far end behind TLS, and hosts of this same program that connect to it.

use std::io::Read;
use std::net::TcpStream;

use tieline::dialect::Dialect;

use crate::common::{Ca, Place, free_port, wait_until};

#[test]
fn a_host_reaches_a_far_end_over_tls_and_who_shows_no_certificate_reaches_nobody() {
    let port = free_port();
    let options = format!("localhost:{port} line tls ca=test.ca connections=2");
    let hosts = [format!("far {options} cert=near.crt key=near.key"), format!("stranger {options} retries=1")];
    let settings = format!(
        "[serve.far]\nlisten = \"tcp:127.0.0.1:{port}\"\ncert = \"far.crt\"\nkey = \"far.key\"\nca = \"test.ca\"
         [[serve.far.handler]]\nexec = [\"tr\", \"a-z\", \"A-Z\"]\n[[serve.far.handler]]\nmatch = \"long\"\necho = true"
    );
    let place = Place::with_settings(&[&hosts[0], &hosts[1]], &settings);
    let ca = Ca::new(&place.path("."), "test");
    ca.sign("far", &["localhost"], 2099);
    ca.sign("near", &["near"], 2099);
    let daemon = place.start();
    let mut requester = daemon.requester("far", Dialect::Line);
    assert_eq!(requester.ask("hello over there"), "HELLO OVER THERE");
    let long = format!("long {}", "x".repeat(1 << 20));
    assert_eq!(requester.ask(&long), long);
    assert_eq!(daemon.requester("stranger", Dialect::Line).ask("hello"), "con_lost");

    // A certificate that is renewed is shown from then on, without a restart.
    let other = Ca::new(&place.path("."), "other");
    other.sign("far", &["localhost"], 2099);
    wait_until("its new certificate is not one of this CA", || {
        daemon.host_status("stranger")["reason"]
            .as_str()
            .filter(|reason| reason.contains("no CA that is trusted"))
            .map(drop)
            .or_else(|| {
                place.tieline(&["probe", "stranger"]);
                None
            })
    });
    daemon.stop();
}

#[test]
fn who_does_not_finish_a_handshake_takes_nobodys_place_and_is_one_of_few() {
    const MOST: usize = 3;
    let port = free_port();
    let settings = format!(
        "[serve.far]\nlisten = \"tcp:127.0.0.1:{port}\"\ncert = \"far.crt\"\nkey = \"far.key\"\nrequesters = {MOST}
         [[serve.far.handler]]\necho = true"
    );
    let place = Place::with_settings(&[&format!("far localhost:{port} line tls ca=test.ca connections=1")], &settings);
    Ca::new(&place.path("."), "test").sign("far", &["localhost"], 2099);
    let daemon = place.start();
    let silent: Vec<_> = (0..MOST * 3).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a listener")).collect();
    let is_closed = |stream: &TcpStream| {
        stream.set_nonblocking(true).expect("it can be set");
        matches!((&*stream).read(&mut [0]), Ok(0))
    };
    wait_until("those that are too many are closed", || {
        (silent.iter().filter(|stream| is_closed(stream)).count() >= MOST * 2).then_some(())
    });
    assert_eq!(silent.iter().filter(|stream| !is_closed(stream)).count(), MOST, "the others may go on");
    drop(silent);
    let mut requester = daemon.requester("far", Dialect::Line);
    assert_eq!(requester.ask("hello"), "hello");
    daemon.stop();
}
