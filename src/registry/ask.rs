//! Asking the registry, from inside another child: where a name is now, and what changes about it.
//!
//! Enters: the path of `registry.sock`, a name. Leaves: addresses, least recently handed out first; the instances of the
//! name at each change. Promised: an answer that is not understood is an error, never a guess; what is read is bounded.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::UnixStream;

use super::grammar::replies::Kind;
use super::grammar::rows::{Told, read_change, read_row};
use super::grammar::{ANSWER_MAX, address};
use super::row::{Lease, Revision, Row};
use crate::config::Address;

/// Where a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// At these, the one whose turn it is first.
    At(Vec<Address>),
    /// Nobody is registered.
    Nobody,
}

/// The instances of a name: addresses with their leases.
pub(crate) type Instances = BTreeMap<String, Lease>;

/// A line at a time.
struct Lines(BufReader<Take<UnixStream>>);

impl Lines {
    /// Asks something.
    async fn ask(registry: &Path, command: &str) -> io::Result<Self> {
        let mut stream = UnixStream::connect(registry).await?;
        stream.write_all(command.as_bytes()).await?;
        Ok(Self(BufReader::new(stream.take(0))))
    }

    async fn next(&mut self) -> io::Result<String> {
        self.0.get_mut().set_limit(ANSWER_MAX as u64);
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.pop() {
            Some('\n') => Ok(line),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(_) => Err(strange(&line)),
        }
    }
}

fn strange(line: &str) -> io::Error {
    let start: String = line.chars().take(80).collect();
    io::Error::other(format!("it answers `{}`", crate::config::printable(&start)))
}

/// Where `name` is: its registered instances, and not the host that may have the same name.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) async fn resolve(registry: &Path, name: &str) -> io::Result<Found> {
    let line = Lines::ask(registry, &format!("RESOLVE {name} direct\n")).await?.next().await?;
    let mut words = line.split(' ');
    match (words.next(), words.next()) {
        (Some("ok"), Some(first)) => {
            let read = std::iter::once(first).chain(words).map(address);
            read.collect::<Result<_, _>>().map(Found::At).map_err(|_| strange(&line))
        }
        (Some("error"), Some(kind)) if Kind::read(kind) == Some(Kind::Unknown) => Ok(Found::Nobody),
        _ => Err(strange(&line)),
    }
}

/// Follows the instances of one name.
#[derive(Debug)]
pub(crate) struct Follower {
    name: String,
    instances: Instances,
    /// Up to where they are known.
    after: Option<Revision>,
}

impl Follower {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), instances: Instances::new(), after: None }
    }

    /// Tells the instances now and whenever they may have changed, as long as the registry is there.
    ///
    /// # Errors
    /// It is not, or not any more. What was told last is still the last that is known.
    pub(crate) async fn follow(&mut self, registry: &Path, mut tell: impl FnMut(&Instances)) -> io::Result<()> {
        let after = self.after.map(|after| format!(" after={after}")).unwrap_or_default();
        let mut lines = Lines::ask(registry, &format!("WATCH {}{after}\n", self.name)).await?;
        self.begin(&mut lines).await?;
        tell(&self.instances);
        loop {
            let line = lines.next().await?;
            let (revision, told) = read_change(&line).ok_or_else(|| strange(&line))?;
            if self.take(told) {
                tell(&self.instances);
            }
            self.after = Some(revision);
        }
    }

    async fn begin(&mut self, lines: &mut Lines) -> io::Result<()> {
        let line = lines.next().await?;
        let words: Vec<&str> = line.split(' ').collect();
        let (revision, how) = match words.as_slice() {
            ["ok", revision, how] => (revision.parse().map_err(|_| strange(&line))?, *how),
            _ => return Err(strange(&line)),
        };
        if how == "snapshot" {
            let mut instances = Instances::new();
            loop {
                let line = lines.next().await?;
                if line.is_empty() {
                    break;
                }
                let (row, _) = read_row(&line).ok_or_else(|| strange(&line))?;
                self.add(&mut instances, row);
            }
            self.instances = instances;
        }
        self.after = Some(Revision(revision));
        Ok(())
    }

    /// Takes a change over. Says whether it was about this name.
    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Put(row, _) => {
                let mut instances = std::mem::take(&mut self.instances);
                let is_ours = self.add(&mut instances, row);
                self.instances = instances;
                is_ours
            }
            Told::Gone { name, address, lease } => {
                let is_it = name == self.name && self.instances.get(&address) == Some(&lease);
                is_it && self.instances.remove(&address).is_some()
            }
        }
    }

    /// Names that begin alike are told as well, and the host of this name.
    fn add(&self, instances: &mut Instances, row: Row) -> bool {
        let is_ours = row.name == self.name && !row.is_host();
        if is_ours {
            instances.insert(row.address, row.lease);
        }
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, address: &str, lease: &str, ttl: Option<u64>) -> Row {
        let ttl = ttl.map(std::time::Duration::from_secs);
        let (name, address, lease) = (name.to_owned(), address.to_owned(), Lease(lease.to_owned()));
        Row { name, address, lease, ttl, owner: 0, pairs: BTreeMap::new() }
    }

    #[test]
    fn a_follower_knows_the_instances_of_its_own_name_alone() {
        let mut follower = Follower::new("web");
        assert!(follower.take(Told::Put(row("web", "tcp:a:1", "l1", Some(9)), None)));
        assert!(!follower.take(Told::Put(row("web2", "tcp:b:1", "l2", Some(9)), None)), "it begins alike");
        assert!(!follower.take(Told::Put(row("web", "unix:/run/web.sock", "host:web", None), None)), "the host itself");
        assert_eq!(follower.instances, Instances::from([("tcp:a:1".to_owned(), Lease("l1".to_owned()))]));
        // Registered again meanwhile: the end of the earlier lease is not its end.
        assert!(follower.take(Told::Put(row("web", "tcp:a:1", "l3", Some(9)), None)));
        let gone = |lease: &str| Told::Gone {
            name: "web".to_owned(),
            address: "tcp:a:1".to_owned(),
            lease: Lease(lease.to_owned()),
        };
        assert!(!follower.take(gone("l1")));
        assert!(follower.take(gone("l3")));
        assert!(follower.instances.is_empty());
    }
}
