//! Branch and bound over sets of candidates, in the order of application. A set counts only when each of its coupons
//! takes something at its turn.
//!
//! The bound: what is taken so far, and the most that the candidates still open could take if each met today's nets, as
//! many of them as groups, templates and the count allow. Nets only fall, and so does what a promise takes of them; the
//! limits are nested (template within group within count), so taking the largest first is the most.
use std::cmp::Reverse;

use self::bounds::{Branch, Limits, Order};
use crate::nets::{Lots, Nets};
use crate::problem::{MAX, Problem, Set, members};

mod bounds;
mod ties;

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
    /// How often one of the known ones became better.
    improvements: u64,
    /// By candidate the total of `with`, and which of them no set could better.
    known: [i64; MAX],
    settled: Set,
    /// What no set takes more than, once that is known.
    most: i64,
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
    lots: Lots,
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
    /// Of the candidates asked for: those with which a set that comes of this one could be better than what is known.
    wanted: Set,
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
            wanted: 0,
        };
        root.weigh(problem, root.open);
        let mut search = Self {
            problem,
            aim: Aim::Best,
            best: Found::default(),
            with: [None; MAX],
            part: None,
            improvements: 0,
            known: [0; MAX],
            settled: 0,
            most: i64::MAX,
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
            lots: Lots::default(),
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
        if !self.cut {
            self.most = self.best.total;
        }
        for place in members(candidates) {
            self.settled |= Set::from(self.known[place] == self.most) << place;
        }
        self.start(Aim::Each(candidates), self.problem.everyone());
        std::array::from_fn(|place| self.open_with[place].max(self.known[place]))
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
        root.wanted = if let Aim::Each(candidates) = aim { candidates } else { 0 };
        if self.can_improve(&mut root, &order) {
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
        let improvements = self.improvements;
        let children = &mut children[..count];
        children.sort_unstable_by_key(|&(bound, place)| (Reverse(bound), place));
        for &(bound, place) in &*children {
            let Some(discount) = self.discount(node, place) else { continue };
            // What was worth it may not be so beside what was found since.
            if self.improvements > improvements {
                let branch = self.branch(node, order, Some((place, discount)));
                if !self.is_worth_it(node, order, &branch) {
                    continue;
                }
            }
            if self.aim == Aim::Best && bound == self.best.total && !self.may_win_a_tie(node, order, place, discount) {
                continue;
            }
            if self.work_left <= 0 {
                let branch = self.branch(node, order, Some((place, discount)));
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
        if let Aim::Each(_) = self.aim {
            for candidate in members(node.wanted) {
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
        if self.can_improve(&mut child, &child_order) {
            let across = child.open & self.problem.across[place];
            if across != 0 {
                self.sum_up_again(&mut child, across);
                child_order = self.order(&child, child_order.places());
            }
            if across == 0 || self.can_improve(&mut child, &child_order) {
                self.visit(&child, &child_order);
            }
        }
        self.spent[template] -= discount;
        self.limits = limits;
    }

    /// Whether anything that comes after this set is worth a look.
    fn can_improve(&self, node: &mut Node, order: &Order) -> bool {
        if node.open == 0 {
            return false;
        }
        let branch = self.branch(node, order, None);
        if let Aim::Each(_) = self.aim {
            let wanted = node.wanted & !self.settled;
            node.wanted = members(wanted).fold(0, |set, candidate| {
                set | Set::from(self.could_better(node, order, &branch, candidate)) << candidate
            });
            return node.wanted != 0;
        }
        self.is_worth_it(node, order, &branch)
    }

    fn is_worth_it(&self, node: &Node, order: &Order, branch: &Branch) -> bool {
        match self.aim {
            // Equal totals are compared.
            Aim::Best => branch.bound >= self.best.total.max(1),
            Aim::PartOf(_) => branch.bound > self.part.map_or(0, |found| found.total),
            Aim::Each(_) => members(node.wanted & (branch.set | branch.later))
                .any(|candidate| self.could_better(node, order, branch, candidate)),
        }
    }

    /// Whether a set of a branch that has this candidate could take more than what is known.
    fn could_better(&self, node: &Node, order: &Order, branch: &Branch, candidate: usize) -> bool {
        let known = self.known[candidate];
        branch.bound > known && self.bound_with(node, order, branch, candidate) > known
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

    fn evaluate(&mut self, node: &Node) {
        let found = Found { set: node.set, total: node.total };
        for place in members(node.set) {
            if self.known[place] < found.total {
                self.with[place] = Some(found);
                self.known[place] = found.total;
                self.improvements += 1;
                self.settled |= Set::from(found.total == self.most) << place;
            }
        }
        match self.aim {
            Aim::Best if self.is_better(found) => {
                self.best = found;
                self.improvements += 1;
            }
            Aim::PartOf(whole) if node.set != whole && self.part.is_none_or(|part| part.total < found.total) => {
                self.part = Some(found);
                self.improvements += 1;
            }
            _ => {}
        }
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
        // Nothing that is open later was not open before, so nobody asks for the units any more.
        if (child.open | child.pending) & self.problem.picking == 0 {
            nets.copy_without_units(&below[child.level]);
        } else {
            nets.clone_from(&below[child.level]);
        }
        for taker in members(child.pending) {
            let offer = &self.problem.offers[taker];
            self.work_left -= offer.places.len() as i64 / 16;
            let basis = nets.basis(offer);
            nets.take(offer, self.taken[taker], basis, &mut self.lots, |_, _, _| {});
        }
        child.level = level;
        child.pending = 0;
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
