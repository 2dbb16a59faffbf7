//! A tagged request: executed once, and answered the same as often as it comes.
//!
//! Enters: requests with tags. Leaves: what each is to be told. Promised: a handler is given a request only after its
//! beginning is on the disk, and nobody is told the answer before its end is; who comes while it is under way waits for
//! that end; what was begun and has no end is never given to a handler that does not want it again.
//!
//! ```text
//!                  ┌ under way here ─────────────────────────▶ waits for the same answer
//!  request ─ tag? ─┤                ┌ ended ─────────────────▶ the answer of then
//!                  └ claims it ─────┼ begun, without an end ─▶ doubt; or, in_doubt = "again", as if it were new
//!                    in the ledger  └ new ─▶ handler ─▶ end ─▶ the answer
//!                                               └ not begun after all: taken back ─▶ again
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tracing::error;

use super::chosen::Chosen;
use super::clock::at;
use super::far::{Far, Stage};
use super::job::Answer;
use super::ledger::{Known, Ledger, Settled};
use super::once::{Tagged, Told, print};
use super::wire::{Failure, Fate};
use crate::config::serve::InDoubt;

/// Why nothing is begun at the end.
const STOPPING: &str = "this service is stopping";

/// The tagged requests of a far end.
#[derive(Debug)]
pub(super) struct Once {
    /// None when it has been closed.
    ledger: RefCell<Option<Rc<Ledger>>>,
    under_way: RefCell<HashMap<String, UnderWay>>,
    /// Rings when one is not under way any more.
    bell: Notify,
}

/// A request that is under way: its print, and where its answer will come.
type UnderWay = (u32, watch::Receiver<Option<Rc<Told>>>);

/// The turn of one request; nothing is under way any more when this is dropped.
struct Turn<'o> {
    once: &'o Once,
    tag: String,
    tell: watch::Sender<Option<Rc<Told>>>,
}

/// One execution.
struct Execution<'f> {
    far: &'f Rc<Far>,
    ledger: Rc<Ledger>,
    tag: String,
    print: u32,
    /// Whether it is begun for the first time.
    is_new: bool,
}

impl Once {
    /// With the ledger in `dir` of the far end `name`, which forgets after `keep`.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(super) fn open(dir: &Path, name: &str, keep: Duration) -> io::Result<Self> {
        let ledger = RefCell::new(Some(Rc::new(Ledger::open(dir, name, keep)?)));
        Ok(Self { ledger, under_way: RefCell::default(), bell: Notify::new() })
    }

    fn ledger(&self) -> Option<Rc<Ledger>> {
        self.ledger.borrow().clone()
    }

    fn under_way(&self, tag: &str) -> Option<UnderWay> {
        self.under_way.borrow().get(tag).cloned()
    }

    fn begin(&self, tag: &str, print: u32) -> Turn<'_> {
        let (tell, told) = watch::channel(None);
        self.under_way.borrow_mut().insert(tag.to_owned(), (print, told));
        Turn { once: self, tag: tag.to_owned(), tell }
    }

    /// Why nothing can be begun; empty if it can.
    pub(super) fn trouble(&self) -> String {
        self.ledger.borrow().as_ref().map(|ledger| ledger.trouble()).unwrap_or_default()
    }

    /// Waits until nothing is under way.
    pub(super) async fn rests(&self) {
        while !self.under_way.borrow().is_empty() {
            self.bell.notified().await;
        }
    }

    /// Closes the ledger.
    pub(super) async fn close(&self) {
        let ledger = self.ledger.borrow_mut().take();
        if let Some(ledger) = ledger.and_then(|ledger| Rc::try_unwrap(ledger).ok()) {
            ledger.close().await;
        }
    }
}

impl Turn<'_> {
    fn end(self, told: &Rc<Told>) {
        self.tell.send_replace(Some(Rc::clone(told)));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.once.under_way.borrow_mut().remove(&self.tag);
        self.once.bell.notify_one();
    }
}

impl Far {
    /// What a tagged request is told that came at `arrived`.
    pub(super) async fn answer_tagged(self: &Rc<Self>, tagged: Tagged, arrived: Instant) -> Rc<Told> {
        let Some(once) = &self.once else { return Rc::new(self.not_now("nothing is remembered here")) };
        let print = print(&tagged.request);
        if let Some((of, told)) = once.under_way(&tagged.tag) {
            return if of == print { self.wait(told, arrived).await } else { Rc::new(self.anothers(&tagged.tag)) };
        }
        let turn = once.begin(&tagged.tag, print);
        self.under_way.set(self.under_way.get() + 1);
        let told = Rc::new(self.first(once, tagged, print, arrived).await);
        self.under_way.set(self.under_way.get() - 1);
        turn.end(&told);
        told
    }

