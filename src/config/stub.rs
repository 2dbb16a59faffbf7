//! Stands in for the reading of the configuration.
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::dialect::Dialect;

/// Complaints.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

/// Reads `FILE` (run_dir = "…", hosts_tab = "…").
///
/// # Errors
/// When it cannot.
pub fn load(explicit: Option<&Path>) -> Result<Settings, ConfigError> {
    let file = explicit.unwrap_or(Path::new("etc/tieline.toml"));
    let text = std::fs::read_to_string(file).map_err(|e| ConfigError(format!("{}: {e}", file.display())))?;
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(k, _)| k.trim() == key)
            .map(|(_, v)| v.trim().trim_matches('"').to_owned())
    };
    let run_dir = PathBuf::from(value("run_dir").ok_or_else(|| ConfigError("no run_dir".into()))?);
    let hosts_tab = PathBuf::from(value("hosts_tab").ok_or_else(|| ConfigError("no hosts_tab".into()))?);
    let table =
        std::fs::read_to_string(&hosts_tab).map_err(|e| ConfigError(format!("{}: {e}", hosts_tab.display())))?;
    let hosts = table.lines().filter(|line| !line.trim().is_empty()).map(host).collect();
    Ok(Settings {
        file: file.to_owned(),
        daemon: DaemonSettings {
            spool_dir: run_dir.join("spool"),
            pid_file: value("pid_file").map_or_else(|| run_dir.join("tieline.pid"), PathBuf::from),
            status_file: run_dir.join("status.txt"),
            hosts_tab,
            run_dir,
        },
        log: LogSettings { level: LogLevel::Info, file: None, format: LogFormat::Text },
        drain: value("drain").and_then(|v| v.parse().ok()).map_or(Duration::from_secs(30), Duration::from_millis),
        hosts,
    })
}

fn host(line: &str) -> HostSettings {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap_or_default();
    let (host, port) = words.next().and_then(|a| a.rsplit_once(':')).unwrap_or(("127.0.0.1", "1"));
    let address = Address::Tcp { host: host.to_owned(), port: port.parse().unwrap_or(1) };
    let mut settings = HostSettings::with_defaults(name, address, Dialect::Line);
    for word in words {
        match word.split_once('=') {
            Some(("start", "demand")) => settings.start = Start::Demand,
            Some(("listen", at)) => settings.listen = at.parse().ok(),
            Some(("idle", ms)) => settings.idle = Duration::from_millis(ms.parse().unwrap_or(1)),
            _ => {}
        }
    }
    settings
}

impl Settings {
    /// File-system mistakes.
    ///
    /// # Errors
    /// None.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// When it cannot.
    pub fn prepare_dirs(&self) -> Result<(), ConfigError> {
        std::fs::create_dir_all(&self.daemon.run_dir).map_err(|e| ConfigError(e.to_string()))
    }
}

impl HostSettings {
    /// The defaults.
    #[must_use]
    pub fn with_defaults(name: &str, address: Address, dialect: Dialect) -> Self {
        Self {
            name: name.to_owned(),
            address,
            dialect,
            connections: 10,
            pipeline: 1,
            window: 1024,
            queue: 10_000,
            requesters: 4096,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            retries: 5,
            idle: Duration::from_secs(3600),
            max_request: 16 << 20,
            max_reply: 16 << 20,
            unread: 1 << 20,
            start: Start::Boot,
            listen: None,
            workers: 1,
            owner: None,
            group: None,
            mode: 0o660,
        }
    }
}
