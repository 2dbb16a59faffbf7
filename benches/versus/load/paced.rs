//! Requests that arrive at a fixed rate, whether or not the earlier ones are answered.
//!
//! Promised: a latency counts from the moment at which the request was due, not from that at which a requester was free to
//! send it: what one slow reply holds up is seen in all that wait behind it.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::crowd::Crowd;
use super::{Exchange, Load, Run};
use crate::contender::Door;
use crate::measure::Meter;

/// When the next request is due, and those that are due and wait for a free requester.
struct Arrivals {
    next: Instant,
    interval: Duration,
    due: VecDeque<Instant>,
    free: Vec<usize>,
}

/// `rate` in requests per second, over all requesters.
pub(crate) fn paced(
    doors: &[Door],
    exchange: &Exchange,
    (load, rate): (&Load, f64),
    meter: &mut Meter,
) -> io::Result<Run> {
    let mut crowd = Crowd::connect(doors, exchange, load)?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
    timer.set(Expiration::Interval(TimeSpec::from(interval)), TimerSetTimeFlags::empty())?;
    crowd.watch(&timer)?;
    let free = (0..load.requesters).rev().collect();
    let mut arrivals = Arrivals { next: Instant::now(), interval, due: VecDeque::new(), free };
    let (mut before, mut run) = (Run::new(), Run::new());
    drive((&mut crowd, &timer), &mut arrivals, Instant::now() + load.warm_up, &mut before)?;
    meter.begin();
    let begun = Instant::now();
    drive((&mut crowd, &timer), &mut arrivals, begun + load.time, &mut run)?;
    run.time = begun.elapsed();
    meter.end();
    run.in_all = before.answered + run.answered;
    Ok(run)
}

fn drive(
    (crowd, timer): (&mut Crowd, &TimerFd),
    arrivals: &mut Arrivals,
    until: Instant,
    run: &mut Run,
) -> io::Result<()> {
    loop {
        if crowd.turn()? {
            timer.wait().or_else(|error| if error == nix::errno::Errno::EAGAIN { Ok(()) } else { Err(error) })?;
        }
        let now = Instant::now();
        for (number, due) in crowd.answered.drain(..) {
            run.note(now - due, 1);
            arrivals.free.push(number);
        }
        arrivals.come(now);
        while let Some((number, due)) = arrivals.assign() {
            crowd.send(number, due)?;
        }
        if now >= until {
            return Ok(());
        }
    }
}

impl Arrivals {
    fn come(&mut self, now: Instant) {
        while self.next <= now {
            self.due.push_back(self.next);
            self.next += self.interval;
        }
    }

    /// The next request that is due, for a requester that is free.
    fn assign(&mut self) -> Option<(usize, Instant)> {
        let due = *self.due.front()?;
        let number = self.free.pop()?;
        self.due.pop_front();
        Some((number, due))
    }
}
