//! The units of one line, numbered from 0, as runs of equal net: a million units that cost the same are one run, and
//! each coupon adds at most two.
use smallvec::SmallVec;

use crate::split::{Share, Stack, split};

/// Mostly one or two.
pub type Runs<T> = SmallVec<[T; 2]>;

/// `count` units from unit `from` on, each with `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitRun {
    pub from: i64,
    pub count: i64,
    pub amount: i64,
}

/// Current nets of a line's units, in unit order. Empty: nobody asks for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units(Runs<Stack>);

impl Units {
    pub(crate) fn new(quantity: i64, unit_price: i64) -> Self {
        Self(smallvec::smallvec![Stack { count: quantity, net: unit_price }])
    }

    /// What the first `picked` units cost above `above` each.
    pub(crate) fn basis(&self, mut picked: i64, above: i64) -> i64 {
        let mut basis = 0;
        for run in &self.0 {
            let count = run.count.min(picked);
            basis += count * (run.net - above).max(0);
            picked -= count;
        }
        basis
    }

    /// Takes `amount` off the first `picked` units, in proportion to what each costs above `above`; what each lost,
    /// without those that lost nothing. Nothing where nobody asks for the units.
    pub(crate) fn take(&mut self, amount: i64, picked: i64, above: i64) -> Runs<UnitRun> {
        let mut taken = Runs::new();
        if self.0.is_empty() {
            return taken;
        }
        if let [run] = self.0[..]
            && picked >= run.count
        {
            // Equal units: the same share each, and the spare minor units to the first.
            let (each, plus_one) = (amount / run.count, amount % run.count);
            self.0.clear();
            self.write(&mut taken, 0, run, Share { each, plus_one });
            return taken;
        }
        let old = std::mem::take(&mut self.0);
        if picked == i64::MAX {
            // The whole line, so above nothing.
            self.spread(&mut taken, amount, &old, &old);
            return taken;
        }
        let (of_these, kept) = part(&old, picked);
        let weights: SmallVec<[Stack; 4]> =
            of_these.iter().map(|run| Stack { count: run.count, net: (run.net - above).max(0) }).collect();
        self.spread(&mut taken, amount, &of_these, &weights);
        for run in kept {
            push_left(&mut self.0, run);
        }
        taken
    }

    fn spread(&mut self, taken: &mut Runs<UnitRun>, amount: i64, runs: &[Stack], weights: &[Stack]) {
        let mut from = 0;
        for (&run, share) in runs.iter().zip(split(amount, weights)) {
            self.write(taken, from, run, share);
            from += run.count;
        }
    }

    fn write(&mut self, taken: &mut Runs<UnitRun>, mut from: i64, run: Stack, share: Share) {
        for (count, extra) in [(share.plus_one, 1), (run.count - share.plus_one, 0)] {
            if count > 0 {
                let amount = share.each + extra;
                push_taken(taken, UnitRun { from, count, amount });
                push_left(&mut self.0, Stack { count, net: run.net - amount });
                from += count;
            }
        }
    }

    /// (count, net) in ascending net.
    pub(crate) fn ascending(&self) -> Runs<(i64, i64)> {
        if let [run] = self.0[..] {
            return smallvec::smallvec![(run.count, run.net)];
        }
        let mut runs = self.0.clone();
        runs.sort_unstable_by_key(|run| run.net);
        let mut merged = Runs::new();
        for run in runs {
            push_left(&mut merged, run);
        }
        merged.into_iter().map(|run| (run.count, run.net)).collect()
    }
}

/// The runs of the first `picked` units, and the others.
fn part(runs: &[Stack], mut picked: i64) -> (Runs<Stack>, Runs<Stack>) {
    let (mut first, mut others) = (Runs::new(), Runs::new());
    for &run in runs {
        let count = run.count.min(picked);
        picked -= count;
        if count > 0 {
            first.push(Stack { count, ..run });
        }
        if count < run.count {
            others.push(Stack { count: run.count - count, ..run });
        }
    }
    (first, others)
}

fn push_taken(runs: &mut Runs<UnitRun>, run: UnitRun) {
    match runs.last_mut() {
        _ if run.amount == 0 => {}
        Some(last) if last.amount == run.amount && last.from + last.count == run.from => last.count += run.count,
        _ => runs.push(run),
    }
}

fn push_left(runs: &mut Runs<Stack>, run: Stack) {
    match runs.last_mut() {
        Some(last) if last.net == run.net => last.count += run.count,
        _ => runs.push(run),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: i64, count: i64, amount: i64) -> UnitRun {
        UnitRun { from, count, amount }
    }

    #[test]
    fn each_coupon_is_split_on_what_the_units_cost_by_then() {
        let mut units = Units::new(3, 100);
        assert_eq!(units.take(100, 3, 0)[..], [run(0, 1, 34), run(1, 2, 33)]);
        assert_eq!(units.take(100, 3, 0)[..], [run(0, 1, 33), run(1, 1, 34), run(2, 1, 33)]);
        assert_eq!(units.ascending()[..], [(2, 33), (1, 34)]);
    }

    #[test]
    fn units_that_lost_nothing_are_left_out() {
        let mut units = Units::new(5, 10);
        assert_eq!(units.take(2, 5, 0)[..], [run(0, 2, 1)]);
        assert_eq!(units.ascending()[..], [(2, 9), (3, 10)]);
    }

    #[test]
    fn of_picked_units_only_what_they_cost_above_a_price_is_taken() {
        let mut units = Units::new(5, 10);
        assert_eq!(units.basis(3, 8), 6);
        assert_eq!(units.take(6, 3, 8)[..], [run(0, 3, 2)]);
        assert_eq!(units.take(5, 4, 0)[..], [run(0, 3, 1), run(3, 1, 2)]);
        assert_eq!(units.ascending()[..], [(3, 7), (1, 8), (1, 10)]);
        assert_eq!(units.basis(5, 8), 2);
        assert_eq!(units.take(2, 5, 8)[..], [run(4, 1, 2)]);
    }

    #[test]
    fn a_million_units_stay_a_handful_of_runs() {
        let mut units = Units::new(1_000_000, 9_000_000_000_000);
        for amount in [1, 999_999, 7_777_777_777_777, 123_456_789_012_345_678, 5] {
            let taken = units.take(amount, 1_000_000, 0);
            assert_eq!(taken.iter().map(|run| run.count * run.amount).sum::<i64>(), amount);
        }
        assert!(units.0.len() <= 6, "{:?}", units.0);
    }
}
