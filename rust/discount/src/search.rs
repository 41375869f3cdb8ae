//! Branch and bound over sets of candidates, in the order of application. A set counts only when each of its coupons
//! takes something at its turn.
//!
//! The bound: what is taken so far, and the most that the candidates still open could take if each met today's nets, as
//! many of them as groups, templates and the count allow. Nets only fall, and so does what a promise takes of them; the
//! limits are nested (template within group within count), so taking the largest first is the most.
use std::cmp::Reverse;

use smallvec::SmallVec;

use crate::nets::{Nets, Tables};
use crate::problem::{MAX, Problem, Set, members};

type Ranks = SmallVec<[i64; MAX]>;

/// A set and what it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) set: Set,
    pub(crate) total: i64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aim {
    /// The best set of all, ties resolved.
    Best,
    /// For each of these candidates the highest total of a set with it.
    Each(Set),
    /// The highest total of a part of this set.
    PartOf(Set),
}

pub(crate) struct Search<'p, 'a> {
    problem: &'p Problem<'a>,
    aim: Aim,
    pub(crate) best: Found,
    /// By candidate: the highest total seen of a set with it, `None` where there was none.
    pub(crate) with: [Option<Found>; MAX],
    part: Option<Found>,
    /// The most that a set in a branch left unexplored could take, and by candidate such a set with it.
    open: i64,
    open_with: [i64; MAX],
    /// Whether anything was left unexplored.
    pub(crate) cut: bool,
    /// What may still be spent: 1 a node, and more for large carts.
    work_left: i64,
    pub(crate) nodes: u64,
    root: (Node, Order),
    // Of the set at hand:
    /// By candidate.
    taken: [i64; MAX],
    /// By template.
    spent: [i64; MAX],
    limits: Limits,
    nets: Vec<Nets>,
    tables: Tables,
}

/// A set whose coupons are applied, and what may still come after them.
#[derive(Clone)]
struct Node {
    set: Set,
    count: u32,
    total: i64,
    headroom: i64,
    /// Candidates that may still be added.
    open: Set,
    basis: [i64; MAX],
    /// What each open candidate would take now, budgets and what is payable apart.
    takes: [i64; MAX],
    /// Which of the kept nets it stands on, and whose discounts these do not have yet.
    level: usize,
    pending: Set,
}

impl<'p, 'a> Search<'p, 'a> {
    pub(crate) fn new(problem: &'p Problem<'a>, work: i64) -> Self {
        let mut root = Node {
            set: 0,
            count: 0,
            total: 0,
            headroom: problem.headroom,
            open: problem.everyone(),
            basis: problem.basis,
            takes: [0; MAX],
            level: 0,
            pending: 0,
        };
        root.weigh(problem, root.open);
        let mut search = Self {
            problem,
            aim: Aim::Best,
            best: Found::default(),
            with: [None; MAX],
            part: None,
            open: 0,
            open_with: [0; MAX],
            cut: false,
            work_left: work,
            nodes: 0,
            root: (root, Order::default()),
            taken: [0; MAX],
            spent: [0; MAX],
            limits: Limits::of(problem),
            nets: vec![problem.nets.clone()],
            tables: problem.tables.clone(),
        };
        search.root.1 = search.order(&search.root.0, members(search.root.0.open));
        search
    }

    /// Finds the best set; the most that any set could take.
    pub(crate) fn run(&mut self) -> i64 {
        self.start(Aim::Best, self.problem.everyone());
        self.open.max(self.best.total)
    }

    /// For each of these candidates: the best set with it that was seen is in `with`, the most that any could take in the
    /// answer.
    pub(crate) fn run_each(&mut self, candidates: Set) -> [i64; MAX] {
        self.start(Aim::Each(candidates), self.problem.everyone());
        std::array::from_fn(|place| self.open_with[place].max(self.with_total(place)))
    }

    /// The best true part of a set, if it has any.
    pub(crate) fn run_part(&mut self, set: Set) -> Option<Found> {
        self.part = None;
        self.start(Aim::PartOf(set), set);
        self.part
    }

    fn start(&mut self, aim: Aim, open: Set) {
        self.aim = aim;
        self.open = 0;
        let (mut root, order) = self.root.clone();
        root.open &= open;
        if self.can_improve(&root, &order) {
            self.visit(&root, &order);
        }
    }

