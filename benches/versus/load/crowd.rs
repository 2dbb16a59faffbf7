//! Many requesters in one thread, over one epoll.
//!
//! Enters: which requester sends when. Leaves: which were answered. Promised: one read per readiness, one write per batch
//! where the socket takes it; the replies are compared as they come.

use std::io::{self, ErrorKind, Write};
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::timerfd::TimerFd;

use super::stream::{Stream, check};
use super::{Exchange, Load};
use crate::contender::Door;

/// The number of the timer among the requesters' numbers.
const TIMER: u64 = u64::MAX;

/// Bytes of one read.
const BUFFER: usize = 256 << 10;

struct Requester {
    stream: Stream,
    /// Bytes of the batch that were written, and of its replies that were read.
    sent: usize,
    got: usize,
    begun: Instant,
}

/// See the head of this file.
pub(crate) struct Crowd {
    epoll: Epoll,
    requesters: Vec<Requester>,
    batch: Exchange,
    buffer: Vec<u8>,
    /// Who was answered in the last turn, and when that batch had begun.
    pub(crate) answered: Vec<(usize, Instant)>,
    /// How many wait for replies.
    pub(crate) waiting: usize,
}

impl Crowd {
    /// Connects all, in turns over the doors.
    pub(crate) fn connect(doors: &[Door], exchange: &Exchange, load: &Load) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut requesters = Vec::with_capacity(load.requesters);
        for (number, door) in (0..load.requesters).zip(doors.iter().cycle()) {
            let stream = Stream::connect(door)?;
            stream.set_nonblocking()?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
            requesters.push(Requester { stream, sent: 0, got: 0, begun: Instant::now() });
        }
        let batch = exchange.times(load.pipeline);
        Ok(Self { epoll, requesters, batch, buffer: vec![0; BUFFER], answered: Vec::new(), waiting: 0 })
    }

    pub(crate) fn watch(&self, timer: &TimerFd) -> io::Result<()> {
        Ok(self.epoll.add(timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?)
    }

    /// Begins a batch.
    pub(crate) fn send(&mut self, number: usize, begun: Instant) -> io::Result<()> {
        let requester = &mut self.requesters[number];
        (requester.sent, requester.got, requester.begun) = (0, 0, begun);
        self.waiting += 1;
        if !requester.write(&self.batch.request)? {
            self.listen(number, EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT)?;
        }
        Ok(())
    }

    /// Waits until something has happened, at most 100 ms, and does what is to be done. Says whether the timer is due.
    pub(crate) fn turn(&mut self) -> io::Result<bool> {
        let mut events = [EpollEvent::empty(); 256];
        let count = match self.epoll.wait(&mut events, EpollTimeout::from(100u8)) {
            Err(nix::errno::Errno::EINTR) => 0,
            waited => waited?,
        };
        let mut due = false;
        for event in &events[..count] {
            match event.data() {
                TIMER => due = true,
                number => self.attend(usize::try_from(number).map_err(io::Error::other)?, event.events())?,
            }
        }
        Ok(due)
    }

    fn attend(&mut self, number: usize, what: EpollFlags) -> io::Result<()> {
        if what.contains(EpollFlags::EPOLLOUT) && self.requesters[number].write(&self.batch.request)? {
            self.listen(number, EpollFlags::EPOLLIN)?;
        }
        if !what.contains(EpollFlags::EPOLLIN) {
            return Ok(());
        }
        let requester = &mut self.requesters[number];
        if requester.read(&self.batch.reply, &mut self.buffer)? {
            self.answered.push((number, requester.begun));
            self.waiting -= 1;
        }
        Ok(())
    }

    fn listen(&self, number: usize, to: EpollFlags) -> io::Result<()> {
        Ok(self.epoll.modify(&self.requesters[number].stream, &mut EpollEvent::new(to, number as u64))?)
    }
}

impl Requester {
    /// Says whether all is written.
    fn write(&mut self, batch: &[u8]) -> io::Result<bool> {
        while self.sent < batch.len() {
            match self.stream.write(&batch[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Says whether the last reply is complete.
    fn read(&mut self, reply: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        use std::io::Read;
        let count = match self.stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        check(&buffer[..count], reply, self.got)?;
        self.got += count;
        Ok(self.got == reply.len())
    }
}
