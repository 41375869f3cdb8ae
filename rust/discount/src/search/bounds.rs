//! What the sets of a branch could take at most: the largest of the open candidates, as many of them as the limits allow.
use super::{Node, Search, upto};
use crate::problem::{MAX, Problem, Set, members};

impl Search<'_, '_> {
    /// The sets that come of this one with this candidate next, or of it at all.
    pub(super) fn branch(&self, node: &Node, order: &Order, next: Option<(usize, i64)>) -> Branch {
        let (mut set, mut later, mut taken) = (node.set, node.open, 0);
        if let Some((place, discount)) = next {
            set |= 1 << place;
            later &= !upto(place) & !self.problem.conflicts[place];
            taken = discount;
        }
        let next = next.map(|(place, _)| place);
        let room = self.room(next);
        let full = room.full;
        let climbed = order.climb(self.problem, later, room, i64::MAX);
        let most = if later & self.problem.exclusive == 0 {
            climbed.sum
        } else {
            self.most(node, order, later, &self.room(next))
        };
        let (base, rest) = (node.total + taken, node.headroom - taken);
        Branch { set, later, next, full, climbed, base, rest, bound: base + rest.min(most) }
    }

    /// What there is room for beside the set at hand and one more.
    pub(super) fn room(&self, next: Option<usize>) -> Limits {
        let mut limits = self.limits;
        if let Some(place) = next {
            limits.add(self.problem, place);
        }
        limits
    }

    /// The most of the sets of a branch that have this candidate; 0 where there are none.
    pub(super) fn bound_with(&self, node: &Node, order: &Order, branch: &Branch, candidate: usize) -> i64 {
        if branch.set >> candidate & 1 == 1 {
            return branch.bound;
        }
        if (branch.later & !branch.full) >> candidate & 1 == 0 {
            return 0;
        }
        let own = self.at_most(node, candidate);
        let most = if self.problem.exclusive == 0 {
            branch.climbed.sum.saturating_add(self.gain(node, &branch.climbed, candidate, own))
        } else {
            let mut limits = self.room(branch.next);
            limits.add(self.problem, candidate);
            let others = branch.later & !(1 << candidate) & !self.problem.conflicts[candidate];
            self.most(node, order, others, &limits).saturating_add(own)
        };
        branch.base + branch.rest.min(most)
    }

    /// What the most of a branch changes by when this candidate has to be in: it takes the place of the least one of the
    /// innermost limit that is full, as the limits lie within each other.
    pub(super) fn gain(&self, node: &Node, climbed: &Climbed, candidate: usize, own: i64) -> i64 {
        if climbed.set >> candidate & 1 == 1 || climbed.sum == i64::MAX {
            return 0;
        }
        let problem = self.problem;
        let (group, template) = (usize::from(problem.group[candidate]), usize::from(problem.template[candidate]));
        let full = if climbed.limits.of_template[template] >= problem.bound_stack_limit[template] {
            problem.template_members[template]
        } else if climbed.limits.in_group[group] >= problem.group_limit[group] {
            problem.group_members[group]
        } else if climbed.limits.slots == 0 {
            Set::MAX
        } else {
            0
        };
        own - members(climbed.set & full).map(|place| self.at_most(node, place)).min().unwrap_or(0)
    }

    /// The most of these candidates within the limits.
    pub(super) fn most(&self, node: &Node, order: &Order, set: Set, limits: &Limits) -> i64 {
        let sum = |set| order.climb(self.problem, set, *limits, i64::MAX).sum;
        let exclusive = self.problem.exclusive;
        if set & exclusive == 0 {
            return sum(set);
        }
        // A set with an exclusive one has otherwise only joint ones; two exclusive ones are both joint.
        let alone = members(set & exclusive & !self.problem.joint).map(|place| self.at_most(node, place)).max();
        sum(set & !exclusive).max(sum(set & self.problem.joint).saturating_add(alone.unwrap_or(0)))
    }

    /// Candidates that are open, with the most that each can take, the largest first; `places` are these and maybe others,
    /// best in about that order.
    pub(super) fn order(&self, node: &Node, places: impl Iterator<Item = usize>) -> Order {
        let mut order = Order::default();
        for place in places.filter(|place| node.open >> place & 1 == 1) {
            let entry = (self.at_most(node, place), place as u8);
            let mut at = order.len;
            while at > 0 && {
                let (most, earlier) = order.entries[at - 1];
                most < entry.0 || most == entry.0 && earlier > entry.1
            } {
                order.entries[at] = order.entries[at - 1];
                at -= 1;
            }
            order.entries[at] = entry;
            order.len += 1;
        }
        order
    }
}

/// Candidates with the most that each can take, the largest first.
#[derive(Clone, Default)]
pub(super) struct Order {
    pub(super) entries: [(i64, u8); MAX],
    pub(super) len: usize,
}

impl Order {
    pub(super) fn places(&self) -> impl Iterator<Item = usize> {
        self.entries[..self.len].iter().map(|&(_, place)| usize::from(place))
    }

    /// The most of these candidates within the limits, until an amount is reached.
    pub(super) fn climb(&self, problem: &Problem<'_>, mut open: Set, limits: Limits, amount: i64) -> Climbed {
        let mut climbed = Climbed { sum: 0, set: 0, limits };
        for &(most, place) in &self.entries[..self.len] {
            open &= !climbed.limits.full;
            if open == 0 || climbed.sum >= amount {
                break;
            }
            let place = usize::from(place);
            if open >> place & 1 == 1 {
                open &= !(1 << place);
                climbed.limits.add(problem, place);
                climbed.set |= 1 << place;
                climbed.sum = climbed.sum.saturating_add(most);
            }
        }
        climbed
    }
}

/// Candidates that take the most together, and what is full with them.
pub(super) struct Climbed {
    pub(super) sum: i64,
    pub(super) set: Set,
    pub(super) limits: Limits,
}

/// Sets that have some candidates, and maybe later ones.
pub(super) struct Branch {
    pub(super) set: Set,
    pub(super) later: Set,
    /// The one that comes next, and what there is no room for beside it.
    pub(super) next: Option<usize>,
    pub(super) full: Set,
    pub(super) climbed: Climbed,
    pub(super) base: i64,
    pub(super) rest: i64,
    /// What they take at most.
    pub(super) bound: i64,
}

/// What groups, templates and the count have no room for any more.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) in_group: [u8; MAX + 1],
    pub(super) of_template: [u8; MAX],
    pub(super) slots: u32,
    /// Candidates without room.
    pub(super) full: Set,
}

impl Limits {
    pub(super) fn of(problem: &Problem<'_>) -> Self {
        Self { in_group: [0; MAX + 1], of_template: [0; MAX], slots: problem.count_limit, full: 0 }
    }

    pub(super) fn add(&mut self, problem: &Problem<'_>, place: usize) {
        let (group, template) = (usize::from(problem.group[place]), usize::from(problem.template[place]));
        self.in_group[group] += 1;
        self.of_template[template] += 1;
        self.slots -= 1;
        if self.in_group[group] >= problem.group_limit[group] {
            self.full |= problem.group_members[group];
        }
        if self.of_template[template] >= problem.bound_stack_limit[template] {
            self.full |= problem.template_members[template];
        }
        if self.slots == 0 {
            self.full = Set::MAX;
        }
    }
}
