//! A relay between the daemon and a real host, which breaks connections when it is told to, or swallows what they carry.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
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
    /// Whether newcomers are closed at once.
    refuses: AtomicBool,
    /// Whether nothing is passed on: connections stay open, and bytes wait.
    is_held: Mutex<bool>,
    released: Condvar,
}

impl Relay {
    pub(crate) fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port for the relay");
        let address = listener.local_addr().expect("its address").to_string();
        let shared = Arc::new(Shared {
            host,
            open: Mutex::default(),
            cut_after: AtomicUsize::new(usize::MAX),
            refuses: AtomicBool::new(false),
            is_held: Mutex::new(false),
            released: Condvar::new(),
        });
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

    /// Closes newcomers at once from now on, or no longer.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Breaks each connection from now on once the host has sent so many bytes over it.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.shared.cut_after.store(bytes, Ordering::SeqCst);
    }

    /// Passes nothing on from now on, as a network does that is partitioned: nobody is told.
    pub(crate) fn hold(&self) {
        *self.shared.is_held.lock().expect("the state") = true;
    }

    /// Passes on what waits, and everything from now on.
    pub(crate) fn release(&self) {
        *self.shared.is_held.lock().expect("the state") = false;
        self.shared.released.notify_all();
    }
}

impl Shared {
    fn join(self: &Arc<Self>, stream: &TcpStream) {
        if self.refuses.load(Ordering::SeqCst) {
            return;
        }
        let Ok(host) = TcpStream::connect(&self.host) else { return };
        let clone = |stream: &TcpStream| stream.try_clone().expect("a second handle");
        self.open.lock().expect("the list").extend([clone(stream), clone(&host)]);
        let (from, to, shared) = (clone(stream), clone(&host), Arc::clone(self));
        thread::spawn(move || shared.pass(from, to, || usize::MAX));
        let (from, to, shared) = (host, clone(stream), Arc::clone(self));
        thread::spawn(move || shared.pass(from, to, || shared.cut_after.load(Ordering::SeqCst)));
    }

    /// Passes bytes on, and closes both when one side ends or `most` bytes were passed.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, most: impl Fn() -> usize) {
        let (mut chunk, mut passed) = ([0; 16 * 1024], 0);
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            self.wait_for_release();
            let fitting = count.min(most().saturating_sub(passed));
            passed += fitting;
            if to.write_all(&chunk[..fitting]).is_err() || fitting < count {
                break;
            }
        }
        from.shutdown(Shutdown::Both).ok();
        to.shutdown(Shutdown::Both).ok();
    }

    fn wait_for_release(&self) {
        let is_held = self.is_held.lock().expect("the state");
        drop(self.released.wait_while(is_held, |is_held| *is_held).expect("the state"));
    }
}
