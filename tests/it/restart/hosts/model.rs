//! The model: what is configured, and which children must have been replaced since it was compared the last time. Pure
//! but for its dice.
//!
//! A child must be another one when what it was started with is no longer what is configured; mode and owner of the socket
//! do not count. What was changed and changed back between two comparisons may be either.

use std::collections::BTreeMap;

/// What `hosts.tab` says of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) far_end: usize,
    pub(super) timeout: u64,
    pub(super) deferred: bool,
    pub(super) mode: u32,
}

/// What became of the child of a host that is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Replaced,
    /// It was not configured for a while; if it is now, then as a newcomer.
    Gone,
    Either,
}

/// All that is configured, and what was when it was compared.
#[derive(Debug)]
pub(super) struct World {
    pub(super) residents: BTreeMap<&'static str, Spec>,
    pub(super) guests: BTreeMap<&'static str, Spec>,
    connect_timeout: u64,
    known: BTreeMap<&'static str, (Spec, u64)>,
    /// Of those that are known and were something else meanwhile.
    fates: BTreeMap<&'static str, Fate>,
}

impl Spec {
    fn random() -> Self {
        Self { far_end: fastrand::usize(0..2), timeout: 20, deferred: fastrand::bool(), mode: 0o660 }
    }

    fn plain() -> Self {
        Self { far_end: 0, timeout: 20, deferred: false, mode: 0o660 }
    }

    pub(super) fn options(self) -> String {
        let deferred = if self.deferred { "deferred" } else { "" };
        format!("timeout={}s mode={:o} {deferred}", self.timeout, self.mode)
    }

    fn change(&mut self) {
        match fastrand::u8(0..4) {
            0 => self.far_end = 1 - self.far_end,
            1 => self.deferred = !self.deferred,
            2 => self.timeout = 41 - self.timeout,
            _ => self.change_mode(),
        }
    }

    fn change_mode(&mut self) {
        self.mode = if self.mode == 0o660 { 0o600 } else { 0o660 };
    }

    /// As its child has it.
    fn made(self) -> Self {
        Self { mode: 0, ..self }
    }
}

impl Default for World {
    fn default() -> Self {
        let residents = BTreeMap::from([("far", Spec::plain()), ("cache", Spec::plain())]);
        let mut world = Self {
            residents,
            guests: BTreeMap::new(),
            connect_timeout: 10,
            known: BTreeMap::new(),
            fates: BTreeMap::new(),
        };
        world.compared();
        // The first turn writes more than a bare line: that may replace them.
        world.fates = [("far", Fate::Either), ("cache", Fate::Either)].into();
        world
    }
}

impl World {
    /// What is in `tieline.toml` besides.
    pub(super) fn common(&self) -> String {
        format!("connect_timeout = \"{}s\"", self.connect_timeout)
    }

    /// One to three random changes.
    pub(super) fn change(&mut self, names: &[&'static str]) {
        for _ in 0..fastrand::u8(1..=3) {
            let name = names[fastrand::usize(0..names.len())];
            match fastrand::u8(0..20) {
                0..7 => drop(self.guests.entry(name).or_insert_with(Spec::random)),
                7..11 => drop(self.guests.remove(name)),
                11..16 => drop(self.guests.get_mut(name).map(Spec::change)),
                16..18 => self.change_resident(),
                18 => self.connect_timeout = 21 - self.connect_timeout,
                _ => {}
            }
        }
    }

    fn change_resident(&mut self) {
        let name = if fastrand::bool() { "far" } else { "cache" };
        if let Some(spec) = self.residents.get_mut(name) {
            if fastrand::bool() { spec.timeout = 41 - spec.timeout } else { spec.change_mode() }
        }
    }

    fn configured(&self) -> BTreeMap<&'static str, (Spec, u64)> {
        let all = self.residents.iter().chain(&self.guests);
        all.map(|(name, spec)| (*name, (spec.made(), self.connect_timeout))).collect()
    }

    /// The daemon was restarted with what is configured.
    pub(super) fn restarted(&mut self) {
        let configured = self.configured();
        for (name, before) in &self.known {
            let fate = self.fates.entry(name).or_insert(Fate::Stays);
            *fate = match configured.get(name) {
                None => Fate::Gone,
                Some(_) if *fate == Fate::Gone => Fate::Gone,
                Some(now) if now == before && *fate == Fate::Stays => Fate::Stays,
                Some(now) if now == before => Fate::Either,
                _ => Fate::Replaced,
            };
        }
    }

    /// What must have become of the child that was known.
    pub(super) fn fate(&self, name: &str) -> Fate {
        self.fates.get(name).copied().unwrap_or(Fate::Stays)
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> Vec<String> {
        self.configured().into_keys().map(str::to_owned).collect()
    }

    /// All is as configured: the next comparison is with this.
    pub(super) fn compared(&mut self) {
        self.known = self.configured();
        self.fates.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_tells_apart_what_stays_what_is_replaced_and_what_was_both() {
        let mut world = World::default();
        world.compared();
        let guest = world.guests.entry("guest").or_insert_with(Spec::plain);
        guest.change_mode();
        world.restarted();
        assert_eq!(world.fate("far"), Fate::Stays);
        world.compared();
        world.guests.insert("guest", Spec { timeout: 21, ..Spec::plain() });
        world.restarted();
        assert_eq!((world.fate("guest"), world.fate("far")), (Fate::Replaced, Fate::Stays));
        world.guests.insert("guest", Spec::plain());
        world.restarted();
        assert_eq!(world.fate("guest"), Fate::Either);
        world.connect_timeout = 11;
        world.restarted();
        assert_eq!(world.fate("far"), Fate::Replaced);
        let guest = world.guests.remove("guest").expect("it was there");
        world.restarted();
        world.guests.insert("guest", guest);
        world.restarted();
        assert_eq!(world.fate("guest"), Fate::Gone);
    }
}
