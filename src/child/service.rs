//! The control of a child that serves no host: what its parent and its signals want of it.
//!
//! Enters: messages of the control channel, signals, the room's numbers. Leaves: [`Order`]s to the room. Promised: the
//! parent is told that the child is ready, and answered whenever it asks; when the parent is gone, the room is told to
//! retire; when the room has dropped the receiver of its orders, its last numbers are told, and this ends.
//!
//! The room runs [`serve`] as a task of its event loop, and obeys:
//!
//! ```text
//! room                          service::serve                    parent
//!  │                                 │ ── Ready ───────────────────▶ │
//!  │ ◀──────── Order::Hosts ──────── │ ◀─ Hosts ──────────────────── │   the registry alone
//!  │ ─ numbers() ──────────────────▶ │ ◀─ Snapshot, Snapshot ──────▶ │
//!  │ ◀──────── Order::HandOver ───── │ ◀─ HandOver ───────────────── │   a successor is ready
//!  │ ◀──────── Order::Retire ─────── │ ◀─ TERM, or the channel ends  │
//!  │ ─ drops the receiver ─────────▶ │ ── Farewell ────────────────▶ │
//! ```

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, error, info, warn};

use super::signals::{Caught, Signals};
use crate::heritage::{HostRow, ToChild, ToParent};
use crate::logging;
use crate::snapshot::Snapshot;

/// How long the child's end waits for the parent to read its last numbers.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the room is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// To know how the hosts are: these rows, in place of all that were told before.
    Hosts(Vec<HostRow>),
    /// To accept no more, to give up at once what a successor waits for, to end what it owes, and then itself.
    HandOver,
    /// To accept no more, to end what it owes, and then itself. Comes once, perhaps after [`Order::HandOver`].
    Retire(&'static str),
}

struct Control<N> {
    numbers: N,
    to_parent: OwnedWriteHalf,
    orders: UnboundedSender<Order>,
    retiring: bool,
    debug: bool,
}

/// Serves until the receiver of `orders` is dropped. `debug` is the heritage's; of what `numbers` gives, whether the child
/// is retiring and what it logged last are filled in here.
///
/// # Errors
/// When the channel or the signals cannot be watched. The room's receiver then hears nothing more: it has to retire.
pub(crate) async fn serve<N: Fn() -> Snapshot>(
    channel: UnixStream,
    debug: bool,
    numbers: N,
    orders: UnboundedSender<Order>,
) -> io::Result<()> {
    let mut signals = Signals::new()?;
    channel.set_nonblocking(true)?;
    let (from_parent, to_parent) = tokio::net::UnixStream::from_std(channel)?.into_split();
    let mut lines = BufReader::new(from_parent).lines();
    let mut control = Control { numbers, to_parent, orders, retiring: false, debug };
    let mut orphaned = false;
    control.say(&ToParent::Ready).await;
    loop {
        tokio::select! {
            () = control.orders.closed() => break,
            message = next_message(&mut lines), if !orphaned => match message {
                Some(message) => control.told(message).await,
                None => {
                    orphaned = true;
                    control.retire("the parent is gone");
                }
            },
            caught = signals.next() => control.caught(caught),
        }
    }
    if !orphaned {
        control.say_farewell().await;
    }
    Ok(())
}

