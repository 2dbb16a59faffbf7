//! What must be true after the killing.
//!
//! Enters: what each requester was told, what arrived at the host and when something broke. Leaves: a panic that names
//! the first untruth.

use std::collections::{HashMap, HashSet};

use super::requesters::Told;

/// The rows whose end is recorded in one commit (`src/spool/replay.rs`). Those on their way come besides.
const RECORDED: usize = 64;

/// All that is known of a run.
pub(crate) struct Evidence {
    /// What each requester was told, in the order in which it was accepted.
    pub(crate) acknowledged: Vec<Vec<(u64, Told)>>,
    /// Place in the list and tag of every arrival of a deferred request.
    pub(crate) arrivals: Vec<(u64, u64)>,
    /// Places in the list at which a process was killed or the host went away, in order.
    pub(crate) breaks: Vec<u64>,
    /// First tries that can have been in doubt at a break.
    pub(crate) connections: usize,
    /// Replays on their way at once.
    pub(crate) window: usize,
}

/// What a run has shown, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) replies: usize,
    pub(crate) delayed: usize,
    pub(crate) repeated: usize,
    pub(crate) most_repeated_after_a_break: usize,
}

impl Evidence {
    /// Judges it all.
    pub(crate) fn judge(&self) -> Figures {
        let (first, last) = (self.places(false), self.places(true));
        for acknowledged in &self.acknowledged {
            assert_arrived_in_order(acknowledged, &first);
        }
        let mut by_id: Vec<(u64, u64)> = self.told().filter_map(|(tag, told)| Some((told.id()?, tag))).collect();
        by_id.sort_unstable();
        for pair in by_id.windows(2) {
            let ((id, tag), (next_id, next_tag)) = (pair[0], pair[1]);
            assert_ne!(id, next_id, "<{tag}> and <{next_tag}> were stored under the same ID");
            // The last time, for what was in doubt may have arrived before its turn, and then arrives once more.
            assert!(last[&tag] < last[&next_tag], "{id} <{tag}> arrived after {next_id} <{next_tag}>");
        }
        let repeated = self.repeated();
        let most = repeated.iter().copied().max().unwrap_or(0);
        assert!(most <= RECORDED + self.window + self.connections, "{most} arrived twice after one break");
        let delayed = by_id.len();
        let replies = self.told().count() - delayed;
        Figures { replies, delayed, repeated: repeated.iter().sum(), most_repeated_after_a_break: most }
    }

    fn told(&self) -> impl Iterator<Item = (u64, Told)> + '_ {
        self.acknowledged.iter().flatten().copied()
    }

    /// Where each tag arrived the first or the last time.
    fn places(&self, last: bool) -> HashMap<u64, u64> {
        let mut places = HashMap::new();
        for (place, tag) in &self.arrivals {
            let known = places.entry(*tag).or_insert(*place);
            if last {
                *known = *place;
            }
        }
        places
    }

    /// How many arrived once more between one break and the next. Nothing does so twice, but for what a host reads after
    /// a break from connections of before.
    fn repeated(&self) -> Vec<usize> {
        let (mut seen, mut here, mut counts) = (HashSet::new(), HashSet::new(), vec![0]);
        let mut late = 0;
        let mut breaks = self.breaks.iter().peekable();
        for (place, tag) in &self.arrivals {
            while breaks.next_if(|at| *at <= place).is_some() {
                counts.push(0);
                here.clear();
                late = 0;
            }
            if !seen.insert(*tag) {
                *counts.last_mut().expect("there is one") += 1;
                late += usize::from(!here.insert(*tag));
                assert!(late <= self.connections, "<{tag}> was sent twice although nothing had broken");
            }
        }
        counts
    }
}

impl Told {
    fn id(self) -> Option<u64> {
        match self {
            Self::Delayed(id) => Some(id),
            Self::Reply => None,
        }
    }
}

/// Of one requester: everything arrived, and in the order of acceptance; IDs grow.
fn assert_arrived_in_order(acknowledged: &[(u64, Told)], first: &HashMap<u64, u64>) {
    let (mut before, mut id_before) = (None, 0);
    for (tag, told) in acknowledged {
        let place = *first.get(tag).unwrap_or_else(|| panic!("<{tag}> was acknowledged ({told:?}) and never arrived"));
        assert!(before < Some(place), "<{tag}> ({told:?}) arrived before what the same requester had written earlier");
        before = Some(place);
        if let Some(id) = told.id() {
            assert!(id > id_before, "<{tag}> has the ID {id}, after {id_before}");
            id_before = id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(arrived: &[u64], breaks: &[u64], told: &[(u64, Told)]) -> Evidence {
        let arrivals = arrived.iter().zip(0..).map(|(tag, place)| (place, *tag)).collect();
        Evidence { acknowledged: vec![told.to_vec()], arrivals, breaks: breaks.to_vec(), connections: 1, window: 1 }
    }

    #[test]
    fn what_was_in_doubt_at_a_break_may_come_again() {
        let told = [(1, Told::Reply), (2, Told::Delayed(1)), (3, Told::Delayed(2))];
        let figures = evidence(&[1, 2, 3, 2, 3], &[3], &told).judge();
        assert_eq!((figures.replies, figures.delayed, figures.repeated), (1, 2, 2));
    }

    #[test]
    #[should_panic(expected = "<2> was acknowledged (Delayed(1)) and never arrived")]
    fn what_is_lost_is_found() {
        evidence(&[1], &[], &[(1, Told::Reply), (2, Told::Delayed(1))]).judge();
    }

    #[test]
    #[should_panic(expected = "<3> was sent twice although nothing had broken")]
    fn what_came_twice_without_need_is_found() {
        evidence(&[2, 3, 2, 3, 2, 3], &[2], &[(2, Told::Delayed(1)), (3, Told::Delayed(2))]).judge();
    }

    #[test]
    #[should_panic(expected = "<3> (Delayed(2)) arrived before what the same requester had written earlier")]
    fn a_wrong_order_is_found() {
        evidence(&[3, 2], &[], &[(2, Told::Delayed(1)), (3, Told::Delayed(2))]).judge();
    }
}
