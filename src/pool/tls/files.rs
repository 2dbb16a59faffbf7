//! Certificates and keys: files → what a handshake needs.
//!
//! Enters: a host's options. Leaves: [`Credentials`], or a complaint that names the file. Promised: nothing is read
//! again later; a key that others may read is refused, as is one that does not belong to its certificate.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::{ResolvesClientCert, Resumption};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, Error, InconsistentKeys, RootCertStore, SignatureScheme};

use crate::config::secrets::{NOT_OTHERS, private, public};
use crate::config::{Complaint, HostSettings};

/// Sessions that may be resumed: one host has one name, and a few tickets for each connection.
const SESSIONS: usize = 64;

/// What a handshake needs. Sessions are remembered with it, so that none outlives the certificate it was begun with.
pub struct Credentials {
    pub(super) connector: TlsConnector,
    pub(super) own: Arc<Own>,
}

/// What the host is shown if it asks who we are.
#[derive(Debug)]
pub(super) struct Own {
    certificate: Option<Arc<CertifiedKey>>,
    /// Whether the host has ever asked.
    asked: AtomicBool,
}

impl Own {
    pub(super) fn was_asked_for(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn has_certificate(&self) -> bool {
        self.certificate.is_some()
    }
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.asked.store(true, Ordering::Relaxed);
        self.certificate.clone()
    }

    fn has_certs(&self) -> bool {
        self.certificate.is_some()
    }
}

/// The files that [`load`] reads.
pub(super) fn files(host: &HostSettings) -> Vec<&Path> {
    [&host.ca, &host.cert, &host.key].into_iter().flatten().map(std::path::PathBuf::as_path).collect()
}

/// Reads the files of a host.
///
/// # Errors
/// What is wrong with one of them, and what to do.
pub fn load(host: &HostSettings) -> Result<Credentials, Complaint> {
    let provider = Arc::new(ring::default_provider());
    let roots = host.ca.as_deref().map_or_else(machine_roots, named_roots)?;
    let certificate = match (&host.cert, &host.key) {
        (Some(cert), Some(key)) => Some(Arc::new(certified_key(cert, key, &provider)?)),
        _ => None,
    };
    let own = Arc::new(Own { certificate, asked: AtomicBool::new(false) });
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| {
        Complaint::about(Path::new("tls"), format!("cannot be set up: {error}"), "this is a fault of tieline")
    })?;
    let resolver = Arc::clone(&own) as Arc<dyn ResolvesClientCert>;
    let mut config = config.with_root_certificates(roots).with_client_cert_resolver(resolver);
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(Credentials { connector: TlsConnector::from(Arc::new(config)), own })
}

/// Whether these files can be used: CAs, and a certificate with its key.
///
/// # Errors
/// What is wrong with one of them, and what to do.
pub fn check(ca: Option<&Path>, pair: Option<(&Path, &Path)>) -> Result<(), Complaint> {
    ca.map(named_roots).transpose()?;
    let provider = ring::default_provider();
    pair.map(|(cert, key)| certified_key(cert, key, &provider)).transpose()?;
    Ok(())
}

/// The CAs that this machine trusts.
fn machine_roots() -> Result<RootCertStore, Complaint> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (count, _) = roots.add_parsable_certificates(found.certs);
    if count == 0 {
        let help = "install the package ca-certificates, or name the host's CA with `ca=`";
        return Err(Complaint::about(Path::new("/etc/ssl/certs"), "no CA was found that this machine trusts", help));
    }
    Ok(roots)
}

/// The CAs in a file.
///
/// # Errors
/// What is wrong with it, and what to do.
pub(crate) fn named_roots(file: &Path) -> Result<RootCertStore, Complaint> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| {
            let help = "write the CA's certificate into it, in PEM";
            Complaint::about(file, format!("has a certificate that cannot be a CA's: {error}"), help)
        })?;
    }
    Ok(roots)
}

/// The certificates in a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    let bytes = public(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| no_pem(file, &error, "certificate"))?;
    if found.is_empty() {
        return Err(no_pem(file, &pem::Error::NoItemsFound, "certificate"));
    }
    Ok(found)
}

/// A certificate with its key.
///
/// # Errors
/// What is wrong with one of the files, and what to do.
pub(crate) fn certified_key(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, Complaint> {
    let chain = certificates(cert)?;
    let bytes = private(key, NOT_OTHERS)?;
    let private_key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| no_pem(key, &error, "private key"))?;
    CertifiedKey::from_der(chain, private_key, provider).map_err(|error| match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let what = format!("is not the key of the certificate in {}", cert.display());
            Complaint::about(key, what, "name the files that belong together with `cert=` and `key=`")
        }
        error => {
            let help = "RSA, ECDSA (P-256, P-384) and Ed25519 can be used, without a passphrase";
            Complaint::about(key, format!("cannot be used: {error}"), help)
        }
    })
}

fn no_pem(file: &Path, error: &pem::Error, what: &str) -> Complaint {
    let why = match error {
        pem::Error::NoItemsFound => format!("has no {what}"),
        pem::Error::MissingSectionEnd { .. } => format!("has a {what} without its END line"),
        pem::Error::Base64Decode(_) => format!("has a {what} that is damaged"),
        _ => format!("cannot be read as a {what}"),
    };
    Complaint::about(
        file,
        why,
        format!("write it in PEM: lines from `-----BEGIN` to `-----END`, with a {what} between"),
    )
}
