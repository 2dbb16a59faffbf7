//! The control of a far end: what its parent, its signals and the end of its listener want of it.
//!
//! Enters: messages of the control channel, if there is a parent, and signals. Leaves: the stage of the [`Far`], messages
//! to the parent. Promised: when the parent is gone, or asks by TERM, what is owed is answered and nothing else begun; a
//! second TERM ends it at once.

use std::io;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::far::{Far, Stage};
use crate::heritage::{ToChild, ToParent};
use crate::logging;

/// How long the end waits for the parent to read the last numbers.
const FAREWELL: Duration = Duration::from_secs(1);

/// See the head of this file.
pub(super) struct Control {
    far: Rc<Far>,
    channel: Option<Channel>,
    signals: Signals,
    debug: bool,
}

struct Channel {
    lines: Lines<BufReader<OwnedReadHalf>>,
    to_parent: OwnedWriteHalf,
}

enum Event {
    Parent(Option<ToChild>),
    Retire(&'static str),
    ToggleDebug,
    TellLog,
}

struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
}

impl Control {
    /// With a parent at the other end of `channel`, or without one. `debug`: whether debug logging is on.
    pub(super) fn new(far: &Rc<Far>, channel: Option<UnixStream>, debug: bool) -> io::Result<Self> {
        let channel = channel.map(Channel::adopt).transpose()?;
        Ok(Self { far: Rc::clone(far), channel, signals: Signals::new()?, debug })
    }

    /// Says that requesters are accepted.
    pub(super) async fn ready(&mut self) {
        self.say(&ToParent::Ready).await;
        self.say(&ToParent::Reach { up: true, reason: String::new() }).await;
    }

    /// Serves for ever: to be dropped when the end has come.
    pub(super) async fn serve(&mut self) {
        loop {
            let has_parent = self.channel.is_some();
            let event = tokio::select! {
                message = next(&mut self.channel) => Event::Parent(message),
                event = self.signals.next(has_parent) => event,
            };
            self.on(event).await;
        }
    }

    async fn on(&mut self, event: Event) {
        match event {
            Event::Parent(Some(ToChild::Snapshot { ask })) => {
                let snapshot = Box::new(self.far.snapshot());
                self.say(&ToParent::Snapshot { ask, snapshot }).await;
            }
            Event::Parent(Some(ToChild::HandOver)) => self.retire("a successor is ready"),
            Event::Parent(Some(ToChild::Debug { on })) => self.set_debug(on),
            // There is no host to be reached here, and no spool.
            Event::Parent(Some(_)) => {}
            Event::Parent(None) => {
                self.channel = None;
                self.retire("the parent is gone");
            }
            Event::Retire(why) => self.asked(why),
            Event::ToggleDebug => self.set_debug(!self.debug),
            Event::TellLog => info!("status: {}", serde_json::to_string(&self.far.snapshot()).unwrap_or_default()),
        }
    }

    /// By a signal: the second one means at once.
    fn asked(&mut self, why: &'static str) {
        match self.far.stage() {
            Stage::Serving => self.retire(why),
            Stage::Retiring if self.channel.is_none() => {
                warn!("{why} again: what still runs is ended");
                self.far.enter(Stage::Halted);
            }
            Stage::Retiring | Stage::Halted => {}
        }
    }

    fn retire(&mut self, why: &'static str) {
        if self.far.stage() == Stage::Serving {
            info!("retiring: {why}");
            self.far.enter(Stage::Retiring);
        }
    }

    fn set_debug(&mut self, on: bool) {
        self.debug = on;
        logging::set_debug(on);
        info!("debug logging is {}", if on { "on" } else { "off" });
    }

    /// The last numbers. A parent that does not read them must not keep the child from its end.
    pub(super) async fn say_farewell(&mut self) {
        let snapshot = Box::new(self.far.snapshot());
        if tokio::time::timeout(FAREWELL, self.say(&ToParent::Farewell { snapshot })).await.is_err() {
            warn!("the parent does not read the last numbers");
        }
    }

    async fn say(&mut self, message: &ToParent) {
        let (Some(channel), Ok(mut line)) = (&mut self.channel, serde_json::to_vec(message)) else { return };
        line.push(b'\n');
        if let Err(error) = channel.to_parent.write_all(&line).await {
            warn!("the parent cannot be told: {error}");
        }
    }
}

impl Channel {
    fn adopt(channel: UnixStream) -> io::Result<Self> {
        channel.set_nonblocking(true)?;
        let (from_parent, to_parent) = tokio::net::UnixStream::from_std(channel)?.into_split();
        Ok(Self { lines: BufReader::new(from_parent).lines(), to_parent })
    }
}

/// The parent's next message; `None` when it is gone or cannot be understood. Without a parent there is none, ever.
async fn next(channel: &mut Option<Channel>) -> Option<ToChild> {
    let Some(channel) = channel else { return std::future::pending().await };
    let line = channel.lines.next_line().await.ok()??;
    match serde_json::from_str(&line) {
        Ok(message) => Some(message),
        Err(error) => {
            error!("a message of the parent cannot be understood: {error}; this is a fault of tieline");
            None
        }
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
        })
    }

    /// A terminal's Ctrl-C is for whoever runs alone; QUIT ends the process at once.
    async fn next(&mut self, has_parent: bool) -> Event {
        tokio::select! {
            _ = self.term.recv() => Event::Retire("asked by SIGTERM"),
            _ = self.int.recv() => if has_parent { Event::ToggleDebug } else { Event::Retire("asked by SIGINT") },
            _ = self.usr2.recv() => Event::ToggleDebug,
            _ = self.hup.recv() => Event::TellLog,
            _ = self.usr1.recv() => Event::TellLog,
        }
    }
}
