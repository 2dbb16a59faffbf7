//! The registry, as programs see it.

mod kept;
mod killed;
mod names;
mod owners;
mod program;
mod watched;
