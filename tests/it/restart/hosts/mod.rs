//! A storm of HUPs in which hosts are added, removed and changed at random, against a model of which children must be
//! replaced by that. Requesters of the hosts that stay notice nothing, though their children are replaced as well.

mod model;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tieline::dialect::Dialect;

use model::{Fate, World};

use super::crowd::{Crowd, assert_is_reply};
use super::hups;
use super::stage::{Stage, cache, far, settings};
use crate::common::{ChaosHost, Machine, Requester, pids, tag};

/// Those that come and go; their requests have tags of their own.
const GUESTS: [&str; 6] = ["guest-a", "guest-b", "guest-c", "guest-d", "guest-e", "guest-f"];

/// The daemon, and what it is told to do.
struct Hotel {
    stage: Stage,
    /// Where guests may lead.
    far_ends: [ChaosHost; 2],
    world: World,
    asked: u64,
}

impl Hotel {
    fn new() -> Self {
        let far_ends = [ChaosHost::start(Dialect::Line), ChaosHost::start(Dialect::Line)];
        Self { stage: Stage::new(), far_ends, world: World::default(), asked: 0 }
    }

    /// Changes the world at random, writes it down and restarts the daemon.
    fn turn(&mut self) {
        self.world.change(&GUESTS);
        self.write();
        self.stage.daemon.restart();
        self.world.restarted();
    }

    fn write(&self) {
        let Stage { host, redis, place, .. } = &self.stage;
        let (ours, common) = (&self.world.residents, format!("{}\n{}", settings(), self.world.common()));
        let mut lines = vec![far(host, &ours["far"].options()), cache(redis, &ours["cache"].options())];
        for (name, spec) in &self.world.guests {
            lines.push(format!("{name} {} line {}", self.far_ends[spec.far_end].address(), spec.options()));
        }
        fastrand::shuffle(&mut lines);
        place.set_hosts(&lines);
        let head = "[daemon]\nrun_dir = \"run\"\nspool_dir = \"spool\"\nhosts_tab = \"hosts.tab\"\n";
        place.replace("tieline.toml", &format!("{head}{common}\n"));
    }

    /// Waits until all is done, and compares it with the model: children, sockets, rights. `known` is what served when
    /// it was compared the last time.
    fn compare(&mut self, known: &mut BTreeMap<String, i64>) {
        let now = pids(&self.settle());
        let names: Vec<String> = now.keys().cloned().collect();
        assert_eq!(names, self.world.names(), "the hosts that are served");
        for (name, pid) in &now {
            match (known.get(name), self.world.fate(name)) {
                (Some(before), Fate::Stays) => {
                    assert_eq!(pid, before, "{name} has not changed: {:?}", self.world);
                }
                (Some(before), Fate::Replaced | Fate::Gone) => {
                    assert_ne!(pid, before, "{name} has changed: {:?}", self.world);
                }
                (None, _) | (_, Fate::Either) => {}
            }
        }
        self.compare_sockets();
        self.ask_guests();
        self.world.compared();
        *known = now;
    }

    fn settle(&self) -> Value {
        let status = self.stage.daemon.settle();
        let titles: Vec<String> = self.stage.place.processes().iter().map(|process| process.command_line()).collect();
        let count = |what: &str| status[what].as_array().map_or(0, Vec::len);
        assert_eq!(titles.len(), count("hosts") + count("services") + 1, "{titles:?}");
        status
    }

    fn compare_sockets(&self) {
        let place = &self.stage.place;
        for name in GUESTS {
            let spec = self.world.guests.get(name);
            assert_eq!(mode(&place.socket(name)), spec.map(|spec| spec.mode), "mode of the socket of {name}");
            let deferred = spec.filter(|spec| spec.deferred).map(|spec| spec.mode);
            assert_eq!(mode(&place.deferred_socket(name)), deferred, "mode of the deferred socket of {name}");
        }
    }

    fn ask_guests(&mut self) {
        for (name, spec) in &self.world.guests {
            self.asked += 1;
            let (tag, place) = (tag(self.asked), &self.stage.place);
            assert_is_reply(&Requester::connect(&place.socket(name), Dialect::Line).ask(&tag), &tag);
            let arrived = self.far_ends[spec.far_end].received().contains_key(&self.asked);
            assert!(arrived, "{name} leads to the wrong host");
        }
    }
}

/// The permission bits of a file, if there is one.
fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777)
}

#[test]
fn hosts_come_go_and_change_and_exactly_the_changed_ones_get_a_new_child() {
    let _machine = Machine::alone();
    let mut hotel = Hotel::new();
    let mut known = pids(&hotel.settle());
    let crowd = Crowd::start(&hotel.stage.doors());
    crowd.storm_begins();
    let mut replaced = 0;
    for turn in 0..hups() {
        hotel.turn();
        crowd.assert_well();
        if turn % 2 == 0 || fastrand::bool() {
            let before = known.clone();
            hotel.compare(&mut known);
            replaced += known.iter().filter(|(name, pid)| before.get(*name).is_some_and(|old| old != *pid)).count();
        }
    }
    hotel.compare(&mut known);
    crowd.wait_for_answers(1_000);
    let figures = crowd.finish();
    println!("{replaced} children were replaced; {figures}");
    assert!(replaced > 0, "nothing has changed: nothing is shown");
    hotel.stage.finish(&figures);
}
