//! The child's control: what its parent and its signals want of it.
//!
//! Enters: messages of the control channel, signals, reports of the workers. Leaves: orders to the workers, messages to
//! the parent. Promised: when the parent is gone, the child retires; the last thing it says are the numbers of all workers.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::report::{Report, Told};
use super::serve::Order;
use super::service::next_message;
use super::signals::{Caught, Signals};
use super::tally::Tally;
use super::worker::Stage;
use crate::config::{HostSettings, Start};
use crate::heritage::{ToChild, ToParent};
use crate::logging;
use crate::pool::Standing;
use crate::snapshot::{Connections, Reach, Sessions, Snapshot};
use crate::spool::keeper::{Done, Tool};
use crate::spool::tools;

/// How often a child that was started on demand looks whether anybody still needs it.
const LOOK: Duration = Duration::from_secs(1);

/// How long the child's end waits for the parent to read its last numbers.
const FAREWELL: Duration = Duration::from_secs(1);

struct Control {
    host: HostSettings,
    orders: Vec<UnboundedSender<Order>>,
    to_parent: OwnedWriteHalf,
    standings: Vec<(Standing, String)>,
    /// The last numbers of the workers that have ended.
    ended: Vec<Option<Box<Told>>>,
    said_up: Option<bool>,
    stage: Stage,
    idle_looks: u32,
    debug: bool,
    /// Where answers of the store about an operator's commands arrive.
    told: UnboundedSender<(u64, tools::Answer)>,
}

/// What happened.
enum Event {
    Parent(Option<ToChild>),
    Told(u64, tools::Answer),
    Report(Report),
    Caught(Caught),
    Look,
}

/// Serves until every worker has ended. Workers that hand over or retire are still asked for their numbers.
pub(super) async fn serve(
    host: HostSettings,
    debug: bool,
    channel: UnixStream,
    orders: Vec<UnboundedSender<Order>>,
    reports: UnboundedReceiver<Report>,
) {
    if let Err(error) = try_serve(host, debug, channel, orders, reports).await {
        // The senders of orders are dropped here, and workers that nobody can order about retire.
        error!("the control channel cannot be served: {error}; retiring");
    }
}

async fn try_serve(
    host: HostSettings,
    debug: bool,
    channel: UnixStream,
    orders: Vec<UnboundedSender<Order>>,
    mut reports: UnboundedReceiver<Report>,
) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let (from_parent, to_parent) = tokio::net::UnixStream::from_std(channel)?.into_split();
    let mut lines = BufReader::new(from_parent).lines();
    let standings = vec![(Standing::Untried, String::new()); orders.len()];
    let demand = host.start == Start::Demand;
    let (told, mut answers) = unbounded_channel();
    let ended = orders.iter().map(|_| None).collect();
    let (said_up, stage, idle_looks) = (None, Stage::Serving, 0);
    let mut control = Control { host, orders, to_parent, standings, ended, said_up, stage, idle_looks, debug, told };
    let mut orphaned = false;
    control.say(&ToParent::Ready).await;
    while control.ended.iter().any(Option::is_none) {
        let event = tokio::select! {
            message = next_message(&mut lines), if !orphaned => Event::Parent(message),
            Some(report) = reports.recv() => Event::Report(report),
            Some((ask, answer)) = answers.recv() => Event::Told(ask, answer),
            caught = signals.next() => Event::Caught(caught),
            () = tokio::time::sleep(LOOK), if demand => Event::Look,
        };
        orphaned |= matches!(event, Event::Parent(None));
        control.on(event).await;
    }
    if !orphaned {
        control.say_farewell().await;
    }
    Ok(())
}

impl Control {
    async fn on(&mut self, event: Event) {
        match event {
            Event::Parent(Some(ToChild::Snapshot { ask })) => {
                let snapshot = Box::new(self.snapshot().await);
                self.say(&ToParent::Snapshot { ask, snapshot }).await;
            }
            Event::Parent(Some(ToChild::Probe)) => self.order(|| Order::Probe),
            Event::Parent(Some(ToChild::Spool { ask, command })) => self.spool(ask, command),
            Event::Told(ask, answer) => {
                let answer = serde_json::to_value(answer).unwrap_or_default();
                self.say(&ToParent::Spool { ask, answer }).await;
            }
            Event::Parent(Some(ToChild::HandOver)) => self.hand_over(),
            Event::Parent(Some(ToChild::Debug { on })) => self.set_debug(on),
            Event::Parent(Some(ToChild::Hosts(_))) => warn!("the parent tells what only the registry wants to know"),
            // What the successor still takes goes on being handed over; the workers see for themselves when it is gone.
            Event::Parent(None) if self.stage == Stage::HandingOver => {}
            Event::Parent(None) => self.retire("the parent is gone"),
            Event::Report(report) => self.reported(report).await,
            Event::Caught(Caught::Retire) => self.retire("asked by SIGTERM"),
            Event::Caught(Caught::ToggleDebug) => self.set_debug(!self.debug),
            Event::Caught(Caught::TellLog) => {
                let snapshot = self.snapshot().await;
                info!("status: {}", serde_json::to_string(&snapshot).unwrap_or_default());
            }
            Event::Look => self.look_for_work().await,
        }
    }

