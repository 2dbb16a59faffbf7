//! Tests of the whole room: exact texts, files on disk, and arbitrary bytes.

mod arbitrary;
mod files;
mod hosts_tab;
mod load;
mod nats;
mod reach;
mod tieline_toml;

use super::complaint::Complaint;

/// Complaints as they are printed.
fn printed(complaints: &[Complaint]) -> String {
    complaints.iter().map(Complaint::to_string).collect::<Vec<_>>().join("\n\n")
}
