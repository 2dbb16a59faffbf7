//! Attempts to connect: when the dispatch wants one, one at a time.
//!
//! Enters: what the dispatch wants. Leaves: a task that serves an open connection, or the reason why there is none, to the
//! dispatch and to the log. How a connection is opened is in [`super::open`].

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tracing::{info, warn};

use super::open::Opened;
use super::{Standing, connection};
use crate::child::dispatch::Dispatch;
use crate::child::worker::Worker;

/// Opens connections whenever the dispatch wants one. Never ends.
pub async fn serve(worker: Rc<Worker>) {
    loop {
        wait_until_wanted(&worker).await;
        attempt(&worker).await;
    }
}

async fn attempt(worker: &Rc<Worker>) {
    worker.with(Dispatch::attempt_begins);
    let was = worker.look(|dispatch| dispatch.reach().standing());
    match worker.opener().open().await {
        Ok(opened) => {
            if was != Standing::Up || leads_elsewhere(worker, &opened) {
                info!("connected to {}", place(worker, &opened));
            }
            connection::start(worker, opened);
        }
        Err(error) => {
            worker.with(|dispatch| dispatch.attempt_failed(&error.to_string(), Instant::now()));
            let (standing, next) = worker.look(|dispatch| {
                let next = dispatch.reach().not_before().map(|at| at.saturating_duration_since(Instant::now()));
                (dispatch.reach().standing(), next.unwrap_or_default())
            });
            let consequence = match standing {
                Standing::Up => "the other connections serve on",
                Standing::Dead => "requests are answered as lost until it is back",
                _ => "requests wait",
            };
            warn!("cannot connect to {error}; {consequence}; next attempt in {} ms", next.as_millis());
        }
    }
}

/// Whether a connection leads to an instance of the host's name to which no other does.
fn leads_elsewhere(worker: &Worker, opened: &Opened) -> bool {
    let named = worker.opener().named().zip(opened.instance.as_ref());
    named.is_some_and(|(named, instance)| named.is_new(instance))
}

/// Where a connection leads, for people.
fn place(worker: &Worker, opened: &Opened) -> String {
    let address = worker.look(|dispatch| dispatch.host().address.to_string());
    opened.instance.as_ref().map_or(address.clone(), |instance| format!("{address} at {instance}"))
}

/// Opens connections for sessions whenever a requester waits for one: as many at once as wait. Never ends.
pub async fn serve_sessions(worker: Rc<Worker>) {
    loop {
        std::future::poll_fn(|cx| worker.bells.sessions.poll_rung(cx)).await;
        while let Some(attempt) = worker.with(Dispatch::next_opening) {
            tokio::task::spawn_local(open_for_session(Rc::clone(&worker), attempt));
        }
    }
}

async fn open_for_session(worker: Rc<Worker>, attempt: u64) {
    match worker.opener().open().await {
        Ok(opened) => connection::start_own(&worker, opened, attempt),
        Err(error) => {
            warn!("cannot connect to {error}; the requester that wanted a session is answered so");
            worker.with(|dispatch| dispatch.opening_failed(attempt, &error.to_string(), Instant::now()));
        }
    }
}

/// Waits until an attempt is wanted and allowed.
async fn wait_until_wanted(worker: &Worker) {
    loop {
        let at = worker.look(|dispatch| dispatch.next_attempt(Instant::now()));
        let rung = std::future::poll_fn(|cx| worker.bells.connector.poll_rung(cx));
        match at {
            None => rung.await,
            Some(at) if at <= Instant::now() => return,
            Some(at) => first_of(rung, tokio::time::sleep_until(at.into())).await,
        }
    }
}

/// Waits for the first of two.
async fn first_of(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    let (mut one, mut other) = (pin!(one), pin!(other));
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if one.as_mut().poll(cx).is_ready() || other.as_mut().poll(cx).is_ready() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
