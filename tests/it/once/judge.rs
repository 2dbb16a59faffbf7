//! What must be true of a run: nothing twice, nothing lost, each requester's in its order.

use std::collections::{HashMap, HashSet};

use crate::spool_kills::requesters::Told;

/// All that is known of a run.
pub(super) struct Evidence {
    /// What each requester was told, in the order in which it was accepted.
    pub(super) acknowledged: Vec<Vec<(u64, Told)>>,
    /// The numbers of the requests that were executed, in that order.
    pub(super) executed: Vec<u64>,
    /// The numbers of those that wait for the operator, for nobody knows whether they were.
    pub(super) doubted: HashSet<u64>,
}

impl Evidence {
    /// Judges it all. Returns how many were answered at once, and how many were stored.
    pub(super) fn judge(&self) -> (usize, usize) {
        let mut places = HashMap::new();
        for (place, number) in self.executed.iter().enumerate() {
            assert_eq!(places.insert(*number, place), None, "<{number}> was executed twice");
        }
        for acknowledged in &self.acknowledged {
            self.judge_one(acknowledged, &places);
        }
        let told = || self.acknowledged.iter().flatten();
        let delayed = told().filter(|(_, told)| matches!(told, Told::Delayed(_))).count();
        (told().count() - delayed, delayed)
    }

    fn judge_one(&self, acknowledged: &[(u64, Told)], places: &HashMap<u64, usize>) {
        let mut before = None;
        for (number, told) in acknowledged {
            match places.get(number) {
                Some(place) => {
                    assert!(before < Some(place), "<{number}> ({told:?}) was executed before what was written earlier");
                    before = Some(place);
                }
                None => assert!(self.doubted.contains(number), "<{number}> ({told:?}) was never executed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(executed: &[u64], told: &[(u64, Told)]) -> (usize, usize) {
        let (acknowledged, executed) = (vec![told.to_vec()], executed.to_vec());
        Evidence { acknowledged, executed, doubted: HashSet::from([7]) }.judge()
    }

    #[test]
    fn what_was_acknowledged_is_executed_once_and_in_order_or_known_to_be_in_doubt() {
        let told = [(1, Told::Reply), (7, Told::Delayed(4)), (2, Told::Delayed(5))];
        assert_eq!(evidence(&[1, 9, 2], &told), (1, 2));
    }

    #[test]
    #[should_panic(expected = "<1> was executed twice")]
    fn what_came_twice_is_found() {
        evidence(&[1, 2, 1], &[]);
    }

    #[test]
    #[should_panic(expected = "<2> (Delayed(3)) was never executed")]
    fn what_is_lost_is_found() {
        evidence(&[1], &[(1, Told::Reply), (2, Told::Delayed(3))]);
    }

    #[test]
    #[should_panic(expected = "<2> (Reply) was executed before what was written earlier")]
    fn a_wrong_order_is_found() {
        evidence(&[2, 1], &[(1, Told::Reply), (2, Told::Reply)]);
    }
}
