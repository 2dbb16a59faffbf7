//! The reaper: learns how processes end, and lets nothing of them live on.
//!
//! Enters: the processes that were started, and SIGCHLD. Leaves: how each ended. Promised: no zombie; when a process ends,
//! what is left of its group is killed before its number can be anybody else's; what has left its group and lost its
//! parent is killed as well; a signal reaches the group it is meant for, or nobody.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpgid, getpgrp};
use tokio::signal::unix::{Signal as Ended, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::output::Exit;
use crate::system::program;

/// How often strays are looked for while anything runs. Mostly the end of a process tells of them.
const LOOK: Duration = Duration::from_secs(1);

/// How long the end of everything is waited for. A killed process that does not end hangs in the kernel.
const LAST: Duration = Duration::from_secs(5);

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Reaper {
    leaders: RefCell<HashMap<Pid, oneshot::Sender<Exit>>>,
    /// Strays that have been killed and not yet reaped.
    killed: RefCell<HashSet<Pid>>,
}

impl Reaper {
    /// Begins: from now on the children of this process are reaped, and orphans become such. Needs a `LocalSet`.
    ///
    /// # Errors
    /// When SIGCHLD cannot be listened to.
    pub fn begin() -> io::Result<Rc<Self>> {
        program::adopt_orphans()?;
        let (reaper, ended) = (Rc::new(Self::default()), signal(SignalKind::child())?);
        tokio::task::spawn_local(Rc::clone(&reaper).serve(ended));
        Ok(reaper)
    }

    /// Takes care of a process that was started in this turn of the event loop; tells how it ends.
    pub fn watch(&self, leader: Pid) -> oneshot::Receiver<Exit> {
        let (tell, told) = oneshot::channel();
        self.leaders.borrow_mut().insert(leader, tell);
        told
    }

    /// Sends a signal to the group of a process, unless it has ended.
    pub fn signal(&self, leader: Pid, signal: Signal) {
        if self.leaders.borrow().contains_key(&leader) {
            // It has not been waited for, so that the number is still its own.
            killpg(leader, signal).ok();
        }
    }

    /// How many processes have not ended.
    #[must_use]
    pub fn count(&self) -> usize {
        self.leaders.borrow().len()
    }

    /// Reaps whenever something ends. Never ends itself.
    async fn serve(self: Rc<Self>, mut ended: Ended) {
        loop {
            tokio::select! {
                _ = ended.recv() => {}
                () = tokio::time::sleep(LOOK), if self.count() > 0 => {}
            }
            self.reap();
            self.kill_strays();
        }
    }

    /// Kills all that still runs, and waits for its end.
    pub async fn finish(&self) {
        let until = Instant::now() + LAST;
        while !self.has_no_child() && Instant::now() < until {
            for leader in self.leaders.borrow().keys() {
                killpg(*leader, Signal::SIGKILL).ok();
            }
            self.reap();
            self.kill_strays();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn has_no_child(&self) -> bool {
        waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) == Err(Errno::ECHILD)
    }

    fn reap(&self) {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        while let Some(pid) = waitid(Id::All, ended).ok().and_then(|status| status.pid()) {
            let leader = self.leaders.borrow_mut().remove(&pid);
            if leader.is_some() {
                // As long as it is a zombie its group cannot be another one.
                killpg(pid, Signal::SIGKILL).ok();
            }
            self.killed.borrow_mut().remove(&pid);
            let exit = waitpid(pid, Some(WaitPidFlag::WNOHANG)).map_or(Exit::Unknown, exit_of);
            match leader {
                Some(tell) => drop(tell.send(exit)),
                None => debug!("process {pid}, left behind by a handler, has ended"),
            }
        }
    }

    /// Kills what was left behind and has taken itself out of its group. Its own children are found when it has ended.
    fn kill_strays(&self) {
        let leaders = self.leaders.borrow();
        for stray in program::children().into_iter().filter(|pid| !leaders.contains_key(pid)) {
            // One that is still in a group of ours ends with it.
            if let Ok(group) = getpgid(Some(stray))
                && !leaders.contains_key(&group)
                && self.killed.borrow_mut().insert(stray)
            {
                warn!("process {stray} was left behind by a handler and is killed");
                kill(stray, Signal::SIGKILL).ok();
                if group != getpgrp() {
                    killpg(group, Signal::SIGKILL).ok();
                }
            }
        }
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match status {
        WaitStatus::Exited(_, status) => Exit::Status(status),
        WaitStatus::Signaled(_, signal, _) => Exit::Signal(signal as i32),
        _ => Exit::Unknown,
    }
}