    /// Waits for the end of what is under way.
    async fn wait(&self, mut told: watch::Receiver<Option<Rc<Told>>>, arrived: Instant) -> Rc<Told> {
        let told = told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        match told {
            Some(told) => {
                self.tally.borrow_mut().replied(arrived.elapsed());
                told
            }
            None => Rc::new(self.not_now("what was under way has been dropped; this is a fault of tieline")),
        }
    }

    /// The answer to a request of which nothing is under way.
    async fn first(self: &Rc<Self>, once: &Once, tagged: Tagged, print: u32, arrived: Instant) -> Told {
        let Some(ledger) = once.ledger().filter(|_| self.stage() == Stage::Serving) else {
            return self.not_now(STOPPING);
        };
        let Tagged { tag, request } = tagged;
        let chosen = self.chosen(&request);
        let patience = chosen.as_ref().map_or(self.patience(), |chosen| chosen.desk.handler.limits.timeout);
        let deadline = arrived + patience;
        let known = match ledger.claim(&tag, print, chosen.is_ok(), self.over(deadline)).await {
            Ok(known) => known,
            Err(_) if self.stage() != Stage::Serving => return self.not_now(STOPPING),
            Err(why) => return self.not_now(&why),
        };
        let wants_again = chosen.as_ref().is_ok_and(|chosen| chosen.desk.handler.in_doubt == InDoubt::Again);
        let is_new = known == Known::New;
        match (known, chosen) {
            (Known::Begun { print: of, .. } | Known::Ended { print: of, .. }, _) if of != print => self.anothers(&tag),
            (Known::Ended { reply, .. }, _) => {
                self.tally.borrow_mut().replied(arrived.elapsed());
                Told::Reply(reply)
            }
            (Known::Damaged, _) => {
                error!("what the transaction {tag} was answered is damaged in the ledger; it is not executed again");
                self.in_doubt("it was executed, and what it was answered is damaged in the ledger")
            }
            (Known::Begun { at, .. }, _) if !wants_again => self.in_doubt(&was_begun(at)),
            (_, Err(failure)) => Told::Reply(self.refusal(&failure)),
            (Known::New | Known::Begun { .. }, Ok(chosen)) => {
                let execution = Execution { far: self, ledger, tag, print, is_new };
                execution.carry_out(chosen, request, arrived, deadline).await
            }
        }
    }

    /// Ends when a request is not to be begun any more.
    async fn over(&self, deadline: Instant) {
        tokio::select! {
            () = at(Some(deadline)) => {}
            () = self.reached(Stage::Retiring) => {}
        }
    }

    fn not_now(&self, why: &str) -> Told {
        self.count_failed();
        Told::Again(why.to_owned())
    }

    fn in_doubt(&self, why: &str) -> Told {
        self.count_failed();
        Told::Doubt(why.to_owned())
    }

    fn anothers(&self, tag: &str) -> Told {
        self.in_doubt(&format!("the tag {tag} is that of another request"))
    }

    fn count_failed(&self) {
        self.tally.borrow_mut().failed(crate::dialect::Failure::Failed);
    }
}

/// What is known of what was begun then.
fn was_begun(at: i64) -> String {
    let time = Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| time.to_string());
    format!("it was begun at {time}, and the far end, or its handler, was killed before its end")
}

impl Execution<'_> {
    async fn carry_out(self, chosen: Chosen, request: Vec<u8>, arrived: Instant, deadline: Instant) -> Told {
        let in_doubt = chosen.desk.handler.in_doubt;
        let answer: Answer = match Instant::now() < deadline {
            true => self.far.carry_out(chosen, request, Some(self.tag.clone()), deadline).await,
            false => Err(Failure::Busy("its time was over before it could be begun".to_owned())),
        };
        let failure = answer.as_ref().err().map(|failure| (failure.fate(), failure.to_string()));
        let frame = self.far.worded(answer, arrived);
        match failure {
            None | Some((Fate::Ended, _)) => self.end(frame).await,
            Some((Fate::NotBegun, why)) => {
                self.take_back().await;
                Told::Again(why)
            }
            Some((Fate::Never, _)) => {
                self.take_back().await;
                Told::Reply(frame)
            }
            Some((Fate::InDoubt, why)) => {
                let why = format!("it was begun, and its end is not known: {why}");
                if in_doubt == InDoubt::Again { Told::Again(why) } else { Told::Doubt(why) }
            }
        }
    }

    /// Writes the end down, and only then gives the answer.
    async fn end(&self, reply: Vec<u8>) -> Told {
        let settled = Settled::Ended { print: self.print, reply: reply.clone() };
        match self.ledger.settle(&self.tag, settled).await {
            Ok(()) => Told::Reply(reply),
            Err(why) => Told::Again(format!("it was executed, and that could not be written down yet: {why}")),
        }
    }

    /// It was not begun after all. What was begun earlier, and is in doubt since then, stays so.
    async fn take_back(&self) {
        if self.is_new {
            // What could not be written now will be, before its tag is asked for again.
            self.ledger.settle(&self.tag, Settled::Never).await.ok();
        }
    }
}
