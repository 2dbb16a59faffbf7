//! `tieline spool`: looks at the stored requests of a host, and changes them.
//!
//! Enters: what to do with which rows of which host. Leaves: text for people, or with `--json` one object per line; an
//! exit code. Promised: nothing is removed, sent again or reordered in bulk without `--yes`; memory for one page of rows
//! and one request, however much is stored.
//!
//! - `source` — the child that has the spool open, or the file when no child has
//! - `print` — rows as text and as JSON

mod print;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;

use clap::{Args, Subcommand};

use super::units::{age, amount};
use super::{complain, exit, print as put};
use crate::spool::tools::{Answer, Command, Done, ROWS, Report, Row, State, Which};
use print::Printer;
use source::{Source, SpoolError};

/// What to do with a spool.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List what waits and what is held, in order
    List(ListArgs),
    /// Show all of the requests with these IDs
    Show(NamedArgs),
    /// Try the first waiting one now, whatever the replay's pause says
    Retry(HostArgs),
    /// Park waiting ones until they are released
    Hold(ChangeArgs),
    /// Let held ones wait again, at their old places
    Release(ChangeArgs),
    /// Remove stored ones for good, whatever they are
    Drop(DropArgs),
    /// List the dead: refused by the host, or expired
    Dead(HostArgs),
    /// Append dead ones at the tail, under new IDs
    Requeue(ChangeArgs),
    /// Write stored ones as JSON, one object per line, requests included
    Export(ExportArgs),
    /// Say whether everything stored is whole
    Check(HostArgs),
}

#[derive(Debug, Args)]
pub(super) struct HostArgs {
    /// The host's name in hosts.tab
    host: String,
    /// JSON, one object per line, for machines
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Only these [default: waiting and held]
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<State>,
}

#[derive(Debug, Args)]
pub(super) struct NamedArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Their IDs
    #[arg(required = true)]
    ids: Vec<u64>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Only those with these IDs [default: all]
    ids: Vec<u64>,
    /// Only these
    #[arg(long, value_name = "STATE", value_parser = state, conflicts_with = "ids")]
    state: Option<State>,
}

#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Their IDs
    #[arg(required_unless_present = "all")]
    ids: Vec<u64>,
    /// All there are, instead of naming them
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Yes, all of them
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Only these
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<State>,
}

fn state(word: &str) -> Result<State, String> {
    let found = State::ALL.into_iter().find(|state| state.word() == word);
    found.ok_or_else(|| "there are waiting, held, dead and damaged ones".to_owned())
}

/// Does it; gives the exit code.
pub(super) fn run(config: Option<&Path>, action: &Action) -> u8 {
    act(config, action).unwrap_or_else(|error| {
        if !error.is_quiet() {
            complain(&error.to_string());
        }
        error.exit_code()
    })
}

fn act(config: Option<&Path>, action: &Action) -> Result<u8, SpoolError> {
    let open = |host: &HostArgs| Source::open(config, &host.host);
    match action {
        Action::List(ListArgs { host, state }) => {
            let states = state.map_or_else(|| vec![State::Waiting, State::Held], |state| vec![state]);
            list(&mut open(host)?, host, &states)
        }
        Action::Dead(host) => list(&mut open(host)?, host, &[State::Dead]),
        Action::Show(NamedArgs { host, ids }) => show(&mut open(host)?, host, ids),
        Action::Export(ExportArgs { host, ids, state }) => export(&mut open(host)?, host, ids, *state),
        Action::Check(host) => check(&mut open(host)?, host),
        Action::Retry(host) => retry(&mut open(host)?, host),
        Action::Hold(args) => change(&mut open(&args.host)?, args, &Change::HOLD, None),
        Action::Release(args) => change(&mut open(&args.host)?, args, &Change::RELEASE, None),
        Action::Requeue(args) => change(&mut open(&args.host)?, args, &Change::REQUEUE, None),
        Action::Drop(DropArgs { change: args, state }) => change(&mut open(&args.host)?, args, &Change::DROP, *state),
    }
}

fn list(source: &mut Source, args: &HostArgs, states: &[State]) -> Result<u8, SpoolError> {
    let mut printer = Printer::new(&args.host);
    let mut any = false;
    for state in states {
        each_row(source, *state, args.json, &mut |source, row| {
            if args.json {
                return printer.json(source, row);
            }
            if !std::mem::replace(&mut any, true) {
                printer.head()?;
            }
            printer.line(row)
        })?;
    }
    Ok(exit::OK)
}

