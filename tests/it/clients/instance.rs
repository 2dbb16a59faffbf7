//! An instance of a name that needs no daemon: it answers as the test wants.
//!
//! Enters: how it answers. Leaves: its address, how many requests it has had. Promised: it closes no connection by itself.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// See the head of this file.
pub(super) struct Instance {
    pub(super) address: String,
    requests: Arc<AtomicUsize>,
}

/// What it sends back for what it has read at once; `None` ends the connection.
type Answer = fn(&[u8]) -> Option<Vec<u8>>;

impl Instance {
    pub(super) fn tcp(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let instance = Self::at(format!("tcp:{}", listener.local_addr().expect("its address")));
        let requests = Arc::clone(&instance.requests);
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, answer, &requests)));
        instance
    }

    pub(super) fn unix(path: &Path, answer: Answer) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let instance = Self::at(format!("unix:{}", path.display()));
        let requests = Arc::clone(&instance.requests);
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream, answer, &requests)));
        instance
    }

    fn at(address: String) -> Self {
        Self { address, requests: Arc::default() }
    }

    /// How many requests have come.
    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// In a thread that ends with the test's process.
fn serve(mut stream: impl Read + Write + Send + 'static, answer: Answer, requests: &Arc<AtomicUsize>) {
    let requests = Arc::clone(requests);
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        loop {
            match stream.read(&mut bytes) {
                // The other end has nothing more to ask; the connection stays.
                Ok(0) => return std::mem::forget(stream),
                Ok(read) => {
                    requests.fetch_add(1, Ordering::SeqCst);
                    let Some(reply) = answer(&bytes[..read]) else { return };
                    if stream.write_all(&reply).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}
