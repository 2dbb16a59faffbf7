//! The clients of every language, and the library's both faces, do what `tests/clients/expectations.txt` says; and they
//! register names.
//!
//! What the table cannot say:
//!
//! - `faces` — of the library
//! - `opening`, `replies` — of the files for Python and Perl: where they begin; replies that are large, or none
//! - `keepers` — of the processes that keep names for Perl
//! - `shells` — of the functions for shells

mod command;
mod driver;
mod faces;
mod instance;
mod keepers;
mod opening;
mod program;
mod registering;
mod replies;
mod shells;
mod stage;
mod table;

use tieline::dialect::Dialect;

use self::driver::Driver;
use self::stage::Stage;
use self::table::{Row, steps};

/// Carries out the table with clients that are driven by `program`, in one dialect. Where `has_registry` is false, they must
/// do without one.
fn run(program: &[&str], dialect: Dialect, has_registry: bool, wanted: fn(&Row) -> bool) {
    let mut stage = Stage::new(dialect, has_registry);
    let mut driver = Driver::start(program, stage.place(), dialect, has_registry);
    for row in steps().iter().filter(|row| wanted(row)) {
        println!("{dialect:?}: {} {} {:.40}", row.verb, row.name, row.requests.join("; "));
        stage.carry_out(row, &mut driver);
    }
    driver.end();
    stage.judge();
}

/// In all dialects: `line` and `resp` with a registry, which also says which dialect it is; `len32` without one.
fn run_in_all(program: &[&str]) {
    for (dialect, has_registry) in [(Dialect::Line, true), (Dialect::Len32, false), (Dialect::Resp, true)] {
        run(program, dialect, has_registry, |_| true);
    }
}

#[test]
fn the_blocking_face_does_what_is_expected() {
    run_in_all(&["client_driver", "blocking"]);
}

#[test]
fn the_face_for_tokio_does_what_is_expected() {
    run_in_all(&["client_driver", "tokio"]);
}

#[test]
fn the_client_for_python_does_what_is_expected() {
    run_in_all(&["python3", "driver.py"]);
}

#[test]
fn the_client_for_perl_does_what_is_expected() {
    run_in_all(&["perl", "driver.pl"]);
}

/// By `nc` it speaks `line` alone.
#[test]
fn the_functions_for_shells_do_what_is_expected_by_nc() {
    for has_registry in [true, false] {
        run(&["env", "TIELINE_TOOL=nc", "sh", "driver.sh"], Dialect::Line, has_registry, |_| true);
    }
}

/// `tieline send` tells failures apart from replies by where it prints them, which a pipeline cannot show.
#[test]
fn the_functions_for_shells_do_what_is_expected_by_the_command() {
    for dialect in [Dialect::Line, Dialect::Len32, Dialect::Resp] {
        run(&["env", "TIELINE_TOOL=tieline", "sh", "driver.sh"], dialect, true, |row| row.verb != "pipeline");
    }
}
