//! Deadlines of things that all have the same time to live, so that the first to come is the first to expire.
//!
//! Enters: keys with the time at which they expire. Leaves: the first one. Promised: adding, removing and looking at
//! the first take constant time; one timer for all of them is enough.

use std::time::Instant;

/// No neighbour.
const NONE: u32 = u32::MAX;

/// A list of keys in the order of their deadlines, linked through a table indexed by the key.
#[derive(Debug)]
pub struct Deadlines {
    links: Vec<Link>,
    first: u32,
    last: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
    /// `None` while the key is not in the list; its neighbours then mean nothing.
    at: Option<Instant>,
}

const UNLINKED: Link = Link { before: NONE, after: NONE, at: None };

impl Default for Deadlines {
    fn default() -> Self {
        Self { links: Vec::new(), first: NONE, last: NONE }
    }
}

impl Deadlines {
    /// Adds `key`, or moves it if it is there. Cheap when `at` is not before the last one's, which is the rule; else it
    /// is walked to its place, so that the order holds whatever happens.
    #[inline]
    pub fn insert(&mut self, key: u32, at: Instant) {
        let index = key as usize;
        if self.links.len() <= index {
            self.links.resize(index + 1, UNLINKED);
        } else if self.links[index].at.is_some() {
            self.remove(key);
        }
        let last = self.last;
        if last != NONE && self.links[last as usize].at > Some(at) {
            return self.insert_before_last(key, at);
        }
        self.links[index] = Link { before: last, after: NONE, at: Some(at) };
        self.join(last, key, true);
        self.last = key;
    }

    fn insert_before_last(&mut self, key: u32, at: Instant) {
        let mut before = self.last;
        while before != NONE && self.links[before as usize].at > Some(at) {
            before = self.links[before as usize].before;
        }
        let after = if before == NONE { self.first } else { self.links[before as usize].after };
        self.links[key as usize] = Link { before, after, at: Some(at) };
        self.join(before, key, true);
        self.join(after, key, false);
    }

    /// Takes `key` out. Returns whether it was in.
    #[inline]
    pub fn remove(&mut self, key: u32) -> bool {
        let Some(link) = self.links.get_mut(key as usize) else { return false };
        if link.at.take().is_none() {
            return false;
        }
        let (before, after) = (link.before, link.after);
        self.join(before, after, true);
        self.join(after, before, false);
        true
    }

    /// The first to expire, and when.
    #[must_use]
    pub fn first(&self) -> Option<(u32, Instant)> {
        let link = self.links.get(self.first as usize)?;
        link.at.map(|at| (self.first, at))
    }

    /// Takes out the first one if it has expired by `now`.
    pub fn pop_expired(&mut self, now: Instant) -> Option<u32> {
        let (key, at) = self.first()?;
        if at > now {
            return None;
        }
        self.remove(key);
        Some(key)
    }

    /// When `key` expires, if it is in.
    #[must_use]
    pub fn at(&self, key: u32) -> Option<Instant> {
        self.links.get(key as usize)?.at
    }

    /// Makes `to` the neighbour of `of`, behind it or before it; the list's end if there is no `of`.
    #[inline]
    fn join(&mut self, of: u32, to: u32, behind: bool) {
        match (of, behind) {
            (NONE, true) => self.first = to,
            (NONE, false) => self.last = to,
            (_, true) => self.links[of as usize].after = to,
            (_, false) => self.links[of as usize].before = to,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain sorted list.
        #[test]
        fn the_first_is_always_the_earliest(steps in prop::collection::vec((0u32..20, 0u64..50, 0u8..3), 1..200)) {
            let start = Instant::now();
            let (mut list, mut model) = (Deadlines::default(), Vec::<(u32, Instant)>::new());
            for (key, offset, what) in steps {
                let at = start + Duration::from_millis(offset);
                match what {
                    0 => {
                        model.retain(|(k, _)| *k != key);
                        let place = model.iter().rposition(|(_, t)| *t <= at).map_or(0, |p| p + 1);
                        model.insert(place, (key, at));
                        list.insert(key, at);
                    }
                    1 => {
                        let was = model.iter().any(|(k, _)| *k == key);
                        model.retain(|(k, _)| *k != key);
                        prop_assert_eq!(list.remove(key), was);
                    }
                    _ => {
                        let expired = model.first().is_some_and(|(_, t)| *t <= at).then(|| model.remove(0).0);
                        prop_assert_eq!(list.pop_expired(at), expired);
                    }
                }
                prop_assert_eq!(list.first(), model.first().copied());
            }
        }
    }
}
