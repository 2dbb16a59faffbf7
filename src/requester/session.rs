//! One requester's session: reads its requests, lets the dispatch write its replies, ends when nothing is owed.
//!
//! Enters: an accepted socket. Leaves: requests to the dispatch. Promised: whatever is refused is answered before the
//! socket is closed; one that only shuts down its sending side is still owed its replies; one that hangs up is dropped;
//! one that is handed over notices nothing.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use tracing::debug;

use super::{Flow, Intake, Standing};
use crate::child::dispatch::Dispatch;
use crate::child::handing::{Berth, NobodyThere};
use crate::child::worker::{Stage, Worker};
use crate::dialect::{Dialect, Wish};
use crate::system::stream::{ReadHalf, Stream};
use crate::work::RequesterId;

/// How long a refused requester may go on sending what nobody reads any more. Closing a socket that has unread bytes
/// would make the kernel reset it, and the refusal might be lost before it was read.
const LINGER: Duration = Duration::from_secs(1);

/// How often it is looked whether a requester is still there that sends no more and waits without a deadline.
const LOOK: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    requester: RequesterId,
    read: ReadHalf,
    intake: Intake,
    /// It will send no more.
    ended: bool,
    linger: Option<Pin<Box<Sleep>>>,
    /// When to look again whether one that sends no more, and waits for as long as it likes, is still there.
    look: Option<Pin<Box<Sleep>>>,
    berth: Berth,
}

/// How reading went.
enum Read {
    /// Something may have changed; look again.
    Again,
    /// The requester is gone or may go.
    Done,
}

impl Session {
    /// A session for an accepted socket; `deferred`: whether its requests are stored if they cannot be carried.
    #[must_use]
    pub fn new(worker: &Rc<Worker>, stream: Stream, deferred: bool) -> Self {
        let (read, write) = stream.into_split();
        let requester = worker.join(write);
        if deferred {
            worker.with(|dispatch| dispatch.defer(requester));
        }
        let intake = worker.look(|dispatch| Intake::new(dispatch.host().dialect, dispatch.host().max_request));
        Self {
            worker: Rc::clone(worker),
            requester,
            read,
            intake,
            ended: false,
            linger: None,
            look: None,
            berth: Berth::default(),
        }
    }

    /// A session for a socket that a predecessor has handed over, with the bytes that it had read and not dealt with.
    #[must_use]
    pub fn adopt(worker: &Rc<Worker>, stream: Stream, deferred: bool, unread: Vec<u8>) -> Self {
        let mut session = Self::new(worker, stream, deferred);
        session.resume(unread);
        session
    }

    /// Whose session it is.
    #[must_use]
    pub fn requester(&self) -> RequesterId {
        self.requester
    }

    fn resume(&mut self, unread: Vec<u8>) {
        self.intake = self.worker.look(|dispatch| {
            let host = dispatch.host();
            Intake::resumed(host.dialect, host.max_request, unread)
        });
    }

