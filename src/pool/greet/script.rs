//! The greeting of `line` and `len32`: what a file says, step by step.
//!
//! Enters: a [`Script`] and its secrets. Leaves: what was said, or the step at which the host said something else.

use std::collections::HashMap;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncWrite};

use super::wire::Wire;
use super::{GreetFailure, words};
use crate::config::greeting::{Part, Pattern, Script, Step};
use crate::config::secrets::Secrets;
use crate::dialect::Dialect;

/// The values of variables.
struct Values<'a> {
    secrets: &'a Secrets,
    captured: HashMap<String, Vec<u8>>,
}

impl Values<'_> {
    fn get(&self, name: &str) -> Option<&[u8]> {
        let secret = self.secrets.0.get(name).map(String::as_bytes);
        secret.or_else(|| self.captured.get(name).map(Vec::as_slice))
    }

    /// A group that did not take part in the match has the empty value.
    fn text(&self, parts: &[Part]) -> Vec<u8> {
        let mut text = Vec::new();
        for part in parts {
            text.extend_from_slice(match part {
                Part::Text(plain) => plain.as_bytes(),
                Part::Variable(name) => self.get(name).unwrap_or_default(),
            });
        }
        text
    }
}

/// Follows a script from its first step to its last.
pub(super) async fn follow(
    file: &Path,
    script: &Script,
    secrets: &Secrets,
    hidden: &[&[u8]],
    wire: &mut Wire<'_, impl AsyncRead + AsyncWrite + Unpin>,
) -> Result<(), GreetFailure> {
    let mut values = Values { secrets, captured: HashMap::new() };
    for step in &script.steps {
        match step {
            Step::Send(parts) => {
                let frame = frame(wire.dialect, &values.text(parts));
                wire.send(&frame).await?;
            }
            Step::Expect(pattern) => {
                let reply = wire.reply(&format!("line {} of {}", pattern.line, file.display())).await?;
                let said = content(wire.dialect, &reply);
                if !hear(pattern, said, &mut values) {
                    let (line, pattern) = (pattern.line, pattern.written.clone());
                    let said = words(said, hidden);
                    return Err(GreetFailure::Unexpected { file: file.to_owned(), line, pattern, said });
                }
            }
        }
    }
    Ok(())
}

/// Whether a reply matches; its groups are variables then.
fn hear(pattern: &Pattern, said: &[u8], values: &mut Values<'_>) -> bool {
    let Some(regex) = pattern.compile(|name| Some(values.get(name).unwrap_or_default())) else { return false };
    let Some(groups) = regex.captures(said) else { return false };
    for name in regex.capture_names().flatten() {
        let value = groups.name(name).map(|found| found.as_bytes().to_vec()).unwrap_or_default();
        values.captured.insert(name.to_owned(), value);
    }
    true
}

/// A text as a request.
fn frame(dialect: Dialect, text: &[u8]) -> Vec<u8> {
    match dialect {
        Dialect::Len32 => {
            let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
            [&length.to_be_bytes(), text].concat()
        }
        _ => [text, b"\n"].concat(),
    }
}

/// What stands in a reply.
fn content(dialect: Dialect, reply: &[u8]) -> &[u8] {
    match dialect {
        Dialect::Len32 => reply.get(4..).unwrap_or_default(),
        _ => {
            let line = reply.strip_suffix(b"\n").unwrap_or(reply);
            line.strip_suffix(b"\r").unwrap_or(line)
        }
    }
}