/// Calls `with` for each row of a state, a page at a time.
fn each_row(
    source: &mut Source,
    state: State,
    bodies: bool,
    with: &mut dyn FnMut(&mut Source, &Row) -> Result<(), SpoolError>,
) -> Result<(), SpoolError> {
    let mut after = Some(0);
    while let Some(behind) = after {
        let (rows, next) = source.rows(&Command::List { state, after: behind, bodies })?;
        for row in &rows {
            with(source, row)?;
        }
        after = next;
    }
    Ok(())
}

/// Calls `with` for each named row that is there; says which are not.
fn each_named(
    source: &mut Source,
    ids: &[u64],
    with: &mut dyn FnMut(&mut Source, &Row) -> Result<(), SpoolError>,
) -> Result<u8, SpoolError> {
    let mut wanted = ids.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut code = exit::OK;
    while !wanted.is_empty() {
        let rest = wanted.split_off(wanted.len().min(ROWS));
        let (rows, next) = source.rows(&Command::Get { ids: wanted.clone() })?;
        for row in &rows {
            with(source, row)?;
        }
        let there = |id: &u64| rows.iter().any(|row| row.id == *id);
        let asked_again = |id: &u64| next.is_some_and(|next| *id > next);
        for id in wanted.iter().filter(|id| !there(id) && !asked_again(id)) {
            complain(&format!("{id} is not stored"));
            code = exit::UNAVAILABLE;
        }
        wanted.retain(asked_again);
        wanted.extend(rest);
    }
    Ok(code)
}

fn show(source: &mut Source, args: &HostArgs, ids: &[u64]) -> Result<u8, SpoolError> {
    let mut printer = Printer::new(&args.host);
    each_named(source, ids, &mut |source, row| {
        if args.json { printer.json(source, row) } else { printer.full(source, row) }
    })
}

fn export(source: &mut Source, args: &HostArgs, ids: &[u64], state: Option<State>) -> Result<u8, SpoolError> {
    let mut printer = Printer::new(&args.host);
    if !ids.is_empty() {
        return each_named(source, ids, &mut |source, row| printer.json(source, row));
    }
    for state in State::ALL.into_iter().filter(|each| state.is_none_or(|wanted| wanted == *each)) {
        each_row(source, state, true, &mut |source, row| printer.json(source, row))?;
    }
    Ok(exit::OK)
}

fn retry(source: &mut Source, args: &HostArgs) -> Result<u8, SpoolError> {
    let done = source.done(&Command::Retry)?;
    Ok(told(args, &done, &format!("{} wait; the first one is tried now", rows(done.rows))))
}

/// What is done to rows.
struct Change {
    /// What becomes of them, as in "3 rows are held".
    become_: &'static str,
    /// Which ones it is for, if not for any.
    from: Option<State>,
    /// Whether doing it to all needs a second word.
    is_grave: bool,
    command: fn(Option<State>, Which) -> Command,
}

impl Change {
    const HOLD: Self =
        Self { become_: "held", from: Some(State::Waiting), is_grave: false, command: |_, which| Command::Hold(which) };
    const RELEASE: Self = Self {
        become_: "released",
        from: Some(State::Held),
        is_grave: true,
        command: |_, which| Command::Release(which),
    };
    const REQUEUE: Self = Self {
        become_: "requeued",
        from: Some(State::Dead),
        is_grave: true,
        command: |_, which| Command::Requeue(which),
    };
    const DROP: Self =
        Self { become_: "dropped", from: None, is_grave: true, command: |state, which| Command::Drop { state, which } };
}

fn change(source: &mut Source, args: &ChangeArgs, what: &Change, state: Option<State>) -> Result<u8, SpoolError> {
    if args.all && what.is_grave && !args.yes {
        return Err(SpoolError::NotConfirmed { what: would(source, what, state)? });
    }
    let mut total = Done::default();
    if args.all {
        let mut rest = Some(Which::all());
        while let Some(which) = rest.take() {
            let done = source.done(&(what.command)(state, which))?;
            rest.clone_from(&done.rest);
            add(&mut total, done);
        }
    }
    for ids in args.ids.chunks(ROWS) {
        let done = source.done(&(what.command)(state, Which::These(ids.to_vec())))?;
        add(&mut total, done);
    }
    for miss in &total.not {
        complain(&match miss.is {
            Some(is) => format!("{} is {}: left as it is", miss.id, is.word()),
            None => format!("{} is not stored", miss.id),
        });
    }
    if !args.host.json {
        for (old, new) in &total.requeued {
            put(&format!("{old} waits again as {new}\n"));
        }
    }
    let code = told(&args.host, &total, &format!("{} {}", rows(total.rows), what.become_));
    Ok(if total.not.is_empty() { code } else { exit::UNAVAILABLE })
}

