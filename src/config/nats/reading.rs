//! The keys of `[registry]` that put it on NATS, as written → [`NatsSettings`]. Pure.
//!
//! Enters: entries of the table, in any order. Leaves: settings if `nats` was given, or complaints at their places. Promised:
//! every server is `nats://host:port` or `tls://host:port` without a secret in it; there is one way to log in at most, and
//! it is whole.
//!
//! ```text
//! nats           ["nats://host:port", "tls://host:port", …]; the port is 4222 if none is given
//! bucket         letters, digits, `_` and `-` ("tieline")
//! replicas       1 to 5; of a bucket that is made (3 if three servers or more are named, else 1)
//! user, password_file   or   token_file   or   creds_file
//! ca, cert, key  PEM files; with one of them every connection is TLS
//! ```

use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeValue;

use super::{NatsCredentials, NatsSettings};
use crate::config::complaint::{Wrong, quoted};
use crate::config::fields;
use crate::config::options::cannot_be;
use crate::config::settings::Address;
use crate::config::toml_values::{Entry, Values, wrong_type};

/// The keys.
const KEYS: [&str; 10] =
    ["nats", "bucket", "replicas", "user", "password_file", "token_file", "creds_file", "ca", "cert", "key"];

const SERVER_HELP: &str = "a server is nats://host:port, or tls://host:port";
const SERVERS_HELP: &str = "[\"nats://host:4222\"]";
const BUCKET_HELP: &str = "1 to 64 letters, digits, `_` and `-`";
const REPLICAS_HELP: &str = "on how many servers the bucket is kept: 1 to 5, an odd number";
const BUCKET: &str = "tieline";
const PORT: &str = "4222";

type Placed<T> = Option<(T, Range<usize>)>;

/// What has been read of the table so far.
#[derive(Default)]
pub(in crate::config) struct Draft {
    servers: Placed<Vec<String>>,
    bucket: Placed<String>,
    replicas: Placed<u32>,
    user: Placed<String>,
    password_file: Placed<PathBuf>,
    token_file: Placed<PathBuf>,
    creds_file: Placed<PathBuf>,
    ca: Placed<PathBuf>,
    cert: Placed<PathBuf>,
    key: Placed<PathBuf>,
    /// The first key that means nothing without `nats`.
    first: Placed<&'static str>,
    /// Whether a value was no right one: what goes with it cannot be judged.
    is_broken: bool,
}

impl Draft {
    /// Takes an entry. Says whether its key is one of [`KEYS`].
    pub(in crate::config) fn take(&mut self, values: &mut Values<'_>, entry: &Entry<'_, '_>) -> bool {
        let Some(known) = KEYS.into_iter().find(|known| *known == entry.key) else { return false };
        let complaints = values.complaints.len();
        match known {
            "nats" => self.servers = placed(servers(values, entry), entry),
            "bucket" => self.bucket = placed(bucket(values, entry), entry),
            "replicas" => self.replicas = placed(replicas(values, entry), entry),
            "user" => self.user = placed(user(values, entry), entry),
            path => *self.path(path) = placed(values.path(entry), entry),
        }
        if known != "nats" && self.first.as_ref().is_none_or(|(_, span)| entry.key_span.start < span.start) {
            self.first = Some((known, entry.key_span.clone()));
        }
        self.is_broken |= values.complaints.len() > complaints;
        true
    }

    fn path(&mut self, key: &str) -> &mut Placed<PathBuf> {
        match key {
            "password_file" => &mut self.password_file,
            "token_file" => &mut self.token_file,
            "creds_file" => &mut self.creds_file,
            "ca" => &mut self.ca,
            "cert" => &mut self.cert,
            _ => &mut self.key,
        }
    }

    /// What all entries together say.
    pub(in crate::config) fn finish(self, values: &mut Values<'_>) -> Option<NatsSettings> {
        if self.is_broken {
            return None;
        }
        let Some((servers, _)) = self.servers.clone() else {
            if let Some((key, span)) = self.first {
                let what = format!("`{key}` means nothing without `nats`");
                values.complain(span, what, format!("name the servers: nats = {SERVERS_HELP}"));
            }
            return None;
        };
        let credentials = self.credentials(values)?;
        let (cert, key) = both(values, "cert", &self.cert, "key", &self.key)?.unzip();
        let bucket = self.bucket.map_or_else(|| BUCKET.to_owned(), |(name, _)| name);
        let settings = NatsSettings::with_defaults(servers, &bucket);
        let replicas = self.replicas.map_or(settings.replicas, |(count, _)| count);
        Some(NatsSettings { replicas, credentials, ca: self.ca.map(|(path, _)| path), cert, key, ..settings })
    }

