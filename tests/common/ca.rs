//! A certificate authority of a test's own.
//!
//! Leaves: PEM files in a directory; keys with mode 0600.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// An authority, with a directory for what it signs.
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Ca {
    /// Makes one; its certificate is `NAME.ca` in the directory.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are right names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("the CA signs itself");
        fs::write(dir.join(format!("{name}.ca")), issuer.pem()).expect("the CA's certificate");
        fs::write(dir.join(format!("{name}.ca.key")), issuer.key().serialize_pem()).expect("the CA's key");
        Self { issuer, dir: dir.to_owned() }
    }

    /// Signs a certificate for these names, valid until the end of a year: `FILE.crt` and `FILE.key`.
    pub(crate) fn sign(&self, file: &str, names: &[&str], last_year: i32) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("right names");
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_after = date_time_ymd(last_year, 12, 31);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let certificate = params.signed_by(&key, &self.issuer).expect("the CA signs");
        fs::write(self.dir.join(format!("{file}.crt")), certificate.pem()).expect("the certificate");
        private(&self.dir.join(format!("{file}.key")), &key.serialize_pem());
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Writes a file that its owner alone may read.
pub(crate) fn private(file: &Path, text: &str) {
    fs::write(file, text).expect("a private file");
    fs::set_permissions(file, Permissions::from_mode(0o600)).expect("its rights");
}
