//! A program at `registry.sock`, and the table as it sees it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tieline::registry::grammar::rows::{Told, read_change, read_row};
use tieline::registry::row::Lease;

use crate::common::{LONG, Place, wait_until};

/// Rows by name and address, with their leases.
pub(crate) type Table = BTreeMap<(String, String), Lease>;

pub(crate) struct Program(BufReader<UnixStream>);

/// What begins a watch.
#[derive(Debug)]
pub(crate) struct Begin {
    pub(crate) revision: u64,
    pub(crate) is_snapshot: bool,
}

pub(crate) fn socket(place: &Place) -> PathBuf {
    place.socket("registry")
}

impl Program {
    pub(crate) fn connect(socket: &Path) -> Self {
        wait_until("the registry can be connected to", || Self::try_connect(socket).ok())
    }

    pub(crate) fn try_connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LONG))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// A line; an error at the end.
    pub(crate) fn hear(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        line.pop().filter(|end| *end == '\n').ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(line)
    }

    pub(crate) fn try_ask(&mut self, command: &str) -> io::Result<String> {
        self.say(&format!("{command}\n"))?;
        self.hear()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.try_ask(command).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Registers, and gives the lease.
    pub(crate) fn register(&mut self, words: &str) -> String {
        let answer = self.ask(&format!("REGISTER {words}"));
        answer.strip_prefix("ok ").unwrap_or_else(|| panic!("REGISTER {words}: {answer}")).to_owned()
    }

    fn rows(&mut self) -> io::Result<Table> {
        let mut table = Table::new();
        loop {
            let line = self.hear()?;
            if line.is_empty() {
                return Ok(table);
            }
            let (row, _) = read_row(&line).unwrap_or_else(|| panic!("no row: {line}"));
            table.insert((row.name, row.address), row.lease);
        }
    }

    /// The true table, and its revision.
    pub(crate) fn list(&mut self) -> (u64, Table) {
        let first = self.ask("LIST");
        let revision = first.strip_prefix("ok ").and_then(|word| word.parse().ok());
        (revision.unwrap_or_else(|| panic!("LIST: {first}")), self.rows().expect("the whole list"))
    }

    /// Begins to watch; a snapshot replaces the table.
    pub(crate) fn watch(&mut self, after: Option<u64>, table: &mut Table) -> io::Result<Begin> {
        let command = after.map_or_else(|| "WATCH".to_owned(), |after| format!("WATCH after={after}"));
        let line = self.try_ask(&command)?;
        let words: Vec<&str> = line.split(' ').collect();
        let [_, revision, how] = words[..] else { panic!("{command}: {line}") };
        let begin = Begin { revision: revision.parse().expect("a revision"), is_snapshot: how == "snapshot" };
        if begin.is_snapshot {
            *table = self.rows()?;
        } else {
            assert_eq!((how, Some(begin.revision)), ("changes", after), "{line}");
        }
        Ok(begin)
    }

    /// Takes one change over; its revision.
    pub(crate) fn follow(&mut self, table: &mut Table) -> io::Result<u64> {
        let line = self.hear()?;
        let (revision, told) = read_change(&line).unwrap_or_else(|| panic!("no change: {line}"));
        match told {
            Told::Put(row, _) => drop(table.insert((row.name, row.address), row.lease)),
            Told::Gone { name, address, lease } => {
                let key = (name, address);
                if table.get(&key) == Some(&lease) {
                    table.remove(&key);
                }
            }
        }
        Ok(revision.0)
    }
}
