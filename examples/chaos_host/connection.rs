//! One connection: a thread that reads and lists requests, and one that answers them in order.
//!
//! Enters: bytes of the socket. Leaves: replies as the mood and the request's own words want them.
//! Promised: what is cut has been read to its end first, so that the list names all that arrived.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use nix::libc::linger;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};

use crate::Host;
use crate::mood::{Fate, Plan};

/// The open connections of the host.
#[derive(Default)]
pub(crate) struct Connections {
    open: Mutex<Vec<Weak<File>>>,
    most: AtomicUsize,
}

/// A request that is to be answered.
struct Asked {
    text: String,
    at: Instant,
}

impl Connections {
    fn add(&self, socket: &Arc<File>) {
        let Ok(mut open) = self.open.lock() else {
            return;
        };
        open.retain(|other| other.strong_count() > 0);
        open.push(Arc::downgrade(socket));
        self.most.fetch_max(open.len(), Ordering::SeqCst);
    }

    fn each(&self, act: impl Fn(&File)) {
        let Ok(open) = self.open.lock() else { return };
        open.iter().filter_map(Weak::upgrade).for_each(|socket| act(&socket));
    }

    pub(crate) fn close_all(&self) {
        self.each(|socket| cut(socket, false));
    }

    pub(crate) fn write_all(&self, bytes: &[u8]) {
        self.each(|mut socket| socket.write_all(bytes).unwrap_or_default());
    }

    /// How many there are, and how many there were at most.
    pub(crate) fn count(&self) -> (usize, usize) {
        let now = self.open.lock().map_or(0, |open| open.iter().filter(|c| c.strong_count() > 0).count());
        (now, self.most.load(Ordering::SeqCst))
    }
}

/// Starts the two threads.
pub(crate) fn serve(socket: File, host: &Arc<Host>) {
    let socket = Arc::new(socket);
    host.connections.add(&socket);
    let (asked, to_answer) = channel();
    let (reading, reader) = (Arc::clone(&socket), Arc::clone(host));
    let host = Arc::clone(host);
    spawn(move || read(&reading, &reader, &asked).unwrap_or_else(|_| cut(&reading, false)));
    spawn(move || answer(&socket, &host, &to_answer).unwrap_or_else(|_| cut(&socket, false)));
}

/// Reads, lists and passes on, until the other side or we ourselves have closed.
fn read(mut socket: &File, host: &Host, asked: &Sender<Asked>) -> io::Result<()> {
    let (mut bytes, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let length = socket.read(&mut chunk).unwrap_or(0);
        if length == 0 {
            return host.list.append(&broken_off(&bytes));
        }
        bytes.extend_from_slice(&chunk[..length]);
        let texts = take_requests(&mut bytes, host)?;
        // What tieline asks in its own name (RESP: COMMAND) has no tag.
        let tags = texts.iter().map(|text| tag(text)).filter(|tag| !tag.is_empty());
        host.list.append(&tags.map(|tag| format!("{tag}\n")).collect::<String>())?;
        let at = Instant::now();
        for text in texts {
            asked.send(Asked { text, at }).map_err(io::Error::other)?;
        }
    }
}

/// All complete requests at the front of `bytes`.
fn take_requests(bytes: &mut Vec<u8>, host: &Host) -> io::Result<Vec<String>> {
    let (mut texts, mut at) = (Vec::new(), 0);
    while let Some(request) = host.frames.request(&bytes[at..]).map_err(io::Error::other)? {
        texts.push(request.text);
        at += request.length;
    }
    bytes.drain(..at);
    Ok(texts)
}

/// The line of the list for a request that has not arrived completely; empty if its tag has not.
fn broken_off(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let tag = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    tag.map(|(tag, _)| format!("<{tag}>?\n")).unwrap_or_default()
}

fn tag(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Answers in order. Replies that are due together leave in one write.
fn answer(mut socket: &File, host: &Host, to_answer: &Receiver<Asked>) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let asked = match to_answer.try_recv() {
            Ok(asked) => asked,
            Err(TryRecvError::Disconnected) => return socket.write_all(&out),
            Err(TryRecvError::Empty) => {
                socket.write_all(&out)?;
                out.clear();
                let Ok(asked) = to_answer.recv() else {
                    return Ok(());
                };
                asked
            }
        };
        let words = asked.text.split_once(' ').map_or("", |(_, words)| words);
        let plan = host.mood.plan(words);
        if plan.fate == Fate::Hang {
            socket.write_all(&out)?;
            to_answer.iter().for_each(drop); // until the other side has closed
            return Ok(());
        }
        answer_one(socket, host, &asked, plan, &mut out)?;
    }
}

/// Appends the reply to `out`, or does whatever else becomes of it.
fn answer_one(mut socket: &File, host: &Host, asked: &Asked, plan: Plan, out: &mut Vec<u8>) -> io::Result<()> {
    if plan.fate != Fate::Whole || !plan.after.is_zero() || out.len() > 64 * 1024 {
        socket.write_all(out)?;
        out.clear();
    }
    sleep((asked.at + plan.after).saturating_duration_since(Instant::now()));
    let reply = host.frames.reply(tag(&asked.text), plan.size);
    match plan.fate {
        Fate::Whole => out.extend_from_slice(&reply),
        Fate::Split => split(socket, &reply)?,
        Fate::Twice => socket.write_all(&reply.repeat(2))?,
        Fate::Transient => out.extend_from_slice(&host.frames.refusal(false)),
        Fate::Reject => out.extend_from_slice(&host.frames.refusal(true)),
        Fate::Garbage => socket.write_all(host.frames.garbage())?,
        Fate::Hang => {}
        Fate::Endless => endless(socket, host.frames.endless())?,
        Fate::Cut => cut(socket, fastrand::bool()),
        Fate::CutMid => {
            socket.write_all(&reply[..fastrand::usize(1..reply.len())])?;
            cut(socket, fastrand::bool());
        }
    }
    Ok(())
}

/// Writes the reply in random pieces, with pauses long enough to arrive apart.
fn split(mut socket: &File, mut reply: &[u8]) -> io::Result<()> {
    while !reply.is_empty() {
        let (piece, rest) = reply.split_at(fastrand::usize(1..=reply.len()));
        socket.write_all(piece)?;
        sleep(Duration::from_micros(fastrand::u64(0..500)));
        reply = rest;
    }
    Ok(())
}

/// Writes until the other side has had enough.
fn endless(mut socket: &File, beginning: &[u8]) -> io::Result<()> {
    socket.write_all(beginning)?;
    loop {
        socket.write_all(&[b'x'; 16 * 1024])?;
    }
}

/// Ends both directions. The reading thread still finds what had arrived, then closes; with `reset`, by an RST.
fn cut(socket: &File, reset: bool) {
    if reset {
        let at_once = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&socket.as_fd(), sockopt::Linger, &at_once).unwrap_or_default();
    }
    shutdown(socket.as_raw_fd(), Shutdown::Both).unwrap_or_default();
}
