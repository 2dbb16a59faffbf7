//! A registry that machines share over NATS: what leaves the configuration. How it is read: `reading`.

mod reading;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(super) use reading::Draft;

/// A registry that machines share over NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsSettings {
    /// Where the servers are: `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// The bucket that has the rows.
    pub bucket: String,
    /// On how many servers a bucket is kept that has to be made.
    pub replicas: u32,
    /// How to log in.
    pub credentials: NatsCredentials,
    /// The CAs that may have signed the servers' certificates, a PEM file; this machine's own if there is none.
    pub ca: Option<PathBuf>,
    /// The certificate that servers are shown, a PEM file.
    pub cert: Option<PathBuf>,
    /// Its private key, a PEM file.
    pub key: Option<PathBuf>,
}

/// How to log in at a server of NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NatsCredentials {
    /// Not at all, or by the certificate alone.
    None,
    /// By name and password.
    User {
        /// The name.
        user: String,
        /// Where the password is.
        password_file: PathBuf,
    },
    /// By a token.
    Token {
        /// Where it is.
        file: PathBuf,
    },
    /// By a JWT and a seed, as `nsc` writes them.
    Creds {
        /// Where both are.
        file: PathBuf,
    },
}

impl NatsSettings {
    /// With nothing said but the servers and the bucket.
    #[must_use]
    pub fn with_defaults(servers: Vec<String>, bucket: &str) -> Self {
        let (bucket, replicas) = (bucket.to_owned(), if servers.len() >= 3 { 3 } else { 1 });
        Self { servers, bucket, replicas, credentials: NatsCredentials::None, ca: None, cert: None, key: None }
    }

    /// The servers in one line.
    #[must_use]
    pub fn servers_for_people(&self) -> String {
        self.servers.join(", ")
    }
}

impl NatsCredentials {
    /// What is shown to a server, without the secret.
    #[must_use]
    pub fn for_people(&self) -> String {
        match self {
            Self::None => "a connection without credentials".to_owned(),
            Self::User { user, password_file } => {
                format!("the user {user} with the password in {}", password_file.display())
            }
            Self::Token { file } => format!("the token in {}", file.display()),
            Self::Creds { file } => format!("the credentials in {}", file.display()),
        }
    }
}
