//! The binary: mode → exit code.

fn main() {}
