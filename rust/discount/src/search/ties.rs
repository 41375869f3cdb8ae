//! Sets that take the same: fewer coupons, then earlier expiries, then smaller ids.
use std::cmp::Reverse;

use smallvec::SmallVec;

use super::bounds::Order;
use super::{Found, Node, Search, upto};
use crate::problem::{MAX, Set, members};

type Ranks = SmallVec<[i64; MAX]>;

impl Search<'_, '_> {
    /// Of a branch that can do no more than equal the best: whether it could do so with fewer coupons, or as many that
    /// expire earlier or have smaller ids.
    pub(super) fn may_win_a_tie(&self, node: &Node, order: &Order, place: usize, discount: i64) -> bool {
        let later = node.open & !upto(place);
        let mut limits = self.limits;
        limits.add(self.problem, place);
        let missing = self.best.total - node.total - discount;
        let climbed = order.climb(self.problem, later, limits, missing);
        if climbed.sum < missing {
            return false;
        }
        let more = climbed.set.count_ones();
        let fewest = node.count + 1 + more;
        let best = self.best.set;
        match fewest.cmp(&best.count_ones()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                self.least_ranks(node.set | 1 << place, later, more as usize) < self.ranks(best)
            }
        }
    }

    /// Sorted expiries, then sorted ids.
    pub(super) fn ranks(&self, set: Set) -> (Ranks, Ranks) {
        self.least_ranks(set, 0, 0)
    }

    /// The same of the best that could come of a set with so many more of the others.
    pub(super) fn least_ranks(&self, set: Set, others: Set, more: usize) -> (Ranks, Ranks) {
        let least = |field: fn(&(i64, i64)) -> i64| {
            let mut of_others: Ranks = members(others).map(|place| field(&self.problem.rank[place])).collect();
            of_others.sort_unstable();
            let mut all: Ranks = members(set).map(|place| field(&self.problem.rank[place])).collect();
            all.extend(of_others.into_iter().take(more));
            all.sort_unstable();
            all
        };
        (least(|rank| rank.0), least(|rank| rank.1))
    }

    pub(super) fn is_better(&self, found: Found) -> bool {
        let key = |found: Found| (Reverse(found.total), found.set.count_ones());
        key(found).cmp(&key(self.best)).then_with(|| self.ranks(found.set).cmp(&self.ranks(self.best.set))).is_lt()
    }
}
