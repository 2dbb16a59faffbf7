//! The parent's end of one control channel, in a task of its own.
//!
//! Enters: lines to be written, bytes of the child. Leaves: [`Note`]s of what the child says. Promised: the parent never
//! waits for a child; when the channel is taken back before an exec, not one byte is lost: what was read and is no whole
//! line yet, and what is still to be written, is given back with the socket.

use std::io::{self, Cursor};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, Chain};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::Note;
use super::lines::read_line;
use super::table::HostId;
use crate::heritage::ToParent;

/// Longest line in bytes.
const LONGEST_MESSAGE: u64 = 1 << 20;

/// Messages that wait for a child to read them.
const QUEUE: usize = 16;

/// A channel that nobody serves: as it was taken back, or has just been made.
#[derive(Debug)]
pub(super) struct Idle {
    /// The socket.
    pub(super) socket: OwnedFd,
    /// Bytes of the child that are no whole line yet.
    pub(super) unread: Vec<u8>,
    /// Bytes for the child that it has not taken yet.
    pub(super) unsent: Vec<u8>,
}

/// A channel that is served.
#[derive(Debug)]
pub(super) struct Channel {
    queue: mpsc::Sender<Vec<u8>>,
    give_back: oneshot::Sender<()>,
    task: JoinHandle<Option<Idle>>,
}

impl Channel {
    /// Serves a channel.
    ///
    /// # Errors
    /// Those of the event loop.
    pub(super) fn serve(idle: Idle, host: HostId, pid: Pid, notes: &mpsc::Sender<Note>) -> io::Result<Self> {
        let Idle { socket, unread, unsent } = idle;
        let socket = StdUnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let stream = UnixStream::from_std(socket)?;
        let (queue, to_send) = mpsc::channel(QUEUE);
        let (give_back, stop) = oneshot::channel();
        let talk = Talk { host, pid, notes: notes.clone() };
        let task = tokio::spawn(talk.serve(stream, unread, unsent, to_send, stop));
        Ok(Self { queue, give_back, task })
    }

    /// Has a line written; false if the child does not read what it was told before.
    pub(super) fn say(&self, line: Vec<u8>) -> bool {
        self.queue.try_send(line).is_ok()
    }

    /// Begins to take the channel back; none comes if it has ended.
    pub(super) fn take_back(self) -> JoinHandle<Option<Idle>> {
        // One that has ended on its own account does not hear it.
        self.give_back.send(()).ok();
        self.task
    }
}

/// What one channel's task knows.
struct Talk {
    host: HostId,
    pid: Pid,
    notes: mpsc::Sender<Note>,
}

/// What was read before comes first.
type Reader<'a> = BufReader<Chain<Cursor<Vec<u8>>, ReadHalf<'a>>>;

impl Talk {
    async fn serve(
        self,
        mut stream: UnixStream,
        unread: Vec<u8>,
        mut unsent: Vec<u8>,
        mut queue: mpsc::Receiver<Vec<u8>>,
        stop: oneshot::Receiver<()>,
    ) -> Option<Idle> {
        let (read, mut write) = stream.split();
        let mut reader = BufReader::with_capacity(4096, Cursor::new(unread).chain(read));
        let mut line = Vec::new();
        let given_back = tokio::select! {
            biased;
            () = stopped(stop) => true,
            () = self.hear(&mut reader, &mut line) => false,
            () = tell(&mut write, &mut unsent, &mut queue) => false,
        };
        if !given_back {
            self.note(Note::ChannelEnded { host: self.host, pid: self.pid }).await;
            return None;
        }
        line.extend_from_slice(reader.buffer());
        let before = reader.get_ref().get_ref().0;
        line.extend(before.get_ref().iter().skip(usize::try_from(before.position()).unwrap_or(usize::MAX)));
        while let Ok(more) = queue.try_recv() {
            unsent.extend(more);
        }
        let socket = stream.into_std().ok()?.into();
        Some(Idle { socket, unread: line, unsent })
    }

