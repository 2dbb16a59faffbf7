//! One request and its reply, with somebody who answers one after the other: a worker, or another service.
//!
//! Enters: a request's frame. Leaves: the reply's frame, or why there is none. Promised: what comes behind the reply, or
//! before the request was sent, is noticed, and then nobody gets a reply: it could be another one's.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::wire::Failure;
use crate::dialect::{Dialect, Fed, ReplyFramer};

/// Why there is no reply. Whoever it was is not asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// It said nothing more.
    #[error("it ended without a reply")]
    Closed,
    /// It said more than it was asked for.
    #[error("it gave more than one reply")]
    MoreThanOne,
    /// It cannot have heard what it was asked.
    #[error("it replied before it had read its request")]
    Early,
    /// What it said is not of the dialect.
    #[error("its reply is malformed: {0}")]
    Malformed(&'static str),
    /// What it said, or was going to say, is too much.
    #[error("its reply is too large")]
    TooLarge,
    /// The system's reason.
    #[error("{0}")]
    Failed(String),
}

impl Broken {
    /// What it means for the request.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Closed | Self::Failed(_) => Failure::InDoubt(self.to_string()),
            Self::MoreThanOne | Self::Early | Self::Malformed(_) | Self::TooLarge => Failure::Handler(self.to_string()),
        }
    }
}

/// Sends `frame` and hears the reply, of at most `max` bytes.
pub(super) async fn talk(
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    frame: &[u8],
    dialect: Dialect,
    max: u64,
) -> Result<Vec<u8>, Broken> {
    let mut ear = Ear { framer: ReplyFramer::new(dialect, max), bytes: Vec::new(), heard: 0 };
    let (mut rest, mut writes) = (frame, true);
    loop {
        let count = tokio::select! {
            biased;
            wrote = write(writer, rest), if writes => {
                // If it cannot be written, it may have said why before it went.
                rest = wrote.as_ref().map_or(rest, |count| &rest[*count..]);
                writes = wrote.is_ok() && !rest.is_empty();
                continue;
            }
            count = reader.read_buf(&mut ear.bytes) => count.map_err(|error| Broken::Failed(error.to_string()))?,
        };
        match count {
            0 => return Err(Broken::Closed),
            _ if !ear.is_whole()? => {}
            _ if rest.is_empty() => return Ok(ear.bytes),
            _ => return Err(Broken::Early),
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), rest: &[u8]) -> io::Result<usize> {
    match writer.write(rest).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count if count == rest.len() => writer.flush().await.map(|()| count),
        count => Ok(count),
    }
}

struct Ear {
    framer: ReplyFramer,
    bytes: Vec<u8>,
    heard: usize,
}

impl Ear {
    fn is_whole(&mut self) -> Result<bool, Broken> {
        match self.framer.feed(&self.bytes[self.heard..]) {
            Fed::Complete(length) if self.heard + length == self.bytes.len() => return Ok(true),
            Fed::Complete(_) => return Err(Broken::MoreThanOne),
            Fed::Malformed(what) => return Err(Broken::Malformed(what)),
            Fed::TooLarge => return Err(Broken::TooLarge),
            Fed::Partial => self.heard = self.bytes.len(),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What becomes of a request when the other side says this, after it has heard the request or at once.
    fn talked(says: &'static [u8], at_once: bool) -> Result<Vec<u8>, Broken> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut ours, mut theirs) = duplex(8);
            let other = async {
                let mut heard = [0; 20];
                if !at_once {
                    theirs.read_exact(&mut heard).await.unwrap();
                }
                theirs.write_all(says).await.ok();
                if at_once {
                    std::future::pending::<()>().await;
                }
                drop(theirs);
            };
            let (mut reader, mut writer) = tokio::io::split(&mut ours);
            let talk = talk(&mut reader, &mut writer, b"twenty bytes exactly", Dialect::Line, 16);
            tokio::select! {
                talked = talk => talked,
                () = async { other.await; std::future::pending().await } => unreachable!(),
            }
        })
    }

    #[test]
    fn one_reply_behind_the_request_is_the_reply() {
        assert_eq!(talked(b"yes\n", false), Ok(b"yes\n".to_vec()));
        assert_eq!(talked(b"a longer reply\n", false), Ok(b"a longer reply\n".to_vec()));
    }

    #[test]
    fn anything_else_is_nobodys_reply() {
        assert_eq!(talked(b"yes\nno\n", false), Err(Broken::MoreThanOne));
        assert_eq!(talked(b"ye", false), Err(Broken::Closed));
        assert_eq!(talked(b"", false), Err(Broken::Closed));
        assert_eq!(talked(b"a reply that has no end within the bound\n", false), Err(Broken::TooLarge));
        assert_eq!(talked(b"yes\n", true), Err(Broken::Early));
    }
}
