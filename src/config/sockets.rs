//! Sockets that would be at one place: the one made last would take the name, or the address would be refused. Pure.
//!
//! Enters: [`Settings`]. Leaves: complaints about what `[serve.NAME]` has in common with a host or with the daemon itself;
//! what two hosts or two of these tables have in common is seen where they are read.

use std::path::Path;

use super::complaint::Complaint;
use super::serve::Listen;
use super::settings::Settings;

/// What is listened on twice.
pub(super) fn twice(settings: &Settings) -> Vec<Complaint> {
    let taken = taken(settings);
    let both = settings.serves.iter().filter_map(|serve| {
        let (_, other) = taken.iter().find(|(place, _)| *place == serve.listen)?;
        Some(complaint(&settings.file, &serve.name, &serve.listen, other))
    });
    both.collect()
}

fn complaint(file: &Path, name: &str, listen: &Listen, other: &str) -> Complaint {
    let what = format!("[serve.{name}] would listen on {listen}, which is {other}");
    Complaint::about(file, what, "give it a `listen` of its own")
}

/// What the daemon and its hosts listen on, and what it is.
fn taken(settings: &Settings) -> Vec<(Listen, String)> {
    let daemon = &settings.daemon;
    let mut taken = vec![
        (Listen::Unix(daemon.control_socket()), "the control socket".to_owned()),
        (Listen::Unix(daemon.registry_socket()), "the socket of the registry".to_owned()),
    ];
    for host in &settings.hosts {
        let of_host = |listen| (listen, format!("a socket of the host {}", host.name));
        taken.push(of_host(Listen::Unix(daemon.host_socket(&host.name))));
        taken.extend(host.deferred.then(|| of_host(Listen::Unix(daemon.deferred_socket(&host.name)))));
        taken.extend(host.listen.map(|address| of_host(Listen::Tcp(address))));
    }
    taken
}
