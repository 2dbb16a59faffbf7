//! `tieline demo-host`: the small host of the demo, a process of its own so that it can be killed for real.
//!
//! Enters: lines over TCP. Leaves: for each line `question WORDS` the line `answer WORDS`, [`DELAY`] after it came; for
//! `order WORDS` the line `taken WORDS`; for `orders` the line `orders: WORDS, WORDS…`, as they came. On standard output: `listening PORT`, then `connections OPEN` whenever that number has changed. Promised: it ends when
//! its standard input does, so that it outlives no demo.
//!
//! The answer differs from the question on purpose: nobody can take a question that came back for an answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::cli::{complain, exit};

/// What an answer takes: about as long as a host in the same building needs.
const DELAY: Duration = Duration::from_millis(1);

/// Ports that Linux gives to nobody who does not ask for them by number (`ip_local_port_range` begins at 32768). From
/// the others a port may be taken while the host is down, even by who wants to connect to it.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// How many ports are tried.
const ATTEMPTS: usize = 50;

/// Most bytes of a question.
const LONGEST: usize = 4096;

/// Listens at `port`, or at some port if it is 0; gives the exit code when standard input has ended.
pub(in crate::cli) fn run(port: u16) -> u8 {
    match listen(port).and_then(serve) {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("the demo's host cannot listen: {error}"));
            exit::IOERR
        }
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    if port != 0 {
        return TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    }
    let mut tried = (0..ATTEMPTS).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(PORTS))));
    tried.find(Result::is_ok).unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}

fn serve(listener: TcpListener) -> io::Result<()> {
    tell(&format!("listening {}", listener.local_addr()?.port()));
    thread::spawn(move || accept(&listener));
    // Nobody writes here: this waits for the end of the demo.
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

fn accept(listener: &TcpListener) {
    let (open, orders) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(Vec::new())));
    for stream in listener.incoming().flatten() {
        let (open, orders) = (Arc::clone(&open), Arc::clone(&orders));
        thread::spawn(move || {
            count(&open, 1);
            // Whoever broke the connection knows why.
            answer_all(stream, &orders).ok();
            count(&open, -1);
        });
    }
}

/// The number is told while it is locked, so that the last one told is true.
fn count(open: &Mutex<i32>, change: i32) {
    if let Ok(mut open) = open.lock() {
        *open += change;
        tell(&format!("connections {open}"));
    }
}

fn tell(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

fn answer_all(mut stream: TcpStream, orders: &Mutex<Vec<u8>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut chunk, mut questions, mut answers) = (vec![0; 64 * 1024], Vec::new(), Vec::new());
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 || questions.len() > LONGEST {
            return Ok(());
        }
        questions.extend_from_slice(&chunk[..count]);
        thread::sleep(DELAY);
        if let Ok(mut orders) = orders.lock() {
            answer(&mut questions, &mut answers, &mut orders);
        }
        stream.write_all(&answers)?;
        answers.clear();
    }
}

/// Appends an answer to each whole line of `questions`, and takes these lines away. `orders` is what was ordered so far.
fn answer(questions: &mut Vec<u8>, answers: &mut Vec<u8>, orders: &mut Vec<u8>) {
    let end = memchr::memrchr(b'\n', questions).map_or(0, |lf| lf + 1);
    for question in questions[..end].split(|&byte| byte == b'\n').take(memchr::memchr_iter(b'\n', questions).count()) {
        if let Some(words) = question.strip_prefix(b"question ") {
            answers.extend([b"answer ", words].concat());
        } else if let Some(words) = question.strip_prefix(b"order ") {
            orders.extend([if orders.is_empty() { &b" "[..] } else { b", " }, words].concat());
            answers.extend([b"taken ", words].concat());
        } else if question == b"orders" {
            answers.extend([b"orders:", &orders[..]].concat());
        } else {
            answers.extend_from_slice(b"that is no question");
        }
        answers.push(b'\n');
    }
    questions.drain(..end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_answered_and_the_rest_is_kept() {
        let (mut questions, mut answers) = (b"question 1 2\nhello\n\nquestion 3".to_vec(), Vec::new());
        answer(&mut questions, &mut answers, &mut Vec::new());
        assert_eq!(answers, b"answer 1 2\nthat is no question\nthat is no question\n");
        assert_eq!(questions, b"question 3");
    }

    #[test]
    fn orders_are_taken_and_told_as_they_came() {
        let (mut questions, mut answers) = (b"orders\norder one tea\norder two\norders\n".to_vec(), Vec::new());
        answer(&mut questions, &mut answers, &mut Vec::new());
        assert_eq!(answers, b"orders:\ntaken one tea\ntaken two\norders: one tea, two\n");
    }
}
