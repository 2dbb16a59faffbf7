//! Telling many rows: `LIST` and `WATCH`.
//!
//! Enters: a prefix, perhaps a revision. Leaves: rows, then changes as they come. Promised: what is told is together the
//! true table, though it changes meanwhile; nobody's listing is kept in memory, and nobody waits for it; who is further
//! behind than the changes that are remembered is told so and closed.

use std::io;
use std::time::Instant;

use tokio::sync::watch;

use super::desk::Desk;
use super::directory::{Directory, Since};
use super::grammar::replies::{self, Kind};
use super::grammar::rows::{write_change, write_row};
use super::line::Line;
use super::row::Revision;
use super::session::CHUNK;

/// Rows that are told before others have their turn.
const PAGE: usize = 256;

/// Answers `LIST`.
pub(super) async fn list(desk: &Desk, prefix: &str, line: &mut Line, out: &mut String) -> io::Result<()> {
    let revision = desk.look(Directory::revision);
    out.push_str(&format!("ok {revision}\n"));
    // A row that changes meanwhile is told as it is then, rather than not at all.
    rows(desk, prefix, Revision(u64::MAX), line, out).await
}

/// Rows up to a revision, and an empty line.
async fn rows(desk: &Desk, prefix: &str, until: Revision, line: &mut Line, out: &mut String) -> io::Result<()> {
    let mut after = None;
    loop {
        let (rows, more) = desk.look(|directory| directory.page(prefix, after.as_deref(), until, PAGE));
        let now = Instant::now();
        for entry in rows {
            write_row(out, &entry.row, entry.expires, now);
            out.push('\n');
        }
        after = more;
        if after.is_none() {
            out.push('\n');
            return Ok(());
        }
        line.say(out).await?;
        tokio::task::yield_now().await;
    }
}

/// Answers `WATCH`, until the program goes or `over` says that the registry does. Says that there is nothing more to come.
pub(super) async fn watch(
    desk: &Desk,
    prefix: &str,
    after: Option<Revision>,
    line: &mut Line,
    out: &mut String,
    over: &mut watch::Receiver<bool>,
) -> io::Result<bool> {
    let Some(_seat) = Seat::take(desk) else {
        let limit = desk.bounds.watchers;
        let text = format!("{limit} programs watch already, which is the most; let some of them share what they see");
        out.push_str(&replies::error(Kind::Busy, &text));
        return Ok(true);
    };
    let known = after.filter(|after| desk.look(|directory| matches!(directory.since(*after), Since::Known(_))));
    let mut told = known.unwrap_or_else(|| desk.look(Directory::revision));
    out.push_str(&format!("ok {told} {}\n", if known.is_some() { "changes" } else { "snapshot" }));
    if known.is_none() {
        rows(desk, prefix, told, line, out).await?;
    }
    loop {
        let next = desk.next_change();
        match changes(desk, prefix, told, out) {
            Some(latest) => told = latest,
            None => {
                out.push_str(&replies::error(Kind::Busy, "you read too slowly to be told every change; watch again"));
                return line.say(out).await.map(|()| false);
            }
        }
        line.say(out).await?;
        if desk.look(Directory::revision) == told {
            tokio::select! {
                () = next => {}
                () = line.stirs() => return Ok(false),
                _ = over.wait_for(|over| *over) => return Ok(false),
            }
        }
    }
}

/// Some of the changes after a revision. Returns up to where they go; none if they are not all known any more.
fn changes(desk: &Desk, prefix: &str, told: Revision, out: &mut String) -> Option<Revision> {
    desk.look(|directory| {
        let Since::Known(changes) = directory.since(told) else { return None };
        let now = Instant::now();
        for change in changes {
            if change.name().starts_with(prefix) {
                write_change(out, change, now);
                out.push('\n');
            }
            if out.len() >= CHUNK {
                return Some(change.revision);
            }
        }
        Some(directory.revision())
    })
}

/// A place among those who watch.
struct Seat<'a>(&'a Desk);

impl<'a> Seat<'a> {
    fn take(desk: &'a Desk) -> Option<Self> {
        let taken = desk.watchers.get();
        (taken < desk.bounds.watchers).then(|| {
            desk.watchers.set(taken + 1);
            Self(desk)
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.watchers.set(self.0.watchers.get() - 1);
    }
}
