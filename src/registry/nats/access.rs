//! From settings to a connection that may be used.
//!
//! Enters: [`NatsSettings`], and the files that they name. Leaves: a client, and word when its connection ends; or why there
//! is none. Promised: it is connected to configured servers only, in any order, each tried once; the version of the one
//! that answered is right; no secret is in an error.
//!
//! The client's own reconnecting is not used: what may have been missed meanwhile, and whether the next server is of a right
//! version, is for us to ask. So one connection is one life (see `life`).

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_rustls::rustls;

use super::error::NatsError;
use super::server;
use crate::config::secrets::{OWNER_ALONE, password, private};
use crate::config::{Complaint, NatsCredentials, NatsSettings};
use crate::pool::tls::files::check;

/// Longest time of one attempt at one server.
const CONNECT: Duration = Duration::from_secs(3);

/// How often a silent server is asked whether it is there. The pulse of the bucket finds out sooner.
const PING: Duration = Duration::from_secs(10);

/// How long any request to a server may take.
pub(super) const REQUEST: Duration = Duration::from_secs(3);

/// A connection.
pub(super) struct Connected {
    pub(super) client: Client,
    /// What the server calls itself.
    pub(super) server: String,
    pub(super) version: String,
    /// Why the connection has ended, when it has.
    pub(super) ended: UnboundedReceiver<String>,
}

/// Connects.
///
/// # Errors
/// Why not, for people.
pub(super) async fn connect(settings: &NatsSettings) -> Result<Connected, NatsError> {
    let (tell, ended) = unbounded_channel();
    let options = options(settings).map_err(|complaint| NatsError::File { complaint: complaint.in_one_line() })?;
    let options = options.event_callback(move |event| {
        let why = ending(&event);
        let tell = tell.clone();
        async move {
            // Nobody listens any more when this life is over.
            why.into_iter().for_each(|why| drop(tell.send(why)));
        }
    });
    let client = options.connect(settings.servers.clone()).await.map_err(|error| failure(settings, &error))?;
    let info = client.server_info();
    let name = if info.server_name.is_empty() { info.host } else { info.server_name };
    server::check(&name, &info.version)?;
    if !info.jetstream {
        return Err(NatsError::NoJetStream { server: name });
    }
    Ok(Connected { client, server: name, version: info.version, ended })
}

/// Whether the files that are needed to connect can be used.
///
/// # Errors
/// A complaint that names the file.
pub fn check_files(settings: &NatsSettings) -> Result<(), Complaint> {
    options(settings).map(drop)
}

fn options(settings: &NatsSettings) -> Result<ConnectOptions, Complaint> {
    let options = ConnectOptions::new()
        .name("tieline registry")
        .connection_timeout(CONNECT)
        .request_timeout(Some(REQUEST))
        .ping_interval(PING)
        .max_reconnects(settings.servers.len())
        .reconnect_delay_callback(|_| Duration::ZERO)
        .ignore_discovered_servers();
    with_tls(with_credentials(options, &settings.credentials)?, settings)
}

fn with_credentials(options: ConnectOptions, credentials: &NatsCredentials) -> Result<ConnectOptions, Complaint> {
    Ok(match credentials {
        NatsCredentials::None => options,
        NatsCredentials::User { user, password_file } => options.user_and_password(user.clone(), text(password_file)?),
        NatsCredentials::Token { file } => options.token(text(file)?),
        NatsCredentials::Creds { file } => {
            let creds = String::from_utf8(private(file, OWNER_ALONE)?).map_err(|_| no_creds(file))?;
            // What the parser says may quote the file.
            options.credentials(&creds).map_err(|_| no_creds(file))?
        }
    })
}

fn text(file: &Path) -> Result<String, Complaint> {
    let not_text = |_| Complaint::about(file, "is not UTF-8", "save the file as UTF-8 or ASCII");
    String::from_utf8(password(file)?.0).map_err(not_text)
}

fn no_creds(file: &Path) -> Complaint {
    Complaint::about(file, "is no credentials file", "it has a JWT and a seed, as `nsc generate creds` writes them")
}

fn with_tls(mut options: ConnectOptions, settings: &NatsSettings) -> Result<ConnectOptions, Complaint> {
    let pair = settings.cert.as_deref().zip(settings.key.as_deref());
    check(settings.ca.as_deref(), pair)?;
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone());
    }
    if let Some((cert, key)) = pair {
        options = options.add_client_certificate(cert.to_owned(), key.to_owned());
    }
    Ok(options.require_tls(settings.ca.is_some() || settings.cert.is_some()))
}

/// Why an event ends the connection, if it does.
fn ending(event: &Event) -> Option<String> {
    match event {
        Event::Disconnected | Event::Closed => Some("it was closed".to_owned()),
        Event::LameDuckMode => Some("the server is about to stop".to_owned()),
        Event::ServerError(error) => Some(error.to_string()),
        Event::Connected | Event::Draining | Event::SlowConsumer(_) | Event::ClientError(_) => None,
    }
}

fn failure(settings: &NatsSettings, error: &ConnectError) -> NatsError {
    let servers = settings.servers_for_people();
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            NatsError::Refused { servers, credentials: settings.credentials.for_people() }
        }
        ConnectErrorKind::Tls => NatsError::Tls { servers, reason: reason(error) },
        _ if is_of_tls(error) => NatsError::Tls { servers, reason: reason(error) },
        _ => NatsError::Unreachable { servers, reason: reason(error) },
    }
}

fn is_of_tls(error: &ConnectError) -> bool {
    let io = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    io.and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

/// The innermost words: those around it say "IO error".
fn reason(error: &ConnectError) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
