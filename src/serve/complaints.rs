//! What processes complain of: their standard error → the log.
//!
//! Enters: a pipe. Leaves: lines of the log, each with the process's name and number. Promised: the pipe is read to its
//! end, so that nobody waits for a reader; a process fills at most [`MOST`] bytes of log in [`WINDOW`]; no control
//! character reaches the log.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tracing::warn;

use crate::config::printable;

/// Longest line that is logged in one piece (bytes).
const LONGEST: usize = 1024;

/// Bytes of complaints that are logged within [`WINDOW`].
const MOST: usize = 16 * 1024;

/// What a line costs besides its bytes: the time, the level, the names.
const AROUND: usize = 80;

/// See [`MOST`].
const WINDOW: Duration = Duration::from_secs(10);

/// Logs all that comes, until the pipe ends. `label` names the process.
pub(super) async fn log(mut pipe: pipe::Receiver, label: String) {
    let mut lines = Lines::new(Instant::now());
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        for line in lines.push(&chunk[..count], Instant::now()) {
            warn!("{label}: {line}");
        }
    }
    for line in lines.finish() {
        warn!("{label}: {line}");
    }
}

/// Lines out of bytes, within the bounds. Pure.
#[derive(Debug)]
struct Lines {
    partial: Vec<u8>,
    since: Instant,
    logged: usize,
    dropped: usize,
}

impl Lines {
    fn new(now: Instant) -> Self {
        Self { partial: Vec::new(), since: now, logged: 0, dropped: 0 }
    }

    /// The lines that are to be logged, now that these bytes have come.
    fn push(&mut self, bytes: &[u8], now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if now.saturating_duration_since(self.since) >= WINDOW {
            lines.extend(self.confession());
            (self.since, self.logged) = (now, 0);
        }
        for &byte in bytes {
            if byte != b'\n' {
                self.partial.push(byte);
            }
            if byte == b'\n' || self.partial.len() >= LONGEST {
                lines.extend(self.line());
            }
        }
        lines
    }

    /// What is left at the end.
    fn finish(&mut self) -> Vec<String> {
        let last = if self.partial.is_empty() { None } else { self.line() };
        last.into_iter().chain(self.confession()).collect()
    }

    fn line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        if self.logged + line.len() > MOST {
            self.dropped += line.len();
            return None;
        }
        self.logged += line.len() + AROUND;
        let text = printable(String::from_utf8_lossy(&line).trim_end());
        (!text.is_empty()).then_some(text)
    }

    /// How much was left out.
    fn confession(&mut self) -> Option<String> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped > 0).then(|| format!("({dropped} more bytes of complaints are left out)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_printable_and_not_endless() {
        let (mut lines, now) = (Lines::new(Instant::now()), Instant::now());
        assert_eq!(lines.push(b"one\ntw", now), ["one"]);
        assert_eq!(lines.push(b"o\x1b[2J\n\n", now), ["two\u{241b}[2J"]);
        let long = lines.push(&[b'x'; LONGEST + 5], now);
        assert_eq!((long.len(), long[0].len()), (1, LONGEST));
        assert_eq!(lines.finish(), ["xxxxx"]);
    }

    #[test]
    fn a_flood_is_left_out_and_confessed() {
        let (mut lines, now) = (Lines::new(Instant::now()), Instant::now());
        let flood = "word\n".repeat(1 << 20);
        let logged: usize = lines.push(flood.as_bytes(), now).iter().map(String::len).sum();
        assert!(logged <= MOST, "{logged}");
        let after = lines.push(b"again\n", now + WINDOW);
        assert!(after[0].contains("left out") && after[1] == "again", "{after:?}");
    }
}