    fn credentials(&self, values: &mut Values<'_>) -> Option<NatsCredentials> {
        let ways =
            [("user", at(&self.user)), ("token_file", at(&self.token_file)), ("creds_file", at(&self.creds_file))];
        let given: Vec<(&str, Range<usize>)> = ways.into_iter().filter_map(|(key, span)| Some((key, span?))).collect();
        if let [(first, _), (second, span), ..] = given.as_slice() {
            let what = format!("`{second}` and `{first}` are two ways to log in");
            values.complain(span.clone(), what, "choose one: user and password_file, token_file, or creds_file");
            return None;
        }
        let user = both(values, "user", &self.user, "password_file", &self.password_file)?;
        let user = user.map(|(user, password_file)| NatsCredentials::User { user, password_file });
        let file = |placed: &Placed<PathBuf>| placed.as_ref().map(|(path, _)| path.clone());
        let token = file(&self.token_file).map(|file| NatsCredentials::Token { file });
        let creds = file(&self.creds_file).map(|file| NatsCredentials::Creds { file });
        Some(user.or(token).or(creds).unwrap_or(NatsCredentials::None))
    }
}

fn at<T>(placed: &Placed<T>) -> Option<Range<usize>> {
    placed.as_ref().map(|(_, span)| span.clone())
}

fn placed<T>(read: Option<T>, entry: &Entry<'_, '_>) -> Placed<T> {
    read.map(|value| (value, entry.span.clone()))
}

/// Both or neither of two keys that belong together; a complaint about one alone.
fn both<A: Clone, B: Clone>(
    values: &mut Values<'_>,
    first: &str,
    one: &Placed<A>,
    second: &str,
    other: &Placed<B>,
) -> Option<Option<(A, B)>> {
    let (given, span, missing) = match (one, other) {
        (Some((one, _)), Some((other, _))) => return Some(Some((one.clone(), other.clone()))),
        (None, None) => return Some(None),
        (Some((_, span)), None) => (first, span, second),
        (None, Some((_, span))) => (second, span, first),
    };
    values.complain(
        span.clone(),
        format!("`{given}` is of no use without `{missing}`"),
        format!("give `{missing}` as well"),
    );
    None
}

fn servers(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<Vec<String>> {
    let DeValue::Array(array) = entry.value else {
        let wrong = wrong_type(entry.key, entry.value, "an array", SERVERS_HELP);
        return values.take(entry.span.clone(), Err(wrong));
    };
    if array.is_empty() {
        let wrong = Wrong::new("`nats` names no server", format!("write one into it: {SERVERS_HELP}; or remove it"));
        return values.take(entry.span.clone(), Err(wrong));
    }
    let read = array.iter().map(|each| {
        let read = match each.get_ref() {
            DeValue::String(word) => server(word),
            other => Err(wrong_type(entry.key, other, "a string, in quotes", SERVER_HELP)),
        };
        values.take(each.span(), read)
    });
    // Every wrong one is complained about, not the first alone.
    let read: Vec<Option<String>> = read.collect();
    read.into_iter().collect()
}

fn server(word: &str) -> Result<String, Wrong> {
    let wrong = |why: &str, help: &str| Err(Wrong::new(format!("{} is no server of NATS: {why}", quoted(word)), help));
    let Some((scheme, rest)) = word.split_once("://").filter(|(scheme, _)| ["nats", "tls"].contains(scheme)) else {
        return wrong("it begins with neither nats:// nor tls://", SERVER_HELP);
    };
    if rest.contains('@') {
        let help = "a server stands here without a name or password: write `user` and `password_file`, or `token_file`";
        return Err(Wrong::new("a server of NATS has a secret in it", help));
    }
    let with_port = format!("{rest}:{PORT}");
    match fields::address(rest).or_else(|_| fields::address(&with_port)) {
        Ok(address @ Address::Tcp { .. }) => Ok(format!("{scheme}://{address}")),
        _ => wrong("what follows is no host and port", SERVER_HELP),
    }
}

fn bucket(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<String> {
    let word = values.string(entry, BUCKET_HELP)?;
    let is_right = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let read = match word.as_str() {
        "" => Err(cannot_be(entry.key, &word, "it is empty", BUCKET_HELP)),
        name if name.len() > 64 => Err(cannot_be(entry.key, &word, "it is too long", BUCKET_HELP)),
        name if !name.chars().all(is_right) => {
            Err(cannot_be(entry.key, &word, "it has another character", BUCKET_HELP))
        }
        _ => Ok(word),
    };
    values.take(entry.span.clone(), read)
}

fn replicas(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<u32> {
    let read = match entry.value {
        DeValue::Integer(number) => match number.as_str().parse() {
            Ok(count @ (1 | 3 | 5)) => Ok(count),
            _ => Err(cannot_be(entry.key, number.as_str(), "it is none of 1, 3 and 5", REPLICAS_HELP)),
        },
        other => Err(wrong_type(entry.key, other, "an integer, without quotes", REPLICAS_HELP)),
    };
    values.take(entry.span.clone(), read)
}

fn user(values: &mut Values<'_>, entry: &Entry<'_, '_>) -> Option<String> {
    let word = values.string(entry, "the name of a user of NATS")?;
    let read = match word.as_str() {
        "" => Err(cannot_be(entry.key, &word, "it is empty", "the name of a user of NATS")),
        _ => Ok(word),
    };
    values.take(entry.span.clone(), read)
}
