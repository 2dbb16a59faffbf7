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
//! ```
//!
//! What may stand for `…` is said in [`crate::spool::tools`]: the parent passes it on to the child that has the spool open,
//! and its answer back, and looks into neither. `no_child` means that nothing was done; with `"start":true` a child is
//! being started, so that the question may be put again in a moment.
//!
//! A status is answered within a second, whether every child answers or not; a question about a spool within five. `{"ok":null}` to a probe means that the
//! child was told; what comes of it is in the status.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
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

/// Accepts for ever.
pub(super) async fn serve(listener: UnixListener, notes: mpsc::Sender<Note>) {
    let places = Arc::new(Semaphore::new(MOST_REQUESTERS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(converse(stream, notes.clone(), place))),
            Err(error) => {
                // Usually too many open files; it will not be better in the next microsecond.
                tracing::warn!("cannot accept at the control socket: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, notes: mpsc::Sender<Note>, _place: OwnedSemaphorePermit) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::with_capacity(512, read);
    let mut line = Vec::new();
    while let Ok(Ok(true)) = timeout(PATIENCE, read_line(&mut read, &mut line, LONGEST_REQUEST)).await {
        let answer = answer(&line, &notes).await;
        let Ok(mut text) = serde_json::to_vec(&answer) else {
            return;
        };
        text.push(b'\n');
        let Ok(Ok(())) = timeout(PATIENCE, write.write_all(&text)).await else {
            return;
        };
    }
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
        tokio::spawn(converse(theirs, notes, place));
        let mut ours = BufReader::new(ours);
        ours.write_all(b"hello\n").await.unwrap();
        let mut line = String::new();
        ours.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(r#"{"error":"not a request: "#), "{line}");
        ours.write_all(&[b'x'; LONGEST_REQUEST as usize]).await.unwrap();
        assert_eq!(ours.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }
}
