//! How fast tieline is beside its peers: `cargo bench --bench versus`.
//!
//! Enters: after `--`, names of workloads (all of them if there is none), `--rounds N`, `--seconds S`, `--list`,
//! and `--calm CORES`: each measurement then waits until others use fewer cores than that, and is repeated if they did not. Leaves:
//! one table per workload on standard output, and whether the aims are reached; progress on standard error. Promised:
//! everything that is compared is measured in the same run, in turns (A B C, A B C, …), by the same load; what is not
//! installed is named and left out; a figure that could not be measured is shown as `-`, never guessed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's tables are what it is for")]

mod aim;
mod contender;
mod load;
mod machine;
mod measure;
mod plan;
mod table;
mod workload;

use plan::Plan;

fn main() {
    let Some(plan) = Plan::from_arguments() else { return };
    machine::allow_descriptors();
    machine::describe(&plan);
    let mut aims = Vec::new();
    for workload in plan.workloads() {
        for table in (workload.run)(&plan) {
            table.print();
            aims.extend(table.into_aims());
        }
    }
    aim::print(&aims);
    println!("\nLoad average at the end: {}.", machine::load_average());
}
