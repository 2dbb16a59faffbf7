//! Restart by HUP, with real processes: nobody notices.
//!
//! How many there are in a row is `TIELINE_HUPS`, else 50.

mod command;
mod crashes;
mod crowd;
mod deferred;
mod faults;
mod hosts;
mod kept;
mod killed;
mod moved;
mod owed;
mod reach;
mod requests;
mod sessions;
mod signals;
mod stage;
mod storm;
mod talks;
mod tcp;
mod trial;

/// How many restarts make a storm.
fn hups() -> u64 {
    number("TIELINE_HUPS", 50)
}

/// A number from the environment.
fn number(variable: &str, otherwise: u64) -> u64 {
    let wanted = std::env::var(variable).ok();
    wanted.map_or(otherwise, |number| number.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
