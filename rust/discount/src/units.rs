//! The units of one line, numbered from 0, as runs of equal net: a million units that cost the same are one run, and
//! each coupon adds at most two.
use smallvec::SmallVec;

use crate::split::Table;

/// Mostly one or two.
pub type Runs<T> = SmallVec<[T; 2]>;

/// `count` units from unit `from` on, each with `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitRun {
    pub from: i64,
    pub count: i64,
    pub amount: i64,
}

/// `count` neighbours that cost the same.
#[derive(Clone, Copy, Debug)]
struct Run {
    count: i64,
    net: i64,
}

/// Current nets of a line's units, in unit order. Empty: nobody asks for them.
#[derive(Debug, Default)]
pub(crate) struct Units(Runs<Run>);

impl Clone for Units {
    fn clone(&self) -> Self {
        Self(Runs::from_slice(&self.0))
    }

    fn clone_from(&mut self, source: &Self) {
        self.0.clear();
        self.0.extend_from_slice(&source.0);
    }
}

impl Units {
    pub(crate) fn new(quantity: i64, unit_price: i64) -> Self {
        Self(smallvec::smallvec![Run { count: quantity, net: unit_price }])
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

    /// Takes `amount` off the first `picked` units, in proportion to what each costs above `above`, which is `total` in
    /// all; what each lost, without those that lost nothing. Nothing where nobody asks for the units.
    pub(crate) fn take(&mut self, amount: i64, picked: i64, above: i64, total: i64) -> Runs<UnitRun> {
        let mut taken = Runs::new();
        match self.0[..] {
            [] => return taken,
            [ref mut run] if picked >= run.count => {
                // Equal units: the same each, and the spare minor units to the first.
                let (each, plus_one) = (amount / run.count, amount % run.count);
                run.net -= each;
                if plus_one > 0 {
                    taken.push(UnitRun { from: 0, count: plus_one, amount: each + 1 });
                    let others = Run { count: run.count - plus_one, net: run.net };
                    *run = Run { count: plus_one, net: run.net - 1 };
                    self.0.push(others);
                    if each > 0 {
                        taken.push(UnitRun { from: plus_one, count: others.count, amount: each });
                    }
                } else {
                    taken.push(UnitRun { from: 0, count: run.count, amount: each });
                }
                return taken;
            }
            _ => {}
        }
        let mut table = Table::<4>::default();
        let mut left = picked;
        table.split(
            amount,
            total,
            self.0.iter().map(|run| {
                let count = run.count.min(left);
                left -= count;
                (count, (run.net - above).max(0))
            }),
        );
        let old = std::mem::take(&mut self.0);
        let mut from = 0;
        // The runs at hand: neighbours that lose or cost the same come to be one.
        let mut losing = UnitRun { from: 0, count: 0, amount: 0 };
        let mut costing = Run { count: 0, net: 0 };
        for (run, stack) in old.iter().zip(&table.stacks) {
            let others = stack.count - stack.plus_one;
            for (count, amount) in
                [(stack.plus_one, stack.each + 1), (others, stack.each), (run.count - stack.count, 0)]
            {
                if count == 0 {
                    continue;
                }
                if amount != losing.amount {
                    if losing.amount > 0 {
                        taken.push(losing);
                    }
                    losing = UnitRun { from, count: 0, amount };
                }
                let net = run.net - amount;
                if net != costing.net {
                    if costing.count > 0 {
                        self.0.push(costing);
                    }
                    costing = Run { count: 0, net };
                }
                losing.count += count;
                costing.count += count;
                from += count;
            }
        }
        if losing.amount > 0 {
            taken.push(losing);
        }
        self.0.push(costing);
        taken
    }

    /// (count, net) in ascending net.
    pub(crate) fn ascending(&self) -> Runs<(i64, i64)> {
        let mut sorted: Runs<(i64, i64)> = Runs::new();
        if let [run] = self.0[..] {
            sorted.push((run.count, run.net));
            return sorted;
        }
        for run in &self.0 {
            let place = sorted.iter().rposition(|&(_, net)| net < run.net).map_or(0, |before| before + 1);
            match sorted.get_mut(place) {
                Some((count, net)) if *net == run.net => *count += run.count,
                _ => sorted.insert(place, (run.count, run.net)),
            }
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(from: i64, count: i64, amount: i64) -> UnitRun {
        UnitRun { from, count, amount }
    }

    fn take(units: &mut Units, amount: i64, picked: i64, above: i64) -> Runs<UnitRun> {
        let total = units.basis(picked, above);
        units.take(amount, picked, above, total)
    }

    #[test]
    fn each_coupon_is_split_on_what_the_units_cost_by_then() {
        let mut units = Units::new(3, 100);
        assert_eq!(take(&mut units, 100, 3, 0)[..], [run(0, 1, 34), run(1, 2, 33)]);
        assert_eq!(take(&mut units, 100, 3, 0)[..], [run(0, 1, 33), run(1, 1, 34), run(2, 1, 33)]);
        assert_eq!(units.ascending()[..], [(2, 33), (1, 34)]);
    }

    #[test]
    fn units_that_lost_nothing_are_left_out() {
        let mut units = Units::new(5, 10);
        assert_eq!(take(&mut units, 2, 5, 0)[..], [run(0, 2, 1)]);
        assert_eq!(units.ascending()[..], [(2, 9), (3, 10)]);
    }

    #[test]
    fn of_picked_units_only_what_they_cost_above_a_price_is_taken() {
        let mut units = Units::new(5, 10);
        assert_eq!(units.basis(3, 8), 6);
        assert_eq!(take(&mut units, 6, 3, 8)[..], [run(0, 3, 2)]);
        assert_eq!(take(&mut units, 5, 4, 0)[..], [run(0, 3, 1), run(3, 1, 2)]);
        assert_eq!(units.ascending()[..], [(3, 7), (1, 8), (1, 10)]);
        assert_eq!(units.basis(5, 8), 2);
        assert_eq!(take(&mut units, 2, 5, 8)[..], [run(4, 1, 2)]);
    }

    #[test]
    fn a_million_units_stay_a_handful_of_runs() {
        let mut units = Units::new(1_000_000, 9_000_000_000_000);
        for amount in [1, 999_999, 7_777_777_777_777, 123_456_789_012_345_678, 5] {
            let taken = take(&mut units, amount, 1_000_000, 0);
            assert_eq!(taken.iter().map(|run| run.count * run.amount).sum::<i64>(), amount);
        }
        assert!(units.0.len() <= 6, "{:?}", units.0);
    }
}