    /// Until the end of the channel. Given up while it waits, it leaves in `line` what it has read of the next one.
    async fn hear(&self, reader: &mut Reader<'_>, line: &mut Vec<u8>) {
        let pid = self.pid;
        loop {
            match read_line(reader, line, LONGEST_MESSAGE).await {
                Ok(true) => {}
                Ok(false) => return,
                // A reset: the child died with messages of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
                Err(error) => {
                    tracing::warn!("cannot read from process {pid}: {error}; its control channel is closed");
                    return;
                }
            }
            match serde_json::from_slice::<ToParent>(line) {
                Ok(message) => self.said(message, line).await,
                Err(error) => tracing::warn!("process {pid} says what nobody understands: {error}"),
            }
            line.clear();
        }
    }

    /// Passes a message on. The line is whole until there is room for the note, and gone from then on: whoever takes the
    /// channel back in between finds it in exactly one place.
    async fn said(&self, message: ToParent, line: &mut Vec<u8>) {
        if let Ok(room) = self.notes.reserve().await {
            line.clear();
            room.send(Note::Said { host: self.host, pid: self.pid, message });
        }
    }

    /// Nobody listens any more only when the parent itself ends.
    async fn note(&self, note: Note) {
        self.notes.send(note).await.ok();
    }
}

/// Somebody wants the channel back. If the other side of this is just dropped, the parent forgot the child: nobody does.
async fn stopped(stop: oneshot::Receiver<()>) {
    if stop.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Until the channel breaks, or nobody can say anything any more. What is not written yet stands in `unsent`.
async fn tell(write: &mut WriteHalf<'_>, unsent: &mut Vec<u8>, queue: &mut mpsc::Receiver<Vec<u8>>) {
    loop {
        while !unsent.is_empty() {
            match write.write(unsent).await {
                Ok(count) => drop(unsent.drain(..count)),
                // The reading side sees the same end and reports it.
                Err(_) => return std::future::pending().await,
            }
        }
        match queue.recv().await {
            Some(line) => *unsent = line,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncBufReadExt;

    use super::*;

    const LONG: std::time::Duration = std::time::Duration::from_secs(30);

    fn pair() -> (Idle, UnixStream) {
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Idle { socket: ours.into(), unread: Vec::new(), unsent: Vec::new() }, UnixStream::from_std(theirs).unwrap())
    }

    fn serve(idle: Idle, notes: &mpsc::Sender<Note>) -> Channel {
        Channel::serve(idle, HostId(0), Pid::from_raw(7), notes).unwrap()
    }

    #[tokio::test]
    async fn what_is_to_be_said_when_a_channel_is_taken_back_is_said_later() {
        let (idle, child) = pair();
        let (notes, _heard) = mpsc::channel(1);
        let channel = serve(idle, &notes);
        assert!(channel.say(b"one\n".to_vec()) && channel.say(b"two\n".to_vec()));
        let idle = channel.take_back().await.unwrap().unwrap();
        let _channel = serve(idle, &notes);
        let mut lines = BufReader::new(child).lines();
        for word in ["one", "two"] {
            let line = tokio::time::timeout(LONG, lines.next_line()).await.expect("it is said");
            assert_eq!(line.unwrap().unwrap(), word);
        }
    }

    #[tokio::test]
    async fn what_was_read_when_a_channel_is_taken_back_is_heard_later_and_once() {
        let (idle, mut child) = pair();
        let (notes, mut heard) = mpsc::channel(1);
        let said = |up: bool| format!("{{\"reach\":{{\"up\":{up},\"reason\":\"\"}}}}\n");
        let text = [said(true), said(false), said(true), said(false)].concat();
        let (before, after) = text.split_at(text.len() - 9);
        let channel = serve(idle, &notes);
        child.write_all(before.as_bytes()).await.unwrap();
        // There is room for one: the next is in the task's hands, and what follows in its buffer.
        while notes.capacity() > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        let idle = channel.take_back().await.unwrap().unwrap();
        assert_eq!(String::from_utf8(idle.unread.clone()).unwrap(), before[said(true).len()..]);
        let _channel = serve(idle, &notes);
        child.write_all(after.as_bytes()).await.unwrap();
        for expected in [true, false, true, false] {
            let note = tokio::time::timeout(LONG, heard.recv()).await.expect("it is heard");
            let Some(Note::Said { message: ToParent::Reach { up, .. }, .. }) = note else {
                panic!("something else was said")
            };
            assert_eq!(up, expected);
        }
        assert!(heard.try_recv().is_err(), "nothing is heard twice");
    }
}
