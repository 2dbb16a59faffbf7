//! Maintenance: programs that are run from time to time.
//!
//! Enters: the tasks of a far end. Leaves: lines of the log. Promised: a task that still runs is not begun again; one that
//! takes longer than its `timeout` is ended, with all of its group; none is begun when the far end retires.

use std::rc::Rc;
use std::time::Instant;

use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tracing::{info, warn};

use super::clock::at;
use super::far::{Far, Stage};
use super::life::{Due as Fate, Life};
use super::output::Exit;
use super::process::Process;
use super::timetable::{Due, Timetable};
use crate::config::serve::TaskSettings;

/// Runs the tasks when they are due, until the far end retires.
pub(super) async fn keep(far: Rc<Far>) {
    let tasks = &far.settings().tasks;
    let mut table = Timetable::new(tasks.iter().map(|task| task.every), Instant::now());
    let (ends, mut ended) = unbounded_channel();
    loop {
        tokio::select! {
            () = far.reached(Stage::Retiring) => return,
            Some(number) = ended.recv() => table.ended(number),
            () = at(table.alarm()) => {}
        }
        while let Some(due) = table.due(Instant::now()) {
            match due {
                Due::Begins(number) => begin(&far, number, &ends),
                Due::Overlaps(number) => {
                    warn!("task {}: it still runs and is not begun again", title(&tasks[number]));
                }
            }
        }
    }
}

fn begin(far: &Rc<Far>, number: usize, ends: &UnboundedSender<usize>) {
    let (far, ends) = (Rc::clone(far), ends.clone());
    spawn_local(async move {
        run(&far, &far.settings().tasks[number]).await;
        // Nobody counts tasks any more when the far end retires.
        ends.send(number).ok();
    });
}

async fn run(far: &Far, task: &TaskSettings) {
    let began = Instant::now();
    let process = match far.start(&task.run, None) {
        Ok(process) => process,
        Err(unstarted) => return warn!("task {}: {unstarted}", title(task)),
    };
    match to_the_end(far, task, process).await {
        Exit::Status(0) => info!("task {}: done in {} ms", title(task), began.elapsed().as_millis()),
        exit => warn!("task {}: {exit} after {} ms", title(task), began.elapsed().as_millis()),
    }
}

async fn to_the_end(far: &Far, task: &TaskSettings, mut process: Process) -> Exit {
    let mut life = Life::new(task.grace);
    life.bind(Instant::now() + task.timeout);
    process.input = None;
    let (mut nobody_looks, mut listens) = ([0; 4096], true);
    loop {
        let Process { output, end, .. } = &mut process;
        tokio::select! {
            exit = end.wait() => return exit,
            count = output.read(&mut nobody_looks), if listens => listens = matches!(count, Ok(1..)),
            () = far.halted(), if !life.is_ending() => if life.end(Instant::now()) {
                process.suffer(Fate::Term);
            },
            () = at(life.alarm()) => if let Some(due) = life.due(Instant::now()) {
                if due == Fate::Overrun {
                    warn!("task {}: it takes longer than its timeout and is ended", title(task));
                }
                process.suffer(due);
            },
        }
    }
}

fn title(task: &TaskSettings) -> String {
    task.run.join(" ").chars().take(80).collect()
}