    /// Of a node that can improve on what is known.
    fn visit(&mut self, node: &Node, order: &Order) {
        let mut children: [(i64, usize); MAX] = [(0, 0); MAX];
        let mut count = 0;
        // An interchangeable one comes only beside its predecessor.
        for place in members(node.open & (!self.problem.follows | node.set << 1)) {
            let Some(discount) = self.discount(node, place) else { continue };
            let branch = self.branch(node, order, Some((place, discount)));
            if self.is_worth_it(node, order, &branch) {
                children[count] = (branch.bound, place);
                count += 1;
            }
        }
        let children = &mut children[..count];
        children.sort_unstable_by_key(|&(bound, place)| (Reverse(bound), place));
        for &(bound, place) in &*children {
            let Some(discount) = self.discount(node, place) else { continue };
            let branch = self.branch(node, order, Some((place, discount)));
            if !self.is_worth_it(node, order, &branch) {
                continue;
            }
            if self.aim == Aim::Best && bound == self.best.total && !self.may_win_a_tie(node, order, place, discount) {
                continue;
            }
            if self.work_left <= 0 {
                self.leave_out(node, order, &branch);
                continue;
            }
            self.descend(node, order, place, discount);
        }
    }

    /// Remembers what a branch that is not explored could hold.
    fn leave_out(&mut self, node: &Node, order: &Order, branch: &Branch) {
        self.cut = true;
        self.open = self.open.max(branch.bound);
        if let Aim::Each(candidates) = self.aim {
            for candidate in members(candidates) {
                let most = self.bound_with(node, order, branch, candidate);
                self.open_with[candidate] = self.open_with[candidate].max(most);
            }
        }
    }

    /// Looks at the set with one more coupon, and what may come after it.
    fn descend(&mut self, node: &Node, order: &Order, place: usize, discount: i64) {
        let template = usize::from(self.problem.template[place]);
        let limits = self.limits;
        self.limits.add(self.problem, place);
        self.taken[place] = discount;
        self.spent[template] += discount;
        let mut child = self.child(node, place, discount);
        self.evaluate(&child);
        let mut child_order = self.order(&child, order.places());
        if self.can_improve(&child, &child_order) {
            let across = child.open & self.problem.across[place];
            if across != 0 {
                self.sum_up_again(&mut child, across);
                child_order = self.order(&child, child_order.places());
            }
            if across == 0 || self.can_improve(&child, &child_order) {
                self.visit(&child, &child_order);
            }
        }
        self.spent[template] -= discount;
        self.limits = limits;
    }

    /// Whether anything that comes after this set is worth a look.
    fn can_improve(&self, node: &Node, order: &Order) -> bool {
        node.open != 0 && self.is_worth_it(node, order, &self.branch(node, order, None))
    }

    fn is_worth_it(&self, node: &Node, order: &Order, branch: &Branch) -> bool {
        match self.aim {
            // Equal totals are compared.
            Aim::Best => branch.bound >= self.best.total.max(1),
            Aim::PartOf(_) => branch.bound > self.part.map_or(0, |found| found.total),
            Aim::Each(candidates) => members(candidates & (branch.set | branch.later)).any(|candidate| {
                self.could_better(candidate, branch.bound)
                    && self.could_better(candidate, self.bound_with(node, order, branch, candidate))
            }),
        }
    }

    /// Whether a set of this total would be better than what is known of a candidate. None is better than the best of all.
    fn could_better(&self, candidate: usize, total: i64) -> bool {
        let known = self.with_total(candidate);
        total > known && (known < self.best.total || self.cut)
    }

    fn with_total(&self, candidate: usize) -> i64 {
        self.with[candidate].map_or(0, |found| found.total)
    }

    /// What a candidate takes if it comes next; `None` where its budget is too small for that.
    fn discount(&self, node: &Node, place: usize) -> Option<i64> {
        let discount = node.takes[place].min(node.headroom);
        (discount > 0 && self.budget_left(place).is_none_or(|left| discount <= left)).then_some(discount)
    }

    fn budget_left(&self, place: usize) -> Option<i64> {
        Some(self.problem.budget[place]? - self.spent[usize::from(self.problem.template[place])])
    }

    /// The most that a candidate takes after any set that comes of this one.
    fn at_most(&self, node: &Node, place: usize) -> i64 {
        let most = node.takes[place].min(node.headroom);
        self.budget_left(place).map_or(most, |left| most.min(left.max(0)))
    }

