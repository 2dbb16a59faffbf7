//! TLS towards requesters: accepted sockets → ones whose other end has been shown our certificate.
//!
//! Enters: a listener's `cert`, `key` and `ca`. Leaves: what accepts handshakes, or what is wrong with a file. Promised: a
//! changed file is read again at the next handshake; a change that cannot be read leaves what was before in use; with
//! `ca` nobody is served who has no certificate of one of these CAs.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ServerConfig, server::danger::ClientCertVerifier};

use crate::config::Complaint;
use crate::config::serve::ServeSettings;
use crate::pool::tls::files::{certified_key, named_roots};
use crate::pool::watched::Watched;

/// Reads the files of a listener that has a certificate.
///
/// # Errors
/// What is wrong with one of them, and what to do.
pub fn load(settings: &ServeSettings) -> Result<TlsAcceptor, Complaint> {
    let fault = |what: String| Complaint::about(Path::new("tls"), what, "this is a fault of tieline");
    let (Some(cert), Some(key)) = (&settings.cert, &settings.key) else {
        return Err(fault("there is no certificate".to_owned()));
    };
    let provider = Arc::new(ring::default_provider());
    let certified = certified_key(cert, key, &provider)?;
    let verifier = settings.ca.as_deref().map_or_else(|| Ok(WebPkiClientVerifier::no_client_auth()), verifier)?;
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| fault(format!("cannot be set up: {error}")))?;
    let resolver = Arc::new(SingleCertAndKey::from(certified));
    Ok(TlsAcceptor::from(Arc::new(config.with_client_cert_verifier(verifier).with_cert_resolver(resolver))))
}

fn verifier(ca: &Path) -> Result<Arc<dyn ClientCertVerifier>, Complaint> {
    let (roots, provider) = (Arc::new(named_roots(ca)?), Arc::new(ring::default_provider()));
    let built = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
    built.map_err(|error| {
        Complaint::about(ca, format!("cannot be used: {error}"), "write the certificate of a CA into it, in PEM")
    })
}

/// What accepts the handshakes of one listener.
#[derive(Default)]
pub(super) struct Certified(RefCell<Watched<TlsAcceptor>>);

impl Certified {
    /// As the files are now.
    pub(super) fn acceptor(&self, settings: &ServeSettings) -> Result<TlsAcceptor, String> {
        let files = [&settings.cert, &settings.key, &settings.ca];
        let files: Vec<&Path> = files.into_iter().flatten().map(std::path::PathBuf::as_path).collect();
        let read = || load(settings).map_err(|complaint| complaint.in_one_line());
        self.0.borrow_mut().get(&files, read).map(|acceptor| (*acceptor).clone())
    }
}
