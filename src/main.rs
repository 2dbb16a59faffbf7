//! The binary: a mode → an exit code. What the modes do is in [`tieline::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(tieline::cli::run())
}
