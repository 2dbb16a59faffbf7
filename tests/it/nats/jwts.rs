//! An operator of NATS with an account and a user of its own, as JWTs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

pub(super) struct Jwts {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
    user: KeyPair,
}

impl Jwts {
    pub(super) fn new() -> Self {
        let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
        Self { operator, system: KeyPair::new_account(), account: KeyPair::new_account(), user }
    }

    /// What a server needs to know.
    pub(super) fn config(&self) -> String {
        let operator = signed(&self.operator, &self.operator, &json!({"type": "operator", "version": 2}));
        let account = |pair: &KeyPair, disk: i64| {
            let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": -1, "mem_storage": disk, "disk_storage": disk, "streams": disk, "consumer": disk});
            let jwt = signed(&self.operator, pair, &json!({"type": "account", "version": 2, "limits": limits}));
            format!("{}: {jwt}", pair.public_key())
        };
        // The system's own account has no JetStream.
        let accounts = format!("{}, {}", account(&self.system, 0), account(&self.account, -1));
        let system = self.system.public_key();
        format!("operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload {{ {accounts} }}")
    }

    /// The user's file.
    pub(super) fn creds(&self) -> String {
        let rights = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let jwt = signed(&self.account, &self.user, &rights);
        let seed = self.user.seed().expect("it has a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn signed(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> String {
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encoded(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let (iss, sub) = (issuer.public_key(), subject.public_key());
    let body =
        encoded(&json!({"jti": sub, "iat": 1_700_000_000, "iss": iss, "sub": sub, "name": "test", "nats": nats}));
    let signature = issuer.sign(format!("{head}.{body}").as_bytes()).expect("it can sign");
    format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}
