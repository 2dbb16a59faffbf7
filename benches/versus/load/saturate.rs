//! Each requester sends its next batch as soon as the last one is answered.

use std::io;
use std::time::{Duration, Instant};

use super::alone::alone;
use super::crowd::Crowd;
use super::{Exchange, Load, Run, Stream};
use crate::contender::Door;
use crate::measure::Meter;

/// What is owed when it ends must come within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// A single one is a plain blocking program; many are turns of one event loop.
pub(crate) fn saturate(doors: &[Door], exchange: &Exchange, load: &Load, meter: &mut Meter) -> io::Result<Run> {
    if load.requesters == 1 && load.pipeline == 1 {
        return alone(&doors[0], exchange, load, meter);
    }
    let mut crowd = Crowd::connect(doors, exchange, load)?;
    let mut run = Run::new();
    for number in 0..load.requesters {
        crowd.send(number, Instant::now())?;
    }
    let mut before = Run::new();
    drive(&mut crowd, load, Instant::now() + load.warm_up, &mut before)?;
    meter.begin();
    let begun = Instant::now();
    drive(&mut crowd, load, begun + load.time, &mut run)?;
    run.time = begun.elapsed();
    meter.end();
    let after = finish(&mut crowd, load)?;
    run.in_all = before.answered + run.answered + after;
    Ok(run)
}

/// Requesters that are connected and say nothing; they stay until dropped.
pub(crate) fn idle(doors: &[Door], requesters: usize) -> io::Result<Vec<Stream>> {
    doors.iter().cycle().take(requesters).map(Stream::connect).collect()
}

fn drive(crowd: &mut Crowd, load: &Load, until: Instant, run: &mut Run) -> io::Result<()> {
    loop {
        crowd.turn()?;
        let mut answered = std::mem::take(&mut crowd.answered);
        for (number, begun) in answered.drain(..) {
            let now = Instant::now();
            run.note(now - begun, load.pipeline as u64);
            crowd.send(number, now)?;
        }
        crowd.answered = answered;
        if Instant::now() >= until {
            return Ok(());
        }
    }
}

/// Waits for what is owed, so that the next contender finds a host with nothing to do.
fn finish(crowd: &mut Crowd, load: &Load) -> io::Result<u64> {
    let begun = Instant::now();
    let mut batches = 0;
    while crowd.waiting > 0 {
        crowd.turn()?;
        batches += crowd.answered.drain(..).count();
        if begun.elapsed() > PATIENCE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "replies are still owed"));
        }
    }
    Ok((batches * load.pipeline) as u64)
}
