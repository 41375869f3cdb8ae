//! Largest-remainder allocation, the one rule for lines, shipments and units: floor(D·net/ΣN) each, and the spare minor
//! units to the larger remainder, then the larger net, then the earlier place.
use std::cmp::Reverse;

use smallvec::SmallVec;

/// `count` neighbours of equal net, and what they get: `each`, and the first `plus_one` of them one more. A line is a
/// stack of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    pub(crate) count: i64,
    pub(crate) net: i64,
    pub(crate) each: i64,
    pub(crate) plus_one: i64,
}

/// Where things are split: up to so many without an allocation. It can be kept from one split to the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table<const FEW: usize> {
    pub(crate) stacks: SmallVec<[Stack; FEW]>,
    /// (remainder and net, place), for the spare minor units.
    queue: SmallVec<[(u128, u32); FEW]>,
}

impl<const FEW: usize> Table<FEW> {
    /// Splits `amount`, which is 0 to `total`, the sum of the nets of (count, net). Nobody gets more than its net, and what
    /// they get sums up to `amount` exactly: a stack with a remainder has room for one more, as its floor is below its net,
    /// and there are more remainders than spare units.
    pub(crate) fn split(&mut self, amount: i64, total: i64, members: impl Iterator<Item = (i64, i64)>) {
        debug_assert!((0..=total).contains(&amount));
        self.stacks.clear();
        self.queue.clear();
        if amount == total {
            self.stacks.extend(members.map(|(count, net)| Stack { count, net, each: net, plus_one: 0 }));
            return;
        }
        let mut spare = amount;
        for ((count, net), place) in members.zip(0..) {
            let (each, remainder) = scale(amount, net, total);
            spare -= count * each;
            self.stacks.push(Stack { count, net, each, plus_one: 0 });
            self.queue.push((u128::from(remainder as u64) << 64 | u128::from(net as u64), place));
        }
        debug_assert_eq!(self.stacks.iter().map(|stack| stack.count * stack.net).sum::<i64>(), total);
        if spare == 0 {
            return;
        }
        // Stable: of equals the earlier place stays first.
        self.queue.sort_by_key(|&(rank, _)| Reverse(rank));
        for &(_, place) in &self.queue {
            let stack = &mut self.stacks[place as usize];
            stack.plus_one = spare.min(stack.count);
            spare -= stack.plus_one;
            if spare == 0 {
                return;
            }
        }
        debug_assert_eq!(spare, 0);
    }
}

/// Quotient and remainder of `amount · net / total`, where `amount < total` or all are equal.
fn scale(amount: i64, net: i64, total: i64) -> (i64, i64) {
    match amount.checked_mul(net) {
        // None of them is negative.
        Some(product) => ((product as u64 / total as u64) as i64, (product as u64 % total as u64) as i64),
        None => {
            let product = i128::from(amount) * i128::from(net);
            let total = i128::from(total);
            // Both are below `net` and `total`, which are 64 bits wide.
            ((product / total) as i64, (product % total) as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(amount: i64, stacks: &[(i64, i64)]) -> Table<2> {
        let mut table = Table::default();
        table.split(amount, stacks.iter().map(|(count, net)| count * net).sum(), stacks.iter().copied());
        table
    }

    fn amounts(amount: i64, nets: &[i64]) -> Vec<i64> {
        let stacks: Vec<_> = nets.iter().map(|&net| (1, net)).collect();
        table(amount, &stacks).stacks.iter().map(|stack| stack.each + stack.plus_one).collect()
    }

    #[test]
    fn spare_units_go_to_the_larger_remainder() {
        assert_eq!(amounts(100, &[166, 166, 168]), [33, 33, 34]);
    }

    #[test]
    fn equal_remainders_go_to_the_larger_net() {
        // 5 of 10: 0.5 of 1 and 1.5 of 3 and 3.0 of 6.
        assert_eq!(amounts(5, &[1, 3, 6]), [0, 2, 3]);
    }

    #[test]
    fn equal_remainders_and_nets_go_to_the_earlier_place() {
        assert_eq!(amounts(100, &[66, 67, 67]), [33, 34, 33]);
        assert_eq!(amounts(1, &[5, 5, 5]), [1, 0, 0]);
    }

    #[test]
    fn a_member_without_net_gets_nothing() {
        assert_eq!(amounts(3, &[0, 2, 0, 2]), [0, 2, 0, 1]);
        assert_eq!(amounts(0, &[0, 0]), [0, 0]);
    }

    #[test]
    fn products_beyond_64_bits_are_exact() {
        let net = i64::MAX / 2;
        assert_eq!(amounts(net + 1, &[net, net]), [net / 2 + 1, net / 2 + 1]);
        assert_eq!(amounts(i64::MAX - 2, &[net, net]), [net, net - 1]);
    }

    #[test]
    fn a_stack_is_split_as_its_members_would_be() {
        let members = amounts(200, &[100, 100, 100, 99, 99]);
        let table = table(200, &[(3, 100), (2, 99)]);
        let spread = table
            .stacks
            .iter()
            .flat_map(|stack| (0..stack.count).map(move |member| stack.each + i64::from(member < stack.plus_one)));
        assert_eq!(spread.collect::<Vec<_>>(), members);
    }
}
