//! A trace: reads and changes of keys in the order of their times, and the capacity of the cache that they meet.
use crate::dice::{Dice, Zipf, spread};

/// What one kind of entry may take in L1, and its name in the table.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub capacity: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Read,
    /// A commit changes the row of the key.
    Change,
}

/// `bytes` is the payload's size, the same for every step of a key.
#[derive(Clone, Copy)]
pub struct Step {
    pub at_ms: u32,
    pub key: u32,
    pub bytes: u16,
    pub kind: u8,
    pub what: What,
}

pub struct Trace {
    pub name: &'static str,
    pub kinds: Vec<Kind>,
    pub steps: Vec<Step>,
}

const KEYS: u32 = 1_000_000;
/// Room for about a tenth of the keys.
const ONE_TENTH: u64 = 64 << 20;
const PAYLOAD: u16 = 400;

/// Reads of a million keys, one each 10 us; one in 1,000 steps changes a key that is drawn by the same law, as what is
/// read most is changed most.
pub fn zipf(name: &'static str, exponent: f64, reads: u32) -> Trace {
    let (law, mut dice) = (Zipf::new(KEYS, exponent), Dice::new(11));
    let mut steps = Vec::with_capacity(reads as usize);
    for number in 0..reads {
        let what = if dice.hits(0.001) { What::Change } else { What::Read };
        steps.push(step(number / 100, law.rank(&mut dice), what));
    }
    Trace { name, kinds: one_kind(), steps }
}

/// The zipf 0.99 trace with every key read once in order, from a third on, one scan read for each two others: an export
/// that walks through all rows.
pub fn scan(reads: u32) -> Trace {
    let mut plain = zipf("zipf 0.99 + scan", 0.99, reads);
    let begin = plain.steps.len() / 3;
    let tail = plain.steps.split_off(begin);
    let mut scanned = 0;
    for (number, each) in tail.into_iter().enumerate() {
        plain.steps.push(each);
        if number % 2 == 0 && scanned < KEYS {
            plain.steps.push(step(each.at_ms, scanned, What::Read));
            scanned += 1;
        }
    }
    plain
}

fn one_kind() -> Vec<Kind> {
    vec![Kind { name: "row", capacity: ONE_TENTH }]
}

/// Ranks are spread over the keys, so that neighbours in the key are unrelated.
fn step(at_ms: u32, rank: u32, what: What) -> Step {
    Step { at_ms, key: spread(u64::from(rank)) as u32, bytes: PAYLOAD, kind: 0, what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_in_the_order_of_its_times() {
        for trace in [zipf("z", 0.9, 30_000), scan(30_000), crate::day::flash_sale_day(50)] {
            assert!(trace.steps.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "{}", trace.name);
            assert!(trace.steps.len() > 20_000, "{}", trace.name);
        }
    }

    #[test]
    fn a_scan_reads_keys_that_nothing_else_reads() {
        let distinct =
            |trace: &Trace| trace.steps.iter().map(|step| step.key).collect::<std::collections::HashSet<_>>();
        assert!(distinct(&scan(60_000)).len() > distinct(&zipf("z", 0.99, 60_000)).len() + 5_000);
    }
}