/// The parent's next message; none when the parent is gone or cannot be understood.
pub(super) async fn next_message(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<ToChild> {
    let line = lines.next_line().await.ok()??;
    match serde_json::from_str(&line) {
        Ok(message) => Some(message),
        Err(error) => {
            error!("a message of the parent cannot be understood: {error}; this is a fault of tieline");
            None
        }
    }
}

impl<N: Fn() -> Snapshot> Control<N> {
    async fn told(&mut self, message: ToChild) {
        match message {
            ToChild::Snapshot { ask } => {
                let snapshot = Box::new(self.snapshot());
                self.say(&ToParent::Snapshot { ask, snapshot }).await;
            }
            ToChild::Hosts(rows) => {
                debug!("told how the hosts are: {}", serde_json::to_string(&rows).unwrap_or_default());
                self.order(Order::Hosts(rows));
            }
            ToChild::HandOver => {
                info!("a successor is ready: handing over");
                self.retiring = true;
                self.order(Order::HandOver);
            }
            ToChild::Debug { on } => self.set_debug(on),
            // These are for hosts; the parent sends them to nobody else.
            ToChild::Probe | ToChild::Spool { .. } => warn!("the parent asks for what only a host has"),
        }
    }

    fn caught(&mut self, caught: Caught) {
        match caught {
            Caught::Retire => self.retire("asked by SIGTERM"),
            Caught::ToggleDebug => self.set_debug(!self.debug),
            Caught::TellLog => info!("status: {}", serde_json::to_string(&self.snapshot()).unwrap_or_default()),
        }
    }

    fn retire(&mut self, why: &'static str) {
        info!("retiring: {why}");
        self.retiring = true;
        self.order(Order::Retire(why));
    }

    fn order(&self, order: Order) {
        // A room that does not listen any more has ended.
        drop(self.orders.send(order));
    }

    fn set_debug(&mut self, on: bool) {
        self.debug = on;
        logging::set_debug(on);
        info!("debug logging is {}", if on { "on" } else { "off" });
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { retiring: self.retiring, last_log: logging::last_line(), ..(self.numbers)() }
    }

    /// The last numbers. A parent that does not read them must not keep the child from its end.
    async fn say_farewell(&mut self) {
        let snapshot = Box::new(self.snapshot());
        if tokio::time::timeout(FAREWELL, self.say(&ToParent::Farewell { snapshot })).await.is_err() {
            warn!("the parent does not read the last numbers");
        }
    }

    async fn say(&mut self, message: &ToParent) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        if let Err(error) = self.to_parent.write_all(&line).await {
            warn!("the parent cannot be told: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// Has a room served whose parent says `words` and then leaves; what the room is ordered, and what the parent heard.
    fn served(words: &[ToChild]) -> (Vec<Order>, Vec<ToParent>) {
        let (mut parent, child) = UnixStream::pair().unwrap();
        for word in words {
            parent.write_all(format!("{}\n", serde_json::to_string(word).unwrap()).as_bytes()).unwrap();
        }
        parent.shutdown(std::net::Shutdown::Write).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let obeyed = runtime.block_on(async {
            let (orders, mut room) = unbounded_channel();
            let numbers = || Snapshot { requesters: 3, ..Snapshot::default() };
            let control = tokio::spawn(serve(child, false, numbers, orders));
            let mut obeyed = Vec::new();
            while !matches!(obeyed.last(), Some(Order::Retire(_))) {
                obeyed.push(room.recv().await.unwrap());
            }
            drop(room);
            control.await.unwrap().unwrap();
            obeyed
        });
        let heard = BufReader::new(parent).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        (obeyed, heard.collect())
    }

    #[test]
    fn the_parent_is_answered_and_when_it_is_gone_the_room_retires() {
        let (obeyed, heard) = served(&[ToChild::Snapshot { ask: 7 }, ToChild::HandOver, ToChild::Snapshot { ask: 8 }]);
        assert_eq!(obeyed, [Order::HandOver, Order::Retire("the parent is gone")]);
        let told = |ask, retiring| {
            let of = |each: &ToParent| matches!(each, ToParent::Snapshot { ask: at, snapshot } if *at == ask && snapshot.requesters == 3 && snapshot.retiring == retiring);
            heard.iter().filter(|each| of(each)).count()
        };
        assert_eq!(heard[0], ToParent::Ready);
        assert_eq!((heard.len(), told(7, false), told(8, true)), (3, 1, 1), "{heard:?}");
    }

    #[test]
    fn the_room_is_told_of_the_hosts_and_what_only_a_host_has_changes_nothing() {
        let (obeyed, heard) = served(&[ToChild::Probe, ToChild::Hosts(Vec::new())]);
        assert_eq!(obeyed, [Order::Hosts(Vec::new()), Order::Retire("the parent is gone")]);
        assert_eq!(heard, [ToParent::Ready], "nobody would read a farewell");
    }
}