    fn poll_session(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.linger.is_some() {
                return self.poll_linger(cx);
            }
            let Some((standing, settled)) = self.worker.look(|dispatch| {
                dispatch.account(self.requester).map(|account| (account.standing, account.is_settled()))
            }) else {
                return Poll::Ready(());
            };
            if standing == Standing::Cut {
                return Poll::Ready(());
            }
            let flushed = match self.worker.poll_flush(self.requester, cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                polled => polled.is_ready(),
            };
            if standing == Standing::Closing {
                if !(flushed && settled) {
                    return self.poll_gone(cx);
                }
                self.begin_to_linger();
                continue;
            }
            let polled = match self.worker.stage() {
                Stage::HandingOver if !self.stays(cx) => self.poll_hand_over(cx),
                _ => self.poll_requests(cx),
            };
            match ready!(polled) {
                Read::Again => {}
                Read::Done => return Poll::Ready(()),
            }
        }
    }

    /// Reads requests, as far as the requester may be read.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if !self.worker.with(|dispatch| dispatch.may_read(self.requester, Instant::now())) {
            return Poll::Pending;
        }
        if self.intake.has_more() {
            self.take(&[]);
            return Poll::Ready(Read::Again);
        }
        match self.poll_take(cx) {
            Poll::Pending if self.worker.stage() == Stage::Retiring => self.retire(),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(0)) => Poll::Ready(self.end_of_requests()),
            Poll::Ready(Ok(_)) => Poll::Ready(Read::Again),
            Poll::Ready(Err(error)) => {
                debug!(requester = self.requester.0, %error, "a requester's socket broke");
                Poll::Ready(Read::Done)
            }
        }
    }

    /// Reads once, and takes requests from what there is.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some((held, most)) = self.intake.room() {
            let count = ready!(self.read.poll_append(cx, held, most))?;
            self.worker.bells.much.ring();
            if count > 0 {
                self.take(&[]);
            }
            return Poll::Ready(Ok(count));
        }
        let worker = Rc::clone(&self.worker);
        worker.with_scratch(|scratch| {
            let count = ready!(self.read.poll_read(cx, scratch))?;
            self.take(&scratch[..count]);
            Poll::Ready(Ok(count))
        })
    }

    /// The child retires: a requester that is owed nothing is closed. One that waits without a deadline is not waited for.
    fn retire(&self) -> Poll<Read> {
        if self.is_owed_nothing() {
            return Poll::Ready(Read::Done);
        }
        if self.worker.with(|dispatch| dispatch.end_waiting(self.requester, Instant::now())) {
            return Poll::Ready(Read::Again);
        }
        Poll::Pending
    }

    /// Takes requests from bytes.
    fn take(&mut self, bytes: &[u8]) {
        let (requester, intake) = (self.requester, &mut self.intake);
        self.worker.with(|dispatch| {
            let now = Instant::now();
            if dispatch.relays(requester) {
                intake.pass(bytes, |bytes| dispatch.relay(requester, bytes));
                return dispatch.within_request(requester, false, now);
            }
            let dialect = dispatch.host().dialect;
            let taken = intake.take(bytes, &mut |request| one_request(dispatch, requester, dialect, request, now));
            dispatch.end_run(now);
            if let Err(refusal) = taken {
                dispatch.refuse(requester, &refusal.to_string());
            } else {
                dispatch.within_request(requester, intake.is_within_request(), now);
            }
        });
    }

    /// The requester sends no more. Whether it still listens decides whether anything is owed.
    fn end_of_requests(&mut self) -> Read {
        // The end of a TCP requester does not tell whether it still listens. One that waits for a reply without a deadline
        // is gone, or else its connection would be kept for nobody.
        let gone = self.read.is_tcp() && self.worker.look(|dispatch| dispatch.waits_for_a_reply(self.requester));
        let outlives = |worker: &Worker| worker.with(|dispatch| dispatch.outlives_its_socket(self.requester));
        if gone || (self.read.is_hung_up() && !outlives(&self.worker)) {
            return Read::Done;
        }
        self.ended = true;
        let within = self.intake.is_within_request();
        self.worker.with(|dispatch| {
            dispatch.listens_on(self.requester);
            if within {
                dispatch.refuse(self.requester, "the request ended before it was complete");
            }
            dispatch.close(self.requester);
        });
        Read::Again
    }

    /// Ready when a requester that sends no more is gone altogether. What it is owed has a deadline but in a session, so
    /// that only there it must be looked for.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.worker.look(|dispatch| dispatch.has_session(self.requester)) {
            let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            ready!(look.as_mut().poll(cx));
            self.look = None;
            let is_over = self.worker.look(|dispatch| dispatch.has_heard_all(self.requester, Instant::now()));
            if is_over || self.read.is_hung_up() {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Whether the requester cannot be handed over for now, for reasons of its session; it is read on then.
    fn stays(&mut self, cx: &mut Context<'_>) -> bool {
        while self.worker.with(|dispatch| dispatch.stays(self.requester, Instant::now())) {
            let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
            if look.as_mut().poll(cx).is_pending() {
                return true;
            }
            self.look = None;
        }
        false
    }

    /// Hands the requester over as soon as it is owed nothing. It is read no more: what it sends is for the successor.
    fn poll_hand_over(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if !self.is_owed_nothing() && !self.take_back() {
            return Poll::Pending;
        }
        self.worker.bells.calm.ring();
        let unread = self.intake.unread();
        let Some(parcel) = self.worker.look(|dispatch| dispatch.parcel_of_requester(self.requester, unread.len()))
        else {
            return Poll::Ready(Read::Done);
        };
        let Some(outlet) = self.worker.outlet() else { return Poll::Ready(Read::Again) };
        match ready!(self.berth.poll_send(outlet, cx, &parcel, self.read.as_fd(), unread)) {
            Ok(()) => {
                self.worker.let_go(self.requester);
                Poll::Ready(Read::Done)
            }
            Err(NobodyThere) => {
                self.worker.retire();
                Poll::Ready(Read::Again)
            }
        }
    }

    /// Takes requests back that wait for the store to be opened: the successor will have it. Returns whether the requester
    /// is owed nothing then.
    fn take_back(&mut self) -> bool {
        let Some(mut requests) = self.worker.with(|dispatch| dispatch.take_back_early(self.requester)) else {
            return false;
        };
        requests.extend_from_slice(self.intake.unread());
        self.resume(requests);
        true
    }

    fn is_owed_nothing(&self) -> bool {
        self.worker.look(|dispatch| dispatch.account(self.requester).is_none_or(super::Account::is_settled))
    }

    fn begin_to_linger(&mut self) {
        let patience = if self.ended { Duration::ZERO } else { LINGER };
        self.linger = Some(Box::pin(tokio::time::sleep(patience)));
    }

    /// Reads and drops what a refused requester still sends, until it has read its answer and closes, or for a while.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.worker.poll_shutdown(self.requester, cx));
        let worker = Rc::clone(&self.worker);
        loop {
            if self.linger.as_mut().is_none_or(|linger| linger.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(());
            }
            let polled = worker.with_scratch(|scratch| self.read.poll_read(cx, scratch));
            if !matches!(ready!(polled), Ok(1..)) {
                return Poll::Ready(());
            }
        }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.worker.attend(self.requester, cx);
        self.poll_session(cx)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.worker.leave(self.requester);
    }
}

