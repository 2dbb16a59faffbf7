//! A TLS connection whose host does not read for a while, over sockets that take little.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::config::{Address, HostSettings};
use crate::dialect::Dialect;
use crate::pool::tls;
use crate::requester::session::Session;

/// What a socket is asked to hold; the kernel makes a few kilobytes of it.
const LITTLE: usize = 4096;

/// More than the sockets hold, and less than TLS does (64 KiB).
const REQUEST: usize = 48 * 1024;

/// A host that reads nothing after the handshake until it is told to; then it answers one line with its length.
fn late_reader(dir: &Path, may_read: Receiver<()>) -> (SocketAddr, JoinHandle<()>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("host.crt"), made.cert.pem()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    setsockopt(&listener, sockopt::RcvBuf, &LITTLE).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut socket, _) = listener.accept().unwrap();
        let mut session = ServerConnection::new(config).unwrap();
        session.complete_io(&mut socket).unwrap();
        may_read.recv().unwrap();
        let mut stream = BufReader::new(StreamOwned::new(session, socket));
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        stream.get_mut().write_all(format!("{}\n", line.len()).as_bytes()).unwrap();
    };
    (address, spawn(serve))
}

fn settings(dir: &Path, address: SocketAddr) -> HostSettings {
    let address = Address::Tcp { host: address.ip().to_string(), port: address.port() };
    let ca = Some(dir.join("host.crt"));
    HostSettings { tls: true, ca, ..HostSettings::with_defaults("far", address, Dialect::Line) }
}

/// A connection that was shaken hands over.
async fn connected(settings: &HostSettings, address: SocketAddr) -> Stream {
    let socket = TcpStream::connect(address).await.unwrap();
    setsockopt(&socket, sockopt::SndBuf, &LITTLE).unwrap();
    let credentials = tls::files::load(settings).unwrap();
    tls::shake_hands(&credentials, tls::server_name(settings, &settings.address).unwrap(), socket).await.unwrap()
}

#[test]
fn what_tls_has_taken_reaches_a_late_reader_without_a_further_request() {
    let dir = tempfile::tempdir().unwrap();
    let (go, may_read) = channel();
    let (address, host) = late_reader(dir.path(), may_read);
    let settings = settings(dir.path(), address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (reports, _heard) = unbounded_channel();
        let worker = Rc::new(Worker::new(0, Dispatch::new(settings.clone(), 1), reports));
        let stream = connected(&settings, address).await;
        start(&worker, Opened { stream, instance: None });
        let (mut requester, theirs) = UnixStream::pair().unwrap();
        tokio::task::spawn_local(Session::new(&worker, Stream::Unix(theirs), false));
        let line = [vec![b'x'; REQUEST - 1], b"\n".to_vec()].concat();
        requester.write_all(&line).await.unwrap();
        while worker.look(|dispatch| dispatch.numbers().in_flight) == 0 {
            tokio::task::yield_now().await;
        }
        // The connection's task has its turns.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        let mut reply = Vec::new();
        let heard = tokio::time::timeout(Duration::from_secs(30), requester.read_buf(&mut reply)).await;
        heard.expect("the rest of the request never left").unwrap();
        assert_eq!(String::from_utf8(reply).unwrap(), format!("{REQUEST}\n"));
    });
    host.join().unwrap();
}
