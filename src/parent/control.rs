//! The control socket: where `tieline status` and its kin ask the parent.
//!
//! Enters: connections of local programs that may write to `control.sock`. Leaves: [`Note::Request`]s, each answered
//! once. Promised: at most [`MOST_REQUESTERS`] at once, further ones wait; a line of at most [`LONGEST_REQUEST`] bytes;
//! nobody is kept who says nothing for [`PATIENCE`] or does not read his answer.
//!
//! One JSON object per line, any number of requests one after the other:
//!
//! ```text
//! → {"status":{"host":null}}        ← {"ok":{"version":"0.1.0","pid":4711,…,"hosts":[…]}}
//! → {"status":{"host":"cache"}}     ← {"ok":{…,"hosts":[{"name":"cache",…}]}}
//! → {"probe":{"host":"cache"}}      ← {"ok":null}
//! → {"probe":{"host":"cash"}}       ← {"error":"no host is called cash; there are: cache, ledger"}
//! → {"spool":{"host":"ledger","start":false,"command":…}}   ← {"ok":…}
//! → {"spool":{"host":"archive","start":true,"command":…}}   ← {"no_child":"archive has no child at the moment …"}
//! → {"restart":{}}                  ← {"ok":{"asked":3}}
//! ```
//!
//! What may stand for `…` is said in [`crate::spool::tools`]: the parent passes it on to the child that has the spool open,
//! and its answer back, and looks into neither. `no_child` means that nothing was done; with `"start":true` a child is
//! being started, so that the question may be put again in a moment.
//!
//! A status is answered within a second, whether every child answers or not; a question about a spool within five. `{"ok":null}` to a probe means that the
//! child was told; what comes of it is in the status.

use std::io::{self, Cursor};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Note;
use super::lines::read_line;

/// Most programs that are answered at once.
const MOST_REQUESTERS: usize = 64;

/// Longest request in bytes: room for more than a hundred IDs of stored requests.
const LONGEST_REQUEST: u64 = 4096;

/// How long one may take to ask, or to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// How the hosts are.
    Status {
        /// One of them; all if there is no name.
        host: Option<String>,
    },
    /// Try to reach a host now.
    Probe {
        /// Its name.
        host: String,
    },
    /// Restart, as by HUP.
    Restart {},
    /// Look at a host's spool, or change it.
    Spool {
        /// Its name.
        host: String,
        /// Whether a child is to be started if there is none.
        start: bool,
        /// For the child.
        command: Value,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What was asked for.
    Ok(Value),
    /// Why not, for people.
    Error(String),
    /// Nothing was done, because there is no child to do it; for people.
    NoChild(String),
}

/// A conversation in which nobody waits for an answer.
#[derive(Debug)]
pub(super) struct Pause {
    /// The requester.
    pub(super) socket: OwnedFd,
    /// Bytes of it that are no whole request yet.
    pub(super) unread: Vec<u8>,
}

/// The control socket and who talks to it, when nobody is served.
#[derive(Debug)]
pub(super) struct Desk {
    /// Newcomers wait in its backlog.
    pub(super) listener: UnixListener,
    /// Those that were served before.
    pub(super) conversations: Vec<Pause>,
}

