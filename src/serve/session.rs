//! One requester of a far end, from its first byte to its end.
//!
//! Enters: an accepted socket. Leaves: an answer to each of its requests, in their order: the next one is begun when the
//! one before is answered. Promised: a requester costs one place in a queue, however much it sends ahead; a request that
//! is not whole within the listener's `timeout`, or a reply that is not taken within it, ends the requester; whatever is
//! refused is answered before it is closed; one that only shuts down its sending side still gets its replies. Where
//! transactions are remembered the first request may be a greeting, and those behind it may have tags.

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::debug;

use super::clock::at;
use super::far::{Far, Stage};
use super::intake::Intake;
use super::once::{self, Greeting, Line, Told, Word};
use super::wire::Failure;

/// How long one may go on sending what nobody reads any more, so that it reads the refusal and not that its own writing
/// failed.
const LINGER: Duration = Duration::from_secs(1);

/// Whatever requests come by.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

/// How a requester is spoken with.
enum Manner {
    /// Its first request may be a greeting.
    Unknown,
    /// As ever.
    Plain,
    /// Its requests may have tags, behind this word.
    Greeted(Word),
}

/// Serves a requester until it leaves, or must.
pub(super) async fn serve(far: Rc<Far>, mut stream: impl Socket) {
    let mut intake = Intake::new(far.dialect(), far.settings().max_request);
    let mut manner = if far.settings().dedupe.is_some() { Manner::Unknown } else { Manner::Plain };
    loop {
        let answer = match next(&far, &mut intake, &mut stream).await {
            Ok(Some((frame, arrived))) => answer(&far, &mut intake, &mut manner, frame, arrived).await,
            Ok(None) => break,
            Err(failure) => Err(failure),
        };
        let answered = match answer {
            Ok(Some(answer)) => write(&far, &mut stream, &answer).await,
            Ok(None) => Ok(()),
            Err(failure) => {
                turn_away(&far, &mut stream, &failure).await;
                break;
            }
        };
        if let Err(error) = answered {
            debug!("a requester did not take its reply: {error}");
            break;
        }
    }
    far.goes();
}

/// The answer to a request; none if there is none to it.
async fn answer(
    far: &Rc<Far>,
    intake: &mut Intake,
    manner: &mut Manner,
    frame: Vec<u8>,
    arrived: Instant,
) -> Result<Option<Vec<u8>>, Failure> {
    if let Manner::Unknown = manner {
        *manner = Manner::Plain;
        if let Some(greeting) = once::greeting(&frame) {
            return greet(far, intake, manner, greeting?).map(Some);
        }
    }
    let Manner::Greeted(word) = manner else { return Ok(far.answer(frame, arrived).await) };
    match word.line(frame) {
        Line::Untagged(frame) => Ok(far.answer(frame, arrived).await),
        Line::Tagged(tagged) => Ok(Some(far.answer_tagged(tagged, arrived).await.encode(word))),
        Line::Malformed => Ok(Some(Told::Doubt("malformed".to_owned()).encode(word))),
    }
}

/// Agrees with a requester on its word. One that is refused is closed: what it sends next is meant for a greeted session.
fn greet(far: &Far, intake: &mut Intake, manner: &mut Manner, greeting: Greeting) -> Result<Vec<u8>, Failure> {
    let keep = far.settings().dedupe.unwrap_or_default();
    let welcome = greeting.welcome(keep, &far.settings().name)?;
    intake.greet(greeting.word.clone());
    *manner = Manner::Greeted(greeting.word);
    Ok(welcome)
}

/// The next request, with the time it was whole; none at the requester's end, or at ours.
async fn next(far: &Far, intake: &mut Intake, stream: &mut impl Socket) -> Result<Option<(Vec<u8>, Instant)>, Failure> {
    // Of the first byte that was seen: what waited behind the request before has begun now.
    let mut began = None;
    loop {
        if let Some(frame) = intake.next()? {
            return Ok(Some((frame, Instant::now())));
        }
        if intake.has_begun() {
            began = began.or_else(|| Some(Instant::now()));
        }
        let deadline = began.map(|began| began + far.patience());
        tokio::select! {
            count = stream.read_buf(intake.room()) => match count {
                Ok(1..) => {}
                Ok(0) if intake.has_begun() => {
                    return Err(Failure::Refused("the request ended before it was complete".to_owned()));
                }
                Ok(0) | Err(_) => return Ok(None),
            },
            () = at(deadline) => return Err(Failure::Refused("the request did not come to its end in time".to_owned())),
            () = far.reached(Stage::Retiring) => return Ok(None),
        }
    }
}

async fn write(far: &Far, stream: &mut impl Socket, answer: &[u8]) -> io::Result<()> {
    let written = async {
        stream.write_all(answer).await?;
        stream.flush().await
    };
    tokio::time::timeout(far.patience(), written).await.map_err(io::Error::from)?
}

/// Tells a requester why it is closed.
pub(super) async fn turn_away(far: &Far, stream: &mut impl Socket, why: &Failure) {
    let told = async {
        write(far, stream, &far.refusal(why)).await?;
        stream.shutdown().await?;
        let mut nobody_looks = [0; 4096];
        while stream.read(&mut nobody_looks).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    if !matches!(tokio::time::timeout(LINGER, told).await, Ok(Ok(()))) {
        debug!("a requester that was turned away did not take its leave");
    }
}