    /// The sets that come of this one with this candidate next, or of it at all.
    fn branch(&self, node: &Node, order: &Order, next: Option<(usize, i64)>) -> Branch {
        let (mut set, mut later, mut limits, mut taken) = (node.set, node.open, self.limits, 0);
        if let Some((place, discount)) = next {
            set |= 1 << place;
            later &= !upto(place) & !self.problem.conflicts[place];
            limits.add(self.problem, place);
            taken = discount;
        }
        let room = limits;
        let climbed = order.climb(self.problem, later, limits, i64::MAX);
        let most = if later & self.problem.exclusive == 0 { climbed.sum } else { self.most(node, order, later, &room) };
        let (base, rest) = (node.total + taken, node.headroom - taken);
        Branch { set, later, room, climbed, base, rest, bound: base + rest.min(most) }
    }

    /// The most of the sets of a branch that have this candidate; 0 where there are none.
    fn bound_with(&self, node: &Node, order: &Order, branch: &Branch, candidate: usize) -> i64 {
        if branch.set >> candidate & 1 == 1 {
            return branch.bound;
        }
        if branch.later >> candidate & 1 == 0 || !branch.room.has_room(candidate) {
            return 0;
        }
        let own = self.at_most(node, candidate);
        let most = if self.problem.exclusive == 0 {
            branch.climbed.sum.saturating_add(self.gain(node, &branch.climbed, candidate, own))
        } else {
            let mut limits = branch.room;
            limits.add(self.problem, candidate);
            let others = branch.later & !(1 << candidate) & !self.problem.conflicts[candidate];
            self.most(node, order, others, &limits).saturating_add(own)
        };
        branch.base + branch.rest.min(most)
    }