/// What doing it to all would mean.
fn would(source: &mut Source, what: &Change, state: Option<State>) -> Result<String, SpoolError> {
    let numbers = source.numbers()?;
    let of = |state| match state {
        State::Waiting => numbers.depth,
        State::Held => numbers.held,
        State::Dead => numbers.dead,
        State::Damaged => numbers.damaged,
    };
    let states = State::ALL.into_iter().filter(|each| state.or(what.from).is_none_or(|wanted| wanted == *each));
    let parts: Vec<String> = states.map(|state| format!("{} {}", of(state), state.word())).collect();
    Ok(format!("{} requests would be {}", parts.join(", "), what.become_))
}

fn add(total: &mut Done, done: Done) {
    total.rows += done.rows;
    total.not.extend(done.not);
    total.requeued.extend(done.requeued);
}

/// Says what was done.
fn told(args: &HostArgs, done: &Done, text: &str) -> u8 {
    if args.json {
        let requeued: Vec<_> = done.requeued.iter().map(|(old, new)| [*old, *new]).collect();
        let line = serde_json::json!({ "host": args.host, "rows": done.rows, "requeued": requeued });
        return put(&format!("{line}\n"));
    }
    put(&format!("{text}\n"))
}

fn rows(count: u64) -> String {
    if count == 1 { "1 request".to_owned() } else { format!("{count} requests") }
}

fn check(source: &mut Source, args: &HostArgs) -> Result<u8, SpoolError> {
    let numbers = source.numbers()?;
    let mut report = source.report()?;
    if !report.whole {
        read_all(source, &mut report)?;
    }
    if args.json {
        let line = serde_json::json!({ "host": args.host, "numbers": numbers, "report": report });
        put(&format!("{line}\n"));
    } else {
        let oldest =
            if numbers.depth > 0 { format!(" (the first for {})", age(numbers.oldest_s)) } else { String::new() };
        let (depth, held, dead, damaged) = (numbers.depth, numbers.held, numbers.dead, numbers.damaged);
        put(&format!(
            "{}: {depth} waiting{oldest}, {held} held, {dead} dead, {damaged} damaged, {} in doubt; {}\n{}",
            args.host,
            numbers.in_doubt,
            amount(numbers.bytes),
            verdict(&report, &numbers.last_error)
        ));
    }
    let is_well = report.damaged == 0 && report.wrong.is_none();
    Ok(if is_well { exit::OK } else { exit::IOERR })
}

/// Each row is checked when it is read.
fn read_all(source: &mut Source, report: &mut Report) -> Result<(), SpoolError> {
    for state in State::ALL {
        each_row(source, state, false, &mut |_, row| {
            report.rows += 1;
            if row.state == State::Damaged {
                report.damaged += 1;
                report.damaged_ids.push(row.id);
                report.damaged_ids.truncate(1000);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn verdict(report: &Report, last_error: &str) -> String {
    let ids = |ids: &[u64]| ids.iter().take(20).map(u64::to_string).collect::<Vec<_>>().join(", ");
    let mut text = match report.damaged {
        0 => format!("{} read: all whole\n", rows(report.rows)),
        damaged => format!(
            "{} read: {damaged} damaged, never sent ({}{})\n",
            rows(report.rows),
            ids(&report.damaged_ids),
            if report.damaged_ids.len() > 20 { ", …" } else { "" }
        ),
    };
    if let Some(wrong) = &report.wrong {
        text.push_str(&format!("wrong: {}; the next child to start saves what can be read\n", print::plain(wrong)));
    }
    for dir in &report.set_aside {
        text.push_str(&format!("set aside earlier: {}\n", print::plain(dir)));
    }
    if !last_error.is_empty() {
        text.push_str(&format!("last error: {}\n", print::plain(last_error)));
    }
    text
}

/// What a child or file that answers something else than was asked is said to have done.
fn unexpected(answer: &Answer) -> SpoolError {
    let text = serde_json::to_string(answer).unwrap_or_default();
    SpoolError::Strange(text.chars().take(200).collect())
}