/// Serves until `pause` is dropped, or something comes from it. Then each conversation ends the answer that it is at, and
/// what is left is given to [`Note::ControlPaused`].
pub(super) async fn serve(desk: Desk, notes: mpsc::Sender<Note>, mut pause: watch::Receiver<bool>) {
    let Desk { listener, conversations } = desk;
    let places = Arc::new(Semaphore::new(MOST_REQUESTERS));
    let mut talks = JoinSet::new();
    for Pause { socket, unread } in conversations {
        let socket = std::os::unix::net::UnixStream::from(socket);
        if let (Ok(stream), Ok(place)) = (UnixStream::from_std(socket), Arc::clone(&places).try_acquire_owned()) {
            talks.spawn(converse(stream, unread, notes.clone(), place, pause.clone()));
        }
    }
    while let Some(accepted) = next(&listener, &places, &mut talks, &mut pause).await {
        match accepted {
            Ok((stream, place)) => drop(talks.spawn(converse(stream, Vec::new(), notes.clone(), place, pause.clone()))),
            Err(error) => {
                // Usually too many open files; it will not be better in the next microsecond.
                tracing::warn!("cannot accept at the control socket: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let conversations = talks.join_all().await.into_iter().flatten().collect();
    notes.send(Note::ControlPaused(Desk { listener, conversations })).await.ok();
}

type Accepted = io::Result<(UnixStream, OwnedSemaphorePermit)>;

/// The next one that talks; none when there is to be a pause.
async fn next(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
    talks: &mut JoinSet<Option<Pause>>,
    pause: &mut watch::Receiver<bool>,
) -> Option<Accepted> {
    // Those that have ended are forgotten.
    while talks.try_join_next().is_some() {}
    let accept = async {
        let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
        listener.accept().await.map(|(stream, _)| (stream, place))
    };
    tokio::select! {
        biased;
        _ = pause.changed() => None,
        accepted = accept => Some(accepted),
    }
}

/// Until the requester leaves, or there is a pause and it waits for nothing: then it is given back.
async fn converse(
    stream: UnixStream,
    unread: Vec<u8>,
    notes: mpsc::Sender<Note>,
    _place: OwnedSemaphorePermit,
    mut pause: watch::Receiver<bool>,
) -> Option<Pause> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(512, Cursor::new(unread).chain(read));
    let mut line = Vec::new();
    loop {
        let heard = tokio::select! {
            biased;
            _ = pause.changed() => break,
            heard = timeout(PATIENCE, read_line(&mut read, &mut line, LONGEST_REQUEST)) => heard,
        };
        let Ok(Ok(true)) = heard else { return None };
        let mut text = serde_json::to_vec(&answer(&line, &notes).await).ok()?;
        text.push(b'\n');
        timeout(PATIENCE, write.write_all(&text)).await.ok()?.ok()?;
        line.clear();
    }
    line.extend_from_slice(read.buffer());
    let (before, read) = read.into_inner().into_inner();
    line.extend(before.get_ref().iter().skip(usize::try_from(before.position()).unwrap_or(usize::MAX)));
    let stream = read.reunite(write).ok()?.into_std().ok()?;
    Some(Pause { socket: stream.into(), unread: line })
}

async fn answer(line: &[u8], notes: &mpsc::Sender<Note>) -> Answer {
    let request = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => return Answer::Error(format!("not a request: {error}")),
    };
    let (reply, answer) = oneshot::channel();
    if notes.send(Note::Request { request, reply }).await.is_err() {
        return Answer::Error("tieline is stopping".to_owned());
    }
    answer.await.unwrap_or_else(|_| Answer::Error("tieline is stopping".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_look_as_the_head_of_this_file_says() {
        let asked = |text: &str| serde_json::from_str::<Request>(text).unwrap();
        assert_eq!(asked(r#"{"status":{"host":null}}"#), Request::Status { host: None });
        assert_eq!(asked(r#"{"probe":{"host":"cache"}}"#), Request::Probe { host: "cache".into() });
        let told = |answer: Answer| serde_json::to_string(&answer).unwrap();
        assert_eq!(told(Answer::Ok(Value::Null)), r#"{"ok":null}"#);
        assert_eq!(told(Answer::Error("no".into())), r#"{"error":"no"}"#);
    }

    #[tokio::test]
    async fn what_is_no_request_is_answered_and_silence_or_an_endless_line_ends_the_conversation() {
        use tokio::io::{AsyncBufReadExt, AsyncReadExt};
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (notes, _kept) = mpsc::channel(1);
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        let (_kept, pause) = watch::channel(false);
        tokio::spawn(converse(theirs, Vec::new(), notes, place, pause));
        let mut ours = BufReader::new(ours);
        ours.write_all(b"hello\n").await.unwrap();
        let mut line = String::new();
        ours.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(r#"{"error":"not a request: "#), "{line}");
        ours.write_all(&[b'x'; LONGEST_REQUEST as usize]).await.unwrap();
        assert_eq!(ours.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}
