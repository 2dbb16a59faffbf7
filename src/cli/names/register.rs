//! `tieline register`: keeps a name registered for as long as it runs.
//!
//! Enters: an offer. Leaves: the lease on standard output. Promised: TERM and INT unregister; trouble with the registry is
//! told once, and its end as well, while the lease is kept.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::cli::{complain, exit, print};
use crate::client::{AsyncRegistration, AsyncRegistry, Error, Offer, Options, Registry};

/// How often it is looked whether there is trouble.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(
    options: &Options,
    name: &str,
    address: &str,
    ttl: Duration,
    once: bool,
    pairs: &[(String, String)],
) -> Result<u8, Error> {
    let offer = Offer::new(name, address).ttl(ttl);
    let offer = pairs.iter().fold(offer, |offer, (key, value)| offer.pair(key, value));
    if once {
        let lease = Registry::open(options)?.register_once(&offer)?;
        return Ok(print(&format!("{lease}\n")));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(keep(options, &offer))
}

async fn keep(options: &Options, offer: &Offer) -> Result<u8, Error> {
    // Before the name is registered: else a signal might end this and leave the lease behind.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let registration = AsyncRegistry::open(options)?.register(offer).await?;
    print(&format!("{}\n", registration.lease().unwrap_or_default()));
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        () = tell_trouble(&registration) => {}
    }
    registration.unregister().await;
    Ok(exit::OK)
}

/// Tells when the registry cannot be asked, and when it can again.
async fn tell_trouble(registration: &AsyncRegistration) {
    let mut told = None;
    loop {
        let trouble = registration.trouble().map(|trouble| trouble.to_string());
        if trouble != told {
            complain(trouble.as_deref().unwrap_or("the lease is renewed again"));
            told = trouble;
        }
        sleep(LOOK).await;
    }
}
