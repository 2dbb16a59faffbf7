//! A certificate for 127.0.0.1, made by openssl, and requesters that trust it alone.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What openssl is asked for: an elliptic key, as today's servers have.
const WORDS: [&str; 13] = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
    "-subj",
    "/CN=localhost",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
];

/// Puts `tls.key` and `tls.crt` into a directory. Says whether they are there.
pub(crate) fn make(dir: &Path) -> bool {
    let mut command = Command::new("openssl");
    command.args(WORDS).args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    command.arg("-keyout").arg(dir.join("tls.key")).arg("-out").arg(dir.join("tls.crt"));
    let made = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    made.is_ok_and(|status| status.success())
}

/// A requester's side of TLS. It resumes nothing: short-lived programs have no memory of an earlier handshake.
pub(crate) fn trust(file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(file).expect("a certificate");
    roots.add(certificate).expect("a certificate that can be trusted");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.resumption = tokio_rustls::rustls::client::Resumption::disabled();
    Arc::new(config)
}