    /// Has the store's worker do what an operator asks. The answer comes when the disk allows; nothing waits for it here.
    fn spool(&self, ask: u64, command: serde_json::Value) {
        let told = self.told.clone();
        let failed = |text: String| tools::Answer::Error { text, fault: tools::Blame::Request };
        let command: tools::Command = match serde_json::from_value(command) {
            Ok(command) => command,
            Err(error) => return drop(told.send((ask, failed(format!("not a command: {error}"))))),
        };
        if command == tools::Command::Retry {
            self.order(|| Order::RetrySpool);
        }
        let (answer, result) = oneshot::channel();
        // The first worker has the store.
        if let Some(worker) = self.orders.first() {
            drop(worker.send(Order::Tool(Tool::Command(command), answer)));
        }
        tokio::task::spawn_local(async move {
            let answer = match result.await {
                Ok(Ok(Done::Told(answer))) => answer,
                Ok(Ok(_)) => failed("the store answers something else".to_owned()),
                Ok(Err(text)) => tools::Answer::Error { text, fault: tools::Blame::Disk },
                Err(_) => failed("the spool was closed meanwhile".to_owned()),
            };
            drop(told.send((ask, answer)));
        });
    }

    fn set_debug(&mut self, on: bool) {
        self.debug = on;
        logging::set_debug(on);
        info!("debug logging is {}", if on { "on" } else { "off" });
    }

    fn hand_over(&mut self) {
        if self.stage == Stage::Serving {
            self.stage = Stage::HandingOver;
            info!("a successor is ready: handing over");
            self.order(|| Order::HandOver);
        }
    }

    fn retire(&mut self, why: &'static str) {
        if self.stage != Stage::Retiring {
            self.stage = Stage::Retiring;
            info!("retiring: {why}");
            self.order(|| Order::Retire);
        }
    }

    /// The last numbers. A parent that does not read them must not keep the child from its end.
    async fn say_farewell(&mut self) {
        let snapshot = Box::new(self.snapshot().await);
        let said = tokio::time::timeout(FAREWELL, self.say(&ToParent::Farewell { snapshot })).await;
        if said.is_err() {
            warn!("the parent does not read the last numbers");
        }
    }

    /// A child that was started on demand goes when nobody has needed it for two looks.
    async fn look_for_work(&mut self) {
        if self.stage != Stage::Serving {
            return;
        }
        let snapshot = self.snapshot().await;
        let Connections { busy, idle, .. } = snapshot.connections;
        let needed = snapshot.requesters > 0 || busy + idle > 0 || snapshot.spool.depth > 0;
        self.idle_looks = if needed { 0 } else { self.idle_looks + 1 };
        if self.idle_looks >= 2 {
            self.retire("nobody needs this host now (start=demand)");
        }
    }

    fn order(&self, order: impl Fn() -> Order) {
        for worker in &self.orders {
            // A worker that is gone has retired.
            drop(worker.send(order()));
        }
    }

    async fn reported(&mut self, report: Report) {
        match report {
            Report::Ended(told) => {
                if let Some(ended) = self.ended.get_mut(told.worker) {
                    *ended = Some(told);
                }
                return;
            }
            Report::Backlog(waiting) => return self.say(&ToParent::Backlog { waiting }).await,
            Report::Reach { worker, standing, reason } => {
                if let Some(known) = self.standings.get_mut(worker) {
                    *known = (standing, reason);
                }
            }
        }
        let (reach, reason) = self.reach();
        let up = reach == Reach::Up;
        if self.said_up != Some(up) {
            self.said_up = Some(up);
            self.say(&ToParent::Reach { up, reason }).await;
        }
    }

    /// The host is up if it is up for any worker.
    fn reach(&self) -> (Reach, String) {
        let of = |wanted: &[Standing]| self.standings.iter().find(|(standing, _)| wanted.contains(standing));
        if let Some((_, reason)) = of(&[Standing::Up]) {
            (Reach::Up, reason.clone())
        } else if let Some((_, reason)) = of(&[Standing::Failing, Standing::Dead]) {
            (Reach::Down, reason.clone())
        } else {
            (Reach::Idle, String::new())
        }
    }

    async fn snapshot(&mut self) -> Snapshot {
        let mut tally = Tally::default();
        let max = u64::from(self.host.connections);
        let mut snapshot = Snapshot {
            connections: Connections { max, ..Connections::default() },
            sessions: Sessions { open: 0, max: u64::from(self.host.sessions) },
            retiring: self.stage != Stage::Serving,
            last_log: logging::last_line(),
            ..Snapshot::default()
        };
        for (index, (worker, ended)) in self.orders.iter().zip(&self.ended).enumerate() {
            let Some(told) = ask(worker, ended.as_deref()).await else { continue };
            tally.add(&told.tally);
            add(&mut snapshot, &told);
            if let Some(spool) = told.spool {
                snapshot.spool = spool;
            }
            if let Some(standing) = self.standings.get_mut(index) {
                *standing = (told.standing, told.reason);
            }
        }
        (snapshot.reach, snapshot.reason) = self.reach();
        snapshot.outcomes = tally.outcomes();
        snapshot.latency_us = tally.latency();
        snapshot
    }

    async fn say(&mut self, message: &ToParent) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        if let Err(error) = self.to_parent.write_all(&line).await {
            warn!("the parent cannot be told: {error}");
        }
    }
}

/// A worker's numbers, or its last ones.
async fn ask(worker: &UnboundedSender<Order>, ended: Option<&Told>) -> Option<Told> {
    if let Some(ended) = ended {
        return Some(ended.clone());
    }
    let (answer, told) = oneshot::channel();
    worker.send(Order::Tell(answer)).ok()?;
    told.await.ok()
}

fn add(snapshot: &mut Snapshot, told: &Told) {
    snapshot.connections.busy += told.numbers.busy;
    snapshot.connections.idle += told.numbers.idle;
    snapshot.sessions.open += told.numbers.sessions;
    snapshot.requesters += told.numbers.requesters;
    snapshot.attempts += told.attempts;
    snapshot.queued += told.numbers.queued;
    snapshot.in_flight += told.numbers.in_flight;
    let next = told.next_attempt.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
    snapshot.next_probe_ms = [snapshot.next_probe_ms, next].into_iter().flatten().min();
}
