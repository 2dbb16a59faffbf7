//! The command line: what is asked for → who does it → an exit code.
//!
//! Enters: arguments. Leaves: an exit code as in [`exit`]; texts for people on standard output, complaints on standard
//! error. Promised: a reader of standard output that goes away ends the command quietly.

mod check;
mod daemon;
mod demo;
pub mod exit;
mod names;
mod probe;
mod rehearse;
mod restart;
mod run;
mod send;
mod serve;
mod spool;
mod status;
mod units;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::version::version;

/// One UNIX socket per remote host, and a small bounded pool of long-lived connections behind it.
#[derive(Debug, Parser)]
#[command(name = "tieline", version = version(), arg_required_else_help = true)]
struct Arguments {
    /// The configuration [default: /etc/tieline/tieline.toml, else ./etc/tieline.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve every host of hosts.tab, until stopped by a signal
    Run,
    /// Check the configuration, and say everything that is wrong with it
    Check,
    /// Show how the hosts are
    Status {
        /// One line of JSON, for machines
        #[arg(long)]
        json: bool,
        /// Only this host
        host: Option<String>,
    },
    /// Try to reach a host now, whatever its backoff says
    Probe {
        /// Its name in hosts.tab
        host: String,
    },
    /// Take the configuration, and the binary on disk, without a stop
    Restart,
    /// Send requests to a host and print its replies
    #[command(after_help = send::HELP)]
    Send {
        /// Its name in hosts.tab
        host: String,
        /// To its socket for deferred requests: what cannot be carried now is stored and answered delayed
        #[arg(long)]
        deferred: bool,
        /// One request; standard input if there is none
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        request: Vec<OsString>,
    },
    /// Look at the stored requests of a deferred host, and change them
    #[command(subcommand)]
    Spool(spool::Action),
    #[command(flatten)]
    Names(names::Action),
    /// Serve one far end of tieline.toml alone, in the foreground
    Serve {
        /// Its name: that of a table [serve.NAME]
        name: String,
    },
    /// See it work: a host of its own, a hundred requesters, four connections
    Demo,
    /// Serve one host; for the parent alone
    #[command(hide = true)]
    Child,
    /// Try whether this binary could take over from a running one; for the parent alone
    #[command(hide = true)]
    Rehearse,
    /// The host of the demo; for the demo alone
    #[command(hide = true)]
    DemoHost {
        /// Where to listen; 0 is any port
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
    /// Who takes the orders at the host of the demo; for that alone
    #[command(hide = true)]
    DemoClerk,
}

/// Does what the arguments of this process ask for; gives the exit code.
#[must_use]
pub fn run() -> u8 {
    match Arguments::try_parse() {
        Ok(arguments) => dispatch(arguments),
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            // A help text that nobody reads is no failure.
            error.print().ok();
            code
        }
    }
}

fn dispatch(Arguments { config, command }: Arguments) -> u8 {
    let config = config.as_deref();
    match command {
        Command::Run => run::run(config),
        Command::Check => check::run(config),
        Command::Status { json, host } => status::run(config, json, host),
        Command::Probe { host } => probe::run(config, &host),
        Command::Restart => restart::run(config),
        Command::Send { host, deferred, request } => send::run(config, &host, deferred, &request),
        Command::Spool(action) => spool::run(config, &action),
        Command::Names(action) => names::run(config, &action),
        Command::Serve { name } => serve::run(config, &name),
        Command::Demo => demo::run(),
        Command::Child => crate::child::run(),
        Command::Rehearse => rehearse::run(config),
        Command::DemoHost { port } => demo::echo::run(port),
        Command::DemoClerk => demo::clerk::run(),
    }
}

/// Prints to standard output. Nobody there to read it is as good as everybody having read enough.
fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {error}"));
            exit::IOERR
        }
        _ => exit::OK,
    }
}

/// Prints a complaint to standard error.
fn complain(text: &str) {
    writeln!(std::io::stderr(), "tieline: {text}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_request_may_look_like_an_option_and_the_configuration_may_stand_anywhere() {
        let words = ["tieline", "send", "cache", "SET", "key", "-1", "--config"];
        let Command::Send { host, request, deferred: false } = Arguments::try_parse_from(words).unwrap().command else {
            panic!()
        };
        assert_eq!((host.as_str(), request.len()), ("cache", 4));
        let arguments = Arguments::try_parse_from(["tieline", "status", "--config", "x", "--json"]).unwrap();
        assert_eq!(arguments.config, Some(PathBuf::from("x")));
    }
}
