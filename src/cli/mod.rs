//! cli
pub mod exit;
