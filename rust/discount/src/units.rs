//! The units of one line, numbered from 0, as runs of equal net: a million units that cost the same are one run, and
//! each coupon adds at most one.
use crate::split::{Share, Stack, split};

/// `count` units from unit `from` on, each with `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitRun {
    pub from: i64,
    pub count: i64,
    pub amount: i64,
}

/// Current nets of a line's units, in unit order.
#[derive(Clone, Debug)]
pub(crate) struct Units(Vec<Stack>);

impl Units {
    pub(crate) fn new(quantity: i64, unit_price: i64) -> Self {
        Self(vec![Stack { count: quantity, net: unit_price }])
    }

    /// Takes `amount` off the units; what each lost, without those that lost nothing.
    pub(crate) fn take(&mut self, amount: i64) -> Vec<UnitRun> {
        let shares = split(amount, &self.0);
        let mut taken: Vec<UnitRun> = Vec::with_capacity(shares.len() + 1);
        let mut left: Vec<Stack> = Vec::with_capacity(shares.len() + 1);
        let mut from = 0;
        for (&Stack { count, net }, &Share { each, plus_one }) in self.0.iter().zip(&shares) {
            for (count, extra) in [(plus_one, 1), (count - plus_one, 0)] {
                if count > 0 {
                    let amount = each + extra;
                    push_taken(&mut taken, UnitRun { from, count, amount });
                    push_left(&mut left, Stack { count, net: net - amount });
                    from += count;
                }
            }
        }
        self.0 = left;
        taken
    }

    /// (count, net) in ascending net.
    pub(crate) fn into_ascending(self) -> Vec<(i64, i64)> {
        let mut runs = self.0;
        runs.sort_unstable_by_key(|run| run.net);
        let mut merged = Vec::with_capacity(runs.len());
        for run in runs {
            push_left(&mut merged, run);
        }
        merged.into_iter().map(|run| (run.count, run.net)).collect()
    }
}

fn push_taken(runs: &mut Vec<UnitRun>, run: UnitRun) {
    match runs.last_mut() {
        _ if run.amount == 0 => {}
        Some(last) if last.amount == run.amount && last.from + last.count == run.from => last.count += run.count,
        _ => runs.push(run),
    }
}

fn push_left(runs: &mut Vec<Stack>, run: Stack) {
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
        assert_eq!(units.take(100), [run(0, 1, 34), run(1, 2, 33)]);
        assert_eq!(units.take(100), [run(0, 1, 33), run(1, 1, 34), run(2, 1, 33)]);
        assert_eq!(units.into_ascending(), [(2, 33), (1, 34)]);
    }

    #[test]
    fn units_that_lost_nothing_are_left_out() {
        let mut units = Units::new(5, 10);
        assert_eq!(units.take(2), [run(0, 2, 1)]);
        assert_eq!(units.into_ascending(), [(2, 9), (3, 10)]);
    }

    #[test]
    fn a_million_units_stay_a_handful_of_runs() {
        let mut units = Units::new(1_000_000, 9_000_000_000_000);
        for amount in [1, 999_999, 7_777_777_777_777, 123_456_789_012_345_678, 5] {
            let taken = units.take(amount);
            assert_eq!(taken.iter().map(|run| run.count * run.amount).sum::<i64>(), amount);
        }
        assert!(units.0.len() <= 6, "{:?}", units.0);
    }
}
