//! Why a handshake failed, and what to check. Pure.
//!
//! Enters: an error of rustls. Leaves: a [`TlsFailure`], one line for people.

use std::error::Error as _;
use std::io;

use jiff::Timestamp;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// Why a handshake failed. Trying again helps only if something is changed, here or at the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The host's certificate is too old.
    #[error("the host's certificate expired {since}; renew it there, or is the clock of this machine wrong?")]
    Expired {
        /// When.
        since: String,
    },
    /// The host's certificate is not valid yet.
    #[error("the host's certificate is valid only from {from} on; is the clock of this machine wrong?")]
    NotYet {
        /// When it will be.
        from: String,
    },
    /// The host's certificate is for another host.
    #[error(
        "the host's certificate is for {}, not for {wanted}; is the address right? else name it with sni=",
        list(names)
    )]
    WrongName {
        /// The name in the address or in `sni=`.
        wanted: String,
        /// The names in the certificate; some have none.
        names: Vec<String>,
    },
    /// Nobody who is trusted has signed the host's certificate.
    #[error("the host's certificate is signed by no CA that is trusted here; name the file of its CA with ca=")]
    UnknownIssuer,
    /// The host shows a CA's own certificate.
    #[error("the host shows the certificate of a CA (CA:TRUE) as its own; give it one that this CA has signed")]
    CaItself,
    /// Something else is wrong with the host's certificate.
    #[error("the host's certificate is no good: {what}")]
    Certificate {
        /// As rustls says it.
        what: String,
    },
    /// What came is not TLS.
    #[error("the host does not speak TLS; remove `tls`, or use its port for TLS")]
    NotTls,
    /// The host hung up.
    #[error("the host closed the connection in the handshake; does it speak TLS? if not, remove `tls`")]
    Closed,
    /// The host wants to know who we are.
    #[error("the host wants a client certificate; name one with cert= and key=")]
    NoCertificate,
    /// The host does not like who we are.
    #[error(
        "the host refused our client certificate ({alert:?}); is it the right one, not expired, and its CA known there?"
    )]
    Refused {
        /// The alert that it sent.
        alert: AlertDescription,
    },
    /// The host does not know the name it is called by.
    #[error("the host does not serve the name it was called by; name another with sni=")]
    UnknownName,
    /// The host is too old, or too strict.
    #[error("the host speaks no TLS that is spoken here (1.2 with ECDHE, or 1.3): {what}")]
    NothingInCommon {
        /// What is missing.
        what: String,
    },
    /// Anything else.
    #[error("{what}")]
    Other {
        /// As rustls or the system says it.
        what: String,
    },
}

/// What was our part in the handshake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    /// Whether the host has asked for a certificate of ours.
    pub(crate) asked: bool,
    /// Whether we have one.
    pub(crate) has_certificate: bool,
}

impl TlsFailure {
    /// What an I/O error of the handshake means.
    pub(crate) fn of(error: &io::Error, part: Part) -> Self {
        match (error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()), error.kind()) {
            (Some(error), _) => Self::of_tls(error, part),
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                if part.asked && !part.has_certificate { Self::NoCertificate } else { Self::Closed }
            }
            (None, _) => Self::Other { what: error.to_string() },
        }
    }

    /// What an error of an open connection means, if it is one of TLS.
    #[must_use]
    pub fn of_connection(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        Some(Self::of_tls(error, Part { asked: false, has_certificate: true }))
    }

    fn of_tls(error: &Error, part: Part) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::AlertReceived(alert) => Self::of_alert(*alert, part),
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } | Error::PeerSentOversizedRecord => {
                Self::NotTls
            }
            Error::PeerIncompatible(what) => Self::of_incompatible(what),
            other => Self::Other { what: other.to_string() },
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { since: spell(*not_after) },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYet { from: spell(*not_before) },
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                wanted: expected.to_str().into_owned(),
                names: presented.iter().map(|name| bare(name).to_owned()).collect(),
            },
            // A CA that was made anew has the old one's name, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownIssuer,
            CertificateError::Other(other) if is_ca_itself(other) => Self::CaItself,
            other => Self::Certificate { what: other.to_string() },
        }
    }

    fn of_alert(alert: AlertDescription, part: Part) -> Self {
        use AlertDescription as Alert;
        match alert {
            Alert::CertificateRequired => Self::NoCertificate,
            // How TLS 1.2 says it.
            Alert::HandshakeFailure | Alert::BadCertificate if part.asked && !part.has_certificate => {
                Self::NoCertificate
            }
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => Self::Refused { alert },
            Alert::UnrecognisedName => Self::UnknownName,
            Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => {
                Self::NothingInCommon { what: format!("it said {alert:?}") }
            }
            other => Self::Other { what: format!("the host ended it with the alert {other:?}") },
        }
    }

    fn of_incompatible(what: &PeerIncompatible) -> Self {
        Self::NothingInCommon { what: format!("{what:?}") }
    }
}

/// Whether the verifier says that a CA's certificate stands where the host's should.
fn is_ca_itself(error: &tokio_rustls::rustls::OtherError) -> bool {
    let inner = error.source().map_or_else(|| format!("{error:?}"), |inner| format!("{inner:?}"));
    inner.contains("CaUsedAsEndEntity")
}

/// `DnsName("a.b")` and `IpAddress(127.0.0.1)` without what is around them.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
}

fn list(names: &[String]) -> String {
    match names {
        [] => "nobody (it has no subjectAltName)".to_owned(),
        // More than fit into a line help nobody.
        [first @ .., _] if first.len() >= 8 => format!("{} and others", names[..8].join(", ")),
        names => names.join(", "),
    }
}

fn spell(time: UnixTime) -> String {
    let at = i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    at.map_or_else(|| format!("{} s after 1970", time.as_secs()), |at| at.to_string())
}
