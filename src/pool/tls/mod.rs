//! TLS to a host: a TCP connection → one whose other end has proved that it is the host.
//!
//! Enters: a connected socket and a host's options. Leaves: a [`Stream`] that is TLS, or why there is none. Promised:
//! certificates, CAs and keys are those that are in the files now, or the last ones that were in order; a session is
//! resumed where the host allows it; a host that refuses us after its own part of the handshake is found out here.
//!
//! TLS 1.2 and 1.3, nothing older; the CAs are those of `ca=`, else those that this machine trusts.

mod failure;
pub mod files;

use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{HandshakeKind, ProtocolVersion};
use tracing::debug;

use self::failure::Part;
pub use self::failure::TlsFailure;
use self::files::{Credentials, load};
use super::watched::Watched;
use crate::config::{Address, HostSettings, certified_name};
use crate::system::stream::{Stream, Tls, Transport, transport};

/// How long a host that has asked for a certificate may take to say that it does not like ours, on top of twice the time
/// of the handshake.
const VERDICT: Duration = Duration::from_millis(100);

/// What is known of TLS to one host.
#[derive(Default)]
pub(super) struct TlsRoom {
    credentials: Watched<Credentials>,
}

impl TlsRoom {
    /// Reads what has changed.
    ///
    /// # Errors
    /// What is wrong with the files, if they have never been in order.
    pub(super) fn credentials(&mut self, host: &HostSettings) -> Result<std::rc::Rc<Credentials>, String> {
        self.credentials.get(&files::files(host), || load(host).map_err(|complaint| complaint.in_one_line()))
    }
}

/// The name that the certificate of a host at this address must have.
pub(super) fn server_name(host: &HostSettings, address: &Address) -> Option<ServerName<'static>> {
    let given = host.sni.as_ref().and_then(|name| ServerName::try_from(name.clone()).ok());
    given.or_else(|| certified_name(address))
}

/// Shakes hands over a connected socket.
///
/// # Errors
/// Why that failed.
pub(super) async fn shake_hands(
    credentials: &Credentials,
    name: ServerName<'static>,
    socket: TcpStream,
) -> Result<Stream, TlsFailure> {
    let began = Instant::now();
    let failure = |error: io::Error| {
        let (asked, has_certificate) = (credentials.own.was_asked_for(), credentials.own.has_certificate());
        TlsFailure::of(&error, Part { asked, has_certificate })
    };
    let mut stream = credentials.connector.connect(name, transport(socket)).await.map_err(failure)?;
    let session = stream.get_ref().1;
    debug!("TLS: {:?}, {:?}", session.protocol_version(), session.handshake_kind());
    if may_still_refuse(&stream, credentials) {
        let patience = began.elapsed() * 2 + VERDICT;
        // Who has said nothing by then has no objection, or is slow to say it: the connection then breaks for that reason.
        tokio::time::timeout(patience, verdict(&mut stream)).await.unwrap_or(Ok(())).map_err(failure)?;
    }
    Ok(Stream::Tls(Box::new(Tls::new(stream))))
}

/// In TLS 1.3 our side is done before the host has looked at our certificate, or noticed that there is none.
fn may_still_refuse(stream: &TlsStream<Transport>, credentials: &Credentials) -> bool {
    let session = stream.get_ref().1;
    session.protocol_version() == Some(ProtocolVersion::TLSv1_3)
        && session.handshake_kind() != Some(HandshakeKind::Resumed)
        && credentials.own.was_asked_for()
}

/// Waits until the host has said something: a ticket for the next session means that it is content. Takes no byte of what
/// it says in its own protocol.
async fn verdict(stream: &mut TlsStream<Transport>) -> io::Result<()> {
    std::future::poll_fn(|cx| {
        match Pin::new(&mut *stream).poll_fill_buf(cx) {
            Poll::Ready(Ok([])) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(said) => return Poll::Ready(said.map(drop)),
            Poll::Pending => {}
        }
        if stream.get_ref().1.tls13_tickets_received() > 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
