//! Writes that must not be lost: a requester of the deferred socket, and what became of its orders.
//!
//! Enters: the socket, the daemon. Leaves: the answers; and the proof that the host has each order once, as they came.

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::daemon::Daemon;
use super::trouble::Trouble;

/// How long an answer, or the replay, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is ordered while the host is dead.
pub(super) const ORDERS: [&str; 5] = ["one tea", "two coffees", "three cakes", "four rolls", "the bill"];

/// Writes the orders, one after the other; what is answered to each.
pub(super) async fn write(socket: &Path) -> Result<Vec<String>, Trouble> {
    let stream = UnixStream::connect(socket).await.map_err(Trouble::system("connect to the deferred socket"))?;
    let (mut stream, mut answers) = (BufReader::new(stream), Vec::new());
    for order in ORDERS {
        let asked = timeout(PATIENCE, ask(&mut stream, order)).await;
        let late = |_| Trouble::Late { what: "an answer to an order".to_owned(), bound: PATIENCE };
        answers.push(asked.map_err(late)?.map_err(Trouble::system("talk to the deferred socket"))?);
    }
    Ok(answers)
}

async fn ask(stream: &mut BufReader<UnixStream>, order: &str) -> std::io::Result<String> {
    stream.write_all(format!("order {order}\n").as_bytes()).await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}

/// Each must be stored, under the IDs from 1 on.
pub(super) fn all_are_stored(answers: &[String]) -> Result<(), Trouble> {
    let is_stored = answers.iter().zip(1..).all(|(answer, id)| *answer == format!("con_delayed:{id}"));
    Trouble::unless(is_stored && answers.len() == ORDERS.len(), || {
        format!("orders for a dead host must be stored, and their answers were {answers:?}")
    })
}

/// How many wait in the spool.
pub(super) async fn waiting(daemon: &Daemon) -> Result<u64, Trouble> {
    let host = daemon.host().await?.ok_or_else(|| Trouble::Untrue("the status has no host".to_owned()))?;
    Ok(host.spool.depth)
}

/// Waits until the spool is empty.
pub(super) async fn replayed(daemon: &Daemon) -> Result<(), Trouble> {
    let start = Instant::now();
    while waiting(daemon).await? > 0 {
        if start.elapsed() >= PATIENCE {
            return Err(Trouble::Late { what: "the stored orders are replayed".to_owned(), bound: PATIENCE });
        }
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