/// What one complete request wants.
fn one_request(
    dispatch: &mut Dispatch,
    requester: RequesterId,
    dialect: Dialect,
    request: Cow<'_, [u8]>,
    now: Instant,
) -> Flow {
    let wish = dialect.wish(&request);
    if !matches!(wish, Wish::Forward | Wish::ForwardAs(_)) {
        // What is answered here, or sent another way, must not overtake what is held back.
        dispatch.end_run(now);
    }
    match wish {
        Wish::Forward => forward(dispatch, requester, request, now),
        Wish::ForwardAs(request) => {
            let wish = dialect.wish(&request);
            do_wish(dispatch, requester, request.into(), wish, now);
        }
        wish => do_wish(dispatch, requester, request, wish, now),
    }
    let goes_on = dispatch.account(requester).is_some_and(|account| account.standing == Standing::Open);
    if goes_on && dispatch.may_read(requester, now) { Flow::GoOn } else { Flow::Pause }
}

/// A request of which the built-in tables know nothing.
fn forward(dispatch: &mut Dispatch, requester: RequesterId, request: Cow<'_, [u8]>, now: Instant) {
    match dispatch.wish(&request) {
        Wish::Session { command, act } => dispatch.session(requester, command, act, &request, now),
        _ => dispatch.request(requester, request, now),
    }
}

fn do_wish(dispatch: &mut Dispatch, requester: RequesterId, request: Cow<'_, [u8]>, wish: Wish, now: Instant) {
    match wish {
        Wish::Forward | Wish::ForwardAs(_) => forward(dispatch, requester, request, now),
        Wish::Nothing => {}
        Wish::Session { command, act } => dispatch.session(requester, command, act, &request, now),
        Wish::Hello(voice) => dispatch.hello(requester, voice, &request, now),
        Wish::Note(answer) => dispatch.note(requester, &request, answer),
        Wish::Quit => dispatch.close(requester),
        Wish::Malformed(what) => dispatch.refuse(requester, what),
    }
}
