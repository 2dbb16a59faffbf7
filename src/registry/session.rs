//! A session: one program at `registry.sock`, from its first line to its last.
//!
//! Enters: a connection. Leaves: answers, in the order of the commands. Promised: a program that does not read is given up
//! after the patience and holds up nobody else; a command that was begun is carried out to its end, whoever is gone.

use std::rc::Rc;

use tokio::net::UnixStream;
use tokio::sync::watch;

use super::desk::Desk;
use super::grammar::replies::{self, Kind};
use super::grammar::{Command, LINE_MAX, command};
use super::line::{Came, Line};
use super::telling;

/// Bytes of answers that are written at once.
pub(super) const CHUNK: usize = 64 << 10;

/// Serves one program, until it goes or `over` says that the registry does.
pub(super) async fn serve(desk: Rc<Desk>, stream: UnixStream, mut over: watch::Receiver<bool>) {
    let Ok(peer) = stream.peer_cred() else { return };
    let mut session =
        Session { uid: peer.uid(), line: Line::new(stream, desk.bounds.patience), desk, out: String::new() };
    while let Some(came) = session.next(&mut over).await {
        match session.on(came, &mut over).await {
            Ok(true) => {}
            // The other side is gone or does not read, or was told why it is left.
            Ok(false) | Err(_) => return,
        }
    }
}

struct Session {
    desk: Rc<Desk>,
    uid: u32,
    line: Line,
    out: String,
}

impl Session {
    /// The next line. What has been answered is written first if there is none yet.
    async fn next(&mut self, over: &mut watch::Receiver<bool>) -> Option<Came> {
        if let Some(came) = self.line.ready() {
            return Some(came);
        }
        self.line.say(&mut self.out).await.ok()?;
        tokio::select! {
            came = self.line.next() => came.ok(),
            _ = over.wait_for(|over| *over) => None,
        }
    }

    /// Says whether there is more to come.
    async fn on(&mut self, came: Came, over: &mut watch::Receiver<bool>) -> std::io::Result<bool> {
        let line = match came {
            Came::Line(line) => line,
            Came::End => return Ok(false),
            Came::TooLong => {
                let text = format!("the line has more than {LINE_MAX} bytes; write a shorter one");
                self.out.push_str(&replies::error(Kind::Malformed, &text));
                return self.line.say(&mut self.out).await.map(|()| false);
            }
        };
        match command(&line) {
            Err(malformed) => self.out.push_str(&replies::malformed(&malformed)),
            Ok(Command::List { prefix }) => {
                telling::list(&self.desk, &prefix, &mut self.line, &mut self.out).await?;
            }
            Ok(Command::Watch { prefix, after }) => {
                return telling::watch(&self.desk, &prefix, after, &mut self.line, &mut self.out, over).await;
            }
            Ok(command) => self.desk.answer(command, self.uid, &mut self.out).await,
        }
        if self.out.len() >= CHUNK {
            self.line.say(&mut self.out).await?;
        }
        Ok(true)
    }
}
