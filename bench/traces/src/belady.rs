//! Belady's optimum, which knows the future: it gives up what is read latest, and keeps nothing that changes before its
//! next read. Exact where all entries weigh the same; with different weights finding the optimum is NP-hard, and this
//! is the same greedy rule, which is no bound then.
use std::collections::{BinaryHeap, HashMap};

use crate::trace::{Step, What};

const NEVER: u32 = u32::MAX;

/// Which of the steps are hits, for one kind's steps in their order.
pub fn hits(steps: &[Step], capacity: u64, weight: impl Fn(&Step) -> u64) -> Vec<bool> {
    let next = next_reads(steps);
    let mut held: HashMap<u32, (u32, u64)> = HashMap::new();
    let mut bytes = 0;
    // (next read, key); what no longer agrees with `held` is passed over.
    let mut latest: BinaryHeap<(u32, u32)> = BinaryHeap::new();
    let mut found = vec![false; steps.len()];
    for (place, step) in steps.iter().enumerate() {
        let known = held.remove(&step.key);
        if let Some((_, weight)) = known {
            bytes -= weight;
        }
        if step.what == What::Change {
            continue;
        }
        found[place] = known.is_some();
        let (again, weighs) = (next[place], weight(step));
        if again == NEVER || weighs > capacity {
            continue;
        }
        held.insert(step.key, (again, weighs));
        latest.push((again, step.key));
        bytes += weighs;
        while bytes > capacity {
            let Some((when, key)) = latest.pop() else { break };
            if held.get(&key).is_some_and(|(again, _)| *again == when)
                && let Some((_, weight)) = held.remove(&key)
            {
                bytes -= weight;
            }
        }
    }
    found
}

/// For each read the place of the key's next read, unless the key changes before it.
fn next_reads(steps: &[Step]) -> Vec<u32> {
    let mut next = vec![NEVER; steps.len()];
    let mut coming: HashMap<u32, u32> = HashMap::new();
    for (place, step) in (0u32..).zip(steps).collect::<Vec<_>>().into_iter().rev() {
        match step.what {
            What::Read => next[place as usize] = coming.insert(step.key, place).unwrap_or(NEVER),
            What::Change => {
                coming.remove(&step.key);
            }
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dice::Dice, lru::Lru};

    fn steps(keys: &[i32]) -> Vec<Step> {
        let step = |key: &i32| Step {
            at_ms: 0,
            key: key.unsigned_abs(),
            bytes: 0,
            kind: 0,
            what: if *key < 0 { What::Change } else { What::Read },
        };
        keys.iter().map(step).collect()
    }

    fn count(keys: &[i32], capacity: u64) -> usize {
        hits(&steps(keys), capacity, |_| 1).into_iter().filter(|hit| *hit).count()
    }

    #[test]
    fn the_textbook_sequence_has_its_known_hits() {
        // Belady 1966: three frames, 20 references, 9 faults (admitting every page) and so at least 11 hits.
        let keys = [7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];
        assert!(count(&keys, 3) >= 11);
    }

    #[test]
    fn a_change_before_the_next_read_makes_it_a_miss() {
        assert_eq!(count(&[1, 1, -1, 1, 1], 9), 2);
    }

    #[test]
    fn nothing_beats_it_among_all_ways_to_evict() {
        let mut dice = Dice::new(5);
        for _ in 0..60 {
            let keys: Vec<i32> = (0..12).map(|_| 1 + dice.below(5) as i32).collect();
            assert_eq!(count(&keys, 2), best(&keys, Vec::new(), 2), "{keys:?}");
        }
    }

    /// The most hits by trying every choice: keep any part of what is held and the key itself.
    fn best(keys: &[i32], held: Vec<i32>, capacity: usize) -> usize {
        let Some((key, rest)) = keys.split_first() else { return 0 };
        let hit = usize::from(held.contains(key));
        let mut all = held;
        if !all.contains(key) {
            all.push(*key);
        }
        if all.len() <= capacity {
            return hit + best(rest, all, capacity);
        }
        let without =
            |place: usize| all.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, key)| *key).collect();
        hit + (0..all.len()).map(|place| best(rest, without(place), capacity)).max().unwrap_or(0)
    }

    #[test]
    fn it_is_never_worse_than_lru() {
        let mut dice = Dice::new(6);
        let keys: Vec<i32> = (0..5_000).map(|_| 1 + (dice.below(60) * dice.below(60) / 60) as i32).collect();
        let mut lru = Lru::new(20);
        let recent = keys.iter().filter(|key| lru.read(key.unsigned_abs(), 1)).count();
        assert!(count(&keys, 20) >= recent);
    }
}