    /// What the most of a branch changes by when this candidate has to be in: it takes the place of the least one of the
    /// innermost limit that is full, as the limits lie within each other.
    fn gain(&self, node: &Node, climbed: &Climbed, candidate: usize, own: i64) -> i64 {
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
    fn most(&self, node: &Node, order: &Order, set: Set, limits: &Limits) -> i64 {
        let sum = |set| order.climb(self.problem, set, *limits, i64::MAX).sum;
        let exclusive = self.problem.exclusive;
        if set & exclusive == 0 {
            return sum(set);
        }
        // A set with an exclusive one has otherwise only joint ones; two exclusive ones are both joint.
        let alone = members(set & exclusive & !self.problem.joint).map(|place| self.at_most(node, place)).max();
        sum(set & !exclusive).max(sum(set & self.problem.joint).saturating_add(alone.unwrap_or(0)))
    }

    /// Of a branch that can do no more than equal the best: whether it could do so with fewer coupons, or as many that
    /// expire earlier or have smaller ids.
    fn may_win_a_tie(&self, node: &Node, order: &Order, place: usize, discount: i64) -> bool {
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
    fn ranks(&self, set: Set) -> (Ranks, Ranks) {
        self.least_ranks(set, 0, 0)
    }

    /// The same of the best that could come of a set with so many more of the others.
    fn least_ranks(&self, set: Set, others: Set, more: usize) -> (Ranks, Ranks) {
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

    fn evaluate(&mut self, node: &Node) {
        let found = Found { set: node.set, total: node.total };
        for place in members(node.set) {
            if self.with[place].is_none_or(|known| known.total < found.total) {
                self.with[place] = Some(found);
            }
        }
        match self.aim {
            Aim::Best if self.is_better(found) => self.best = found,
            Aim::PartOf(whole) if node.set != whole && self.part.is_none_or(|part| part.total < found.total) => {
                self.part = Some(found);
            }
            _ => {}
        }
    }

    fn is_better(&self, found: Found) -> bool {
        let key = |found: Found| (Reverse(found.total), found.set.count_ones());
        key(found).cmp(&key(self.best)).then_with(|| self.ranks(found.set).cmp(&self.ranks(self.best.set))).is_lt()
    }

    /// The set with one more coupon.
    fn child(&mut self, node: &Node, place: usize, discount: i64) -> Node {
        let problem = self.problem;
        self.nodes += 1;
        self.work_left -= 1;
        let mut child = node.clone();
        child.set |= 1 << place;
        child.count += 1;
        child.total += discount;
        child.headroom -= discount;
        child.pending |= 1 << place;
        child.open &= !upto(place) & !problem.conflicts[place];
        if child.count >= problem.count_limit || child.headroom == 0 {
            child.open = 0;
        }
        let (group, template) = (usize::from(problem.group[place]), usize::from(problem.template[place]));
        if self.limits.in_group[group] >= problem.group_limit[group] {
            child.open &= !problem.group_members[group];
        }
        for other in members(child.open & problem.template_members[template]) {
            if self.limits.of_template[template] >= problem.stack_limit[other] {
                child.open &= !(1 << other);
            }
        }
        let changed = child.open & problem.within[place];
        for later in members(changed) {
            child.basis[later] -= discount;
        }
        child.weigh(problem, changed);
        child
    }

    /// Brings the bases that only the nets can tell from what they were, which is no less, to what they are.
    fn sum_up_again(&mut self, child: &mut Node, across: Set) {
        self.bring_nets(child);
        let (mut known, mut sums) = (0 as Set, [0; MAX]);
        for later in members(across) {
            let source = usize::from(self.problem.source[later]);
            if known >> source & 1 == 0 {
                known |= 1 << source;
                sums[source] = self.nets[child.level].basis(&self.problem.offers[source]);
            }
            child.basis[later] = sums[source];
        }
        child.weigh(self.problem, across);
    }

    /// Brings the nets up to what the set has taken, on a level of their own.
    fn bring_nets(&mut self, child: &mut Node) {
        let level = child.level + 1;
        if self.nets.len() == level {
            self.nets.push(Nets::default());
        }
        let (below, here) = self.nets.split_at_mut(level);
        let nets = &mut here[0];
        nets.clone_from(&below[child.level]);
        for taker in members(child.pending) {
            let offer = &self.problem.offers[taker];
            self.work_left -= offer.places.len() as i64 / 16;
            let basis = nets.basis(offer);
            nets.take(offer, self.taken[taker], basis, &mut self.tables, |_, _, _| {});
        }
        child.level = level;
        child.pending = 0;
    }

    /// Candidates that are open, with the most that each can take, the largest first; `places` are these and maybe others,
    /// best in about that order.
    fn order(&self, node: &Node, places: impl Iterator<Item = usize>) -> Order {
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

impl Node {
    /// What each of these candidates takes of its basis now; closes those that can take nothing any more.
    fn weigh(&mut self, problem: &Problem<'_>, candidates: Set) {
        for place in members(candidates) {
            self.takes[place] = problem.promise[place].takes(self.basis[place]);
            if self.takes[place] == 0 {
                self.open &= !(1 << place);
            }
        }
    }
}

/// Places up to this one.
fn upto(place: usize) -> Set {
    ((2_u64 << place) - 1) as Set
}

/// Candidates with the most that each can take, the largest first.
#[derive(Clone, Default)]
struct Order {
    entries: [(i64, u8); MAX],
    len: usize,
}

impl Order {
    fn places(&self) -> impl Iterator<Item = usize> {
        self.entries[..self.len].iter().map(|&(_, place)| usize::from(place))
    }

    /// The most of these candidates within the limits, until an amount is reached.
    fn climb(&self, problem: &Problem<'_>, mut open: Set, limits: Limits, amount: i64) -> Climbed {
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
struct Climbed {
    sum: i64,
    set: Set,
    limits: Limits,
}

/// Sets that have some candidates, and maybe later ones.
struct Branch {
    set: Set,
    later: Set,
    /// Without the later ones.
    room: Limits,
    climbed: Climbed,
    base: i64,
    rest: i64,
    /// What they take at most.
    bound: i64,
}

/// What groups, templates and the count have no room for any more.
#[derive(Clone, Copy)]
struct Limits {
    in_group: [u8; MAX + 1],
    of_template: [u8; MAX],
    slots: u32,
    /// Candidates without room.
    full: Set,
}

impl Limits {
    fn of(problem: &Problem<'_>) -> Self {
        Self { in_group: [0; MAX + 1], of_template: [0; MAX], slots: problem.count_limit, full: 0 }
    }

    fn has_room(&self, place: usize) -> bool {
        self.full >> place & 1 == 0
    }

    fn add(&mut self, problem: &Problem<'_>, place: usize) {
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
