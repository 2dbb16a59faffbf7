//! The greeting of `resp`: a list of commands, each of which must not be answered with an error.
//!
//! Enters: a host's options, and the password. Leaves: commands, in the order `AUTH`, `SELECT`; and what the host said to
//! them. What further commands a connection begins with is one more entry in [`of`].

use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use super::{GreetFailure, words};
use crate::config::HostSettings;
use crate::config::secrets::Password;
use crate::dialect::{Dialect, encode_command};

/// One command.
pub(in crate::pool) struct Command {
    name: &'static str,
    frame: Vec<u8>,
    help: &'static str,
}

impl Command {
    fn new(name: &'static str, arguments: &[&[u8]], help: &'static str) -> Self {
        let mut frame = Vec::new();
        let words: Vec<&[u8]> = std::iter::once(name.as_bytes()).chain(arguments.iter().copied()).collect();
        encode_command(&words, &mut frame);
        Self { name, frame, help }
    }
}

/// What a connection of this host begins with.
pub(super) fn of(host: &HostSettings, password: Option<&Password>) -> Vec<Command> {
    if host.dialect != Dialect::Resp {
        return Vec::new();
    }
    let user = host.user.as_ref().map(String::as_bytes);
    let auth = password.map(|password| {
        let arguments: Vec<&[u8]> = user.into_iter().chain([password.0.as_slice()]).collect();
        Command::new("AUTH", &arguments, "check user= and password_file=")
    });
    let select = (host.db != 0).then(|| Command::new("SELECT", &[host.db.to_string().as_bytes()], "check db="));
    auth.into_iter().chain(select).collect()
}

/// Says the commands one after the other.
pub(super) async fn say(
    commands: &[Command],
    secrets: &[&[u8]],
    wire: &mut Wire<'_, impl AsyncRead + AsyncWrite + Unpin>,
) -> Result<(), GreetFailure> {
    for Command { name, frame, help } in commands {
        wire.send(frame).await?;
        let reply = wire.reply(name).await?;
        // Errors of RESP2, and the long ones of RESP3.
        if let Some(said) = reply.strip_prefix(b"-").or(reply.strip_prefix(b"!")) {
            return Err(GreetFailure::Refused { command: name, said: words(said, secrets), help });
        }
    }
    Ok(())
}
