//! One requester: sends a request, waits for the reply, sends the next. No event loop in between.

use std::io;
use std::time::Instant;

use super::{Exchange, Load, Run, Stream};
use crate::contender::Door;
use crate::measure::Meter;

pub(crate) fn alone(door: &Door, exchange: &Exchange, load: &Load, meter: &mut Meter) -> io::Result<Run> {
    let (mut stream, mut buffer) = (Stream::connect(door)?, vec![0; 256 << 10]);
    let mut ask = |run: &mut Run, until: Instant| {
        loop {
            let begun = Instant::now();
            stream.ask(&exchange.request, &exchange.reply, &mut buffer)?;
            let now = Instant::now();
            run.note(now - begun, 1);
            if now >= until {
                return io::Result::Ok(());
            }
        }
    };
    let (mut before, mut run) = (Run::new(), Run::new());
    ask(&mut before, Instant::now() + load.warm_up)?;
    meter.begin();
    let begun = Instant::now();
    ask(&mut run, begun + load.time)?;
    run.time = begun.elapsed();
    meter.end();
    run.in_all = before.answered + run.answered;
    Ok(run)
}
