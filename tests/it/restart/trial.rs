//! A restart on trial: one host, and a requester that stays connected whatever becomes of it.

use super::crowd::assert_is_reply;
use super::stage::OneHost;
use crate::common::{Requester, host, pids, tag};

/// The two.
pub(super) struct Trial {
    pub(super) stage: OneHost,
    requester: Requester,
    asked: u64,
}

impl Trial {
    pub(super) fn new() -> Self {
        let stage = OneHost::new("");
        let requester = stage.requester();
        let mut trial = Self { stage, requester, asked: 0 };
        trial.ask();
        trial
    }

    /// The requester is served as ever, and so is a newcomer.
    pub(super) fn ask(&mut self) {
        self.asked += 2;
        for (requester, number) in [(&mut self.requester, self.asked), (&mut self.stage.requester(), self.asked + 1)] {
            assert_is_reply(&requester.ask(&tag(number)), &tag(number));
        }
    }

    /// HUP fails; the complaint names all of `words`.
    pub(super) fn fails_with(&mut self, words: &[&str]) {
        let before = pids(&self.stage.daemon.live_status());
        let complaint = self.stage.daemon.fail_to_restart();
        for word in words {
            assert!(complaint.contains(word), "{word:?} is not named in: {complaint}");
        }
        assert_eq!(pids(&self.stage.daemon.live_status()), before, "nothing was replaced");
        let log = self.stage.place.log();
        assert!(words.iter().all(|word| log.contains(word)), "the log says it as well: {log}");
        self.ask();
    }

    /// The fault is mended: HUP works, with the build that is there now.
    pub(super) fn works_again(mut self) {
        self.stage.daemon.restart();
        self.ask();
        let status = self.stage.daemon.settle();
        assert_eq!(host(&status, "far")["version"], status["version"]);
        self.ask();
        self.stage.daemon.stop();
    }
}
