//! What a far end is told to do: by its parent, or by signals where it has none.
//!
//! Enters: orders, or signals. Leaves: the stage of the [`Far`]. Promised: whoever tells it to go once has what is owed
//! answered; a person who tells it twice has it go at once.

use std::future::pending;
use std::io;
use std::rc::Rc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{info, warn};

use super::far::{Far, Stage};
use crate::child::service::Order;
use crate::logging;

/// Obeys the parent, for ever. That there is nobody to be obeyed any more is an order, too.
pub(super) async fn obey(far: &Far, orders: &mut UnboundedReceiver<Order>) {
    while let Some(order) = orders.recv().await {
        match order {
            // They are for the registry.
            Order::Hosts(_) => {}
            Order::HandOver => far.succeed(),
            Order::Retire(_) => far.enter(Stage::Retiring),
        }
    }
    far.enter(Stage::Retiring);
    pending::<()>().await;
}

/// Obeys signals, as long as it is asked to.
pub(super) async fn listen(far: Rc<Far>) -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (mut usr1, mut hup) = (signal(SignalKind::user_defined1())?, signal(SignalKind::hangup())?);
    let (mut usr2, mut detail) = (signal(SignalKind::user_defined2())?, false);
    loop {
        tokio::select! {
            _ = term.recv() => go(&far, "asked by SIGTERM"),
            _ = int.recv() => go(&far, "asked by SIGINT"),
            _ = usr1.recv() => tell(&far),
            _ = hup.recv() => tell(&far),
            _ = usr2.recv() => {
                detail = !detail;
                logging::set_debug(detail);
                info!("debug logging is {}", if detail { "on" } else { "off" });
            }
        }
    }
}

fn tell(far: &Far) {
    info!("status: {}", serde_json::to_string(&far.snapshot()).unwrap_or_default());
}

fn go(far: &Far, why: &str) {
    if far.stage() == Stage::Serving {
        info!("retiring: {why}");
        far.enter(Stage::Retiring);
    } else {
        warn!("{why} again: what still runs is ended");
        far.enter(Stage::Halted);
    }
}
