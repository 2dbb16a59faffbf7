//! A relay between the daemon and a real host, which breaks connections when it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Passes bytes both ways.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    address: String,
}

struct Shared {
    host: String,
    open: Mutex<Vec<TcpStream>>,
    /// A reply is cut off after so many bytes; `usize::MAX` for never.
    cut_after: AtomicUsize,
}

impl Relay {
    pub(crate) fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
        let address = listener.local_addr().expect("its address").to_string();
        let shared = Arc::new(Shared { host, open: Mutex::default(), cut_after: AtomicUsize::new(usize::MAX) });
        let serving = Arc::clone(&shared);
        // It ends with the test's process.
        thread::spawn(move || listener.incoming().flatten().for_each(|stream| serving.join(&stream)));
        Self { shared, address }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Breaks every connection.
    pub(crate) fn cut(&self) {
        for stream in self.shared.open.lock().expect("the list").drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    /// Breaks each connection from now on once the host has sent so many bytes over it.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.shared.cut_after.store(bytes, Ordering::SeqCst);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, stream: &TcpStream) {
        let Ok(host) = TcpStream::connect(&self.host) else { return };
        let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
        self.open.lock().expect("the list").extend([clone(stream), clone(&host)]);
        let (from, to) = (clone(stream), clone(&host));
        thread::spawn(move || pass(from, to, || usize::MAX));
        let (from, to, shared) = (host, clone(stream), Arc::clone(self));
        thread::spawn(move || pass(from, to, || shared.cut_after.load(Ordering::SeqCst)));
    }
}

/// Passes bytes on, and closes both when one side ends or `most` bytes were passed.
fn pass(mut from: TcpStream, mut to: TcpStream, most: impl Fn() -> usize) {
    let (mut chunk, mut passed) = ([0; 16 * 1024], 0);
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        let fitting = count.min(most().saturating_sub(passed));
        passed += fitting;
        if to.write_all(&chunk[..fitting]).is_err() || fitting < count {
            break;
        }
    }
    from.shutdown(Shutdown::Both).ok();
    to.shutdown(Shutdown::Both).ok();
}
