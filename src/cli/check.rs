//! `tieline check`: is the configuration right, and what does it say?
//!
//! Enters: perhaps the path of a configuration. Leaves: a summary on standard output, or every complaint on standard
//! error and exit code 78. Promised: nothing is made or changed, whether the daemon runs or not.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::exit;
use crate::config::{ConfigError, HostSettings, Settings, load, show_host};

/// Checks the configuration and says what became of it.
pub(super) fn run(config: Option<&Path>) -> u8 {
    check(config, &mut io::stdout().lock(), &mut io::stderr().lock())
}

fn check(config: Option<&Path>, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let checked = load(config).and_then(|settings| settings.check_files().map(|()| settings));
    match checked.map(|settings| accept(&settings, out, err)) {
        Ok(Ok(())) => exit::OK,
        // Who reads only the first lines (`tieline check | head -1`) has seen enough.
        Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => exit::OK,
        Ok(Err(_)) => exit::IOERR,
        // That the complaints cannot be read makes the configuration no better.
        Err(error) => {
            refuse(&error, err).ok();
            exit::CONFIG
        }
    }
}

fn accept(settings: &Settings, out: &mut impl Write, err: &mut impl Write) -> io::Result<()> {
    for warning in settings.warnings() {
        writeln!(err, "warning: {warning}")?;
    }
    let count = match settings.hosts.len() {
        1 => "1 host".to_owned(),
        count => format!("{count} hosts"),
    };
    let (file, table) = (settings.file.display(), settings.daemon.hosts_tab.display());
    writeln!(out, "{file}: in order, {count} in {table}")?;
    for serve in &settings.serves {
        writeln!(out, "  serve {} at {}, {} handlers", serve.name, serve.listen, serve.handlers.len())?;
    }
    for line in aligned(&settings.hosts) {
        writeln!(out, "  {line}")?;
    }
    out.flush()
}

fn refuse(error: &ConfigError, err: &mut impl Write) -> io::Result<()> {
    let count = match error.complaints().len() {
        1 => "1 mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    writeln!(err, "{error}\n\n{count} in the configuration")
}

/// The hosts as in `hosts.tab`, with what differs from the defaults, in columns.
fn aligned(hosts: &[HostSettings]) -> Vec<String> {
    let lines: Vec<String> = hosts.iter().map(show_host).collect();
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.splitn(4, ' ').collect()).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.len()).max();
    let widths: Vec<usize> = (0..4).map(|column| width(column).unwrap_or(0)).collect();
    rows.iter().map(|row| in_columns(row, &widths)).collect()
}

fn in_columns(row: &[&str], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Checks a configuration with this table of hosts: exit code, standard output, standard error.
    fn checked(table: &str) -> (u8, String, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tieline.toml");
        fs::write(&file, "[daemon]\nrun_dir = 'run'\nspool_dir = 'spool'\n").unwrap();
        fs::write(dir.path().join("hosts.tab"), table).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(Some(&file), &mut out, &mut err);
        (code, printed(&dir, out), printed(&dir, err))
    }

    fn printed(dir: &TempDir, bytes: Vec<u8>) -> String {
        let text = String::from_utf8(bytes).unwrap();
        text.replace(&format!("{}/", dir.path().display()), "")
    }

    #[test]
    fn a_right_configuration_is_summed_up_in_columns() {
        let (code, out, err) = checked("cache 127.0.0.1:6379 resp connections=4 idle=90s\nx unix:/x line mode=660");
        assert_eq!((code, err.as_str()), (exit::OK, ""));
        insta::assert_snapshot!(out, @r"
        tieline.toml: in order, 2 hosts in hosts.tab
          cache  127.0.0.1:6379  resp  connections=4 idle=90s
          x      unix:/x         line
        ");
    }

    #[test]
    fn a_wrong_one_is_complained_about_with_exit_code_78() {
        let (code, out, err) = checked("cache 127.0.0.1 resp\nx a:1 lime");
        assert_eq!((code, out.as_str()), (exit::CONFIG, ""));
        insta::assert_snapshot!(err, @r"
        hosts.tab:1:7: `127.0.0.1` is no address: its port is missing
          cache 127.0.0.1 resp
                ^~~~~~~~~
          = help: an address is host:port, [IPv6]:port, unix:/path or @name

        hosts.tab:2:7: there is no dialect `lime`
          x a:1 lime
                ^~~~
          = help: did you mean `line`?

        2 mistakes in the configuration
        ");
    }

    #[test]
    fn a_mistake_in_the_file_system_is_one_of_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tieline.toml");
        fs::write(&file, "[daemon]\nrun_dir = 'no/run'\nspool_dir = 'spool'\n").unwrap();
        fs::write(dir.path().join("hosts.tab"), "a b:1 line").unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(check(Some(&file), &mut out, &mut err), exit::CONFIG);
        insta::assert_snapshot!(printed(&dir, err), @r"
        no/run: cannot be made: no is missing
          = help: make that one (mkdir -p no), or set another run_dir in [daemon] of tieline.toml

        1 mistake in the configuration
        ");
        assert!(!dir.path().join("spool").exists(), "nothing is made");
    }

    #[test]
    fn a_warning_spoils_nothing() {
        let (code, out, err) = checked("# nobody yet");
        assert_eq!(code, exit::OK);
        insta::assert_snapshot!(format!("{out}{err}"), @r"
        tieline.toml: in order, 0 hosts in hosts.tab
        warning: hosts.tab: no host is in the table
          = help: see hosts.tab(5)
        ");
    }
}
