//! `tieline demo`: see it work, on any machine, alone.
//!
//! Leaves: a story on standard output, whose figures were measured while it was told; exit code 0 if all of it came
//! true, 70 if something did not, 74 if this machine refused something, 128 + N after signal N. Promised: it needs no
//! other program and no configuration; every step has a bound; whatever happens but SIGKILL, no process and no file of
//! it is left.
//!
//! - [`story`] — the acts, in order
//! - [`echo`] — a small host, a far end of its own; [`clerk`] — who takes orders there; [`host`] — that process from outside
//! - [`daemon`] — `tieline run` and the commands, as a user would run them; [`home`] — the directory they use
//! - [`crowd`] — a hundred requesters; [`figures`] — what they heard; [`orders`] — writes that must not be lost
//! - [`stage`] — how it is told; [`trouble`] — why it ended early; [`process`] — nothing started is left

pub(super) mod clerk;
mod crowd;
mod daemon;
pub(super) mod echo;
mod figures;
mod home;
mod host;
mod orders;
mod process;
mod stage;
mod story;
mod trouble;

use std::io::{self, Write};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use self::home::Home;
use self::stage::Stage;
use self::trouble::Trouble;
use super::{complain, exit};

pub(super) fn run() -> u8 {
    let home = match Home::make() {
        Ok(home) => home,
        Err(trouble) => return report(&trouble, ""),
    };
    match perform(&home) {
        Ok(()) => exit::OK,
        Err(trouble) => report(&trouble, &home.end_of_log()),
    }
}

/// Says what went wrong, with the daemon's log if that may tell more.
fn report(trouble: &Trouble, log: &str) -> u8 {
    match trouble {
        Trouble::Unread => {}
        Trouble::Interrupted { .. } => complain(&format!("the demo was {trouble}; nothing is left behind")),
        _ => {
            complain(&format!("the demo failed: {trouble}"));
            if !log.is_empty() {
                writeln!(io::stderr(), "The daemon's log:\n{log}").ok();
            }
        }
    }
    trouble.exit_code()
}

/// Tells the story, unless a signal comes. Whoever was started for it has ended when this returns.
fn perform(home: &Home) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Trouble::system("start an event loop"))?;
    let mut stage = Stage::new();
    let told = LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            told = story::tell(&mut stage, home) => told,
            trouble = interruption() => Err(trouble),
        }
    });
    // A command that was under way ends with its daemon; there is nothing to wait for.
    runtime.shutdown_background();
    told
}

/// Waits for a signal that asks the demo to end.
async fn interruption() -> Trouble {
    let catch = |kind| signal(kind).map_err(Trouble::system("catch signals"));
    let kinds = (SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup(), SignalKind::quit());
    let signals = (catch(kinds.0), catch(kinds.1), catch(kinds.2), catch(kinds.3));
    let (mut int, mut term, mut hup, mut quit) = match signals {
        (Ok(int), Ok(term), Ok(hup), Ok(quit)) => (int, term, hup, quit),
        (Err(trouble), ..) | (_, Err(trouble), ..) | (_, _, Err(trouble), _) | (.., Err(trouble)) => return trouble,
    };
    let (name, number) = tokio::select! {
        _ = int.recv() => ("INT", 2),
        _ = term.recv() => ("TERM", 15),
        _ = hup.recv() => ("HUP", 1),
        _ = quit.recv() => ("QUIT", 3),
    };
    Trouble::Interrupted { name, number }
}
