//! Requesters that connect, ask once and leave, one after the other: the life of a PHP page or of a cron job.

use std::io;
use std::time::Instant;

use super::{Exchange, Load, Run, Stream};
use crate::contender::Door;
use crate::measure::Meter;

pub(crate) fn oneshot(door: &Door, exchange: &Exchange, load: &Load, meter: &mut Meter) -> io::Result<Run> {
    let (mut before, mut run) = (Run::new(), Run::new());
    live(door, exchange, Instant::now() + load.warm_up, &mut before)?;
    meter.begin();
    let begun = Instant::now();
    live(door, exchange, begun + load.time, &mut run)?;
    run.time = begun.elapsed();
    meter.end();
    run.in_all = before.answered + run.answered;
    Ok(run)
}

fn live(door: &Door, exchange: &Exchange, until: Instant, run: &mut Run) -> io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let begun = Instant::now();
        Stream::connect(door)?.ask(&exchange.request, &exchange.reply, &mut buffer)?;
        let now = Instant::now();
        run.note(now - begun, 1);
        if now >= until {
            return Ok(());
        }
    }
}
