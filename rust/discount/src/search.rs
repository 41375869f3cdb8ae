//! Branch and bound over sets of candidates, in the order of application. A set counts only when each of its coupons
//! takes something at its turn.
//!
//! The bound: what is taken so far, and the most that the candidates still open could take if each met today's nets, as
//! many of them as groups, templates and the count allow. Nets only fall, and so does what a promise takes of them; the
//! limits are nested (template within group within count), so taking the largest first is the most.
use std::cmp::Reverse;

use crate::nets::Nets;
use crate::problem::{MAX, Problem, Set, members};

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
    /// The highest total of a set with this candidate.
    With(usize),
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
    /// The most that a set in a branch left unexplored could take.
    open: i64,
    /// Whether anything was left unexplored.
    pub(crate) cut: bool,
    /// What may still be spent: 1 a node, and more for large carts.
    work_left: i64,
    pub(crate) nodes: u64,
    nets: Vec<Nets>,
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
    /// What each candidate would take now, budgets apart; 0 of those that can't.
    takes: [i64; MAX],
    taken: [i64; MAX],
    /// By template.
    spent: [i64; MAX],
    in_group: [u8; MAX + 1],
    of_template: [u8; MAX],
    /// Which of the kept nets it stands on, and whose discounts these do not have yet.
    level: usize,
    pending: Set,
}

impl<'p, 'a> Search<'p, 'a> {
    pub(crate) fn new(problem: &'p Problem<'a>, work: i64) -> Self {
        Self {
            problem,
            aim: Aim::Best,
            best: Found::default(),
            with: [None; MAX],
            part: None,
            open: 0,
            cut: false,
            work_left: work,
            nodes: 0,
            nets: Vec::new(),
        }
    }

    /// Finds the best set; the most that any set could take.
    pub(crate) fn run(&mut self) -> i64 {
        self.start(Aim::Best, self.problem.everyone());
        self.open.max(self.best.total)
    }

    /// Of sets with this candidate: the best seen is in `with`; the most that any could take.
    pub(crate) fn run_with(&mut self, candidate: usize) -> i64 {
        self.start(Aim::With(candidate), self.problem.everyone() & !self.problem.conflicts[candidate]);
        self.open.max(self.with[candidate].map_or(0, |found| found.total))
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
        if self.nets.is_empty() {
            self.nets.push(self.problem.nets.clone());
        }
        let mut root = Node {
            set: 0,
            count: 0,
            total: 0,
            headroom: self.problem.headroom,
            open,
            basis: self.problem.basis,
            takes: [0; MAX],
            taken: [0; MAX],
            spent: [0; MAX],
            in_group: [0; MAX + 1],
            of_template: [0; MAX],
            level: 0,
            pending: 0,
        };
        self.weigh(&mut root);
        self.visit(&root);
    }

    fn visit(&mut self, node: &Node) {
        let order = Order::of(node, self.problem);
        if !self.can_improve(node, &order) {
            return;
        }
        let mut children: [(i64, usize); MAX] = [(0, 0); MAX];
        let mut count = 0;
        for place in members(self.choosable(node)) {
            let Some(discount) = self.discount(node, place) else { continue };
            let bound = self.bound(node, &order, place, discount);
            if bound >= self.wanted() {
                children[count] = (bound, place);
                count += 1;
            }
        }
        let children = &mut children[..count];
        children.sort_unstable_by_key(|&(bound, place)| (Reverse(bound), place));
        for &(bound, place) in &*children {
            if bound < self.wanted() {
                return;
            }
            let Some(discount) = self.discount(node, place) else { continue };
            if self.aim == Aim::Best && bound == self.best.total && !self.may_win_a_tie(node, &order, place, discount) {
                continue;
            }
            if self.work_left <= 0 {
                self.open = self.open.max(bound);
                self.cut = true;
                return;
            }
            let mut child = self.child(node, place, discount);
            self.evaluate(&child);
            let across = child.open & self.problem.across[place];
            if across != 0 && self.can_improve(&child, &Order::of(&child, self.problem)) {
                self.sum_up_again(&mut child, across);
            }
            if child.open != 0 {
                self.visit(&child);
            }
        }
    }

    /// Whether anything that comes after this set is worth a look.
    fn can_improve(&self, node: &Node, order: &Order) -> bool {
        let most = self.most(order, node.open, &Limits::of(node, self.problem));
        node.open != 0 && node.total + node.headroom.min(most) >= self.wanted()
    }

    /// The least bound that is worth a look.
    fn wanted(&self) -> i64 {
        match self.aim {
            // Equal totals are compared.
            Aim::Best => self.best.total.max(1),
            Aim::With(candidate) => self.with[candidate].map_or(1, |found| found.total + 1),
            Aim::PartOf(_) => self.part.map_or(1, |found| found.total + 1),
        }
    }

    /// Which candidates may come next.
    fn choosable(&self, node: &Node) -> Set {
        // An interchangeable one comes only beside its predecessor.
        let mut next = node.open & (!self.problem.follows | node.set << 1);
        if let Aim::With(candidate) = self.aim
            && node.set >> candidate & 1 == 0
        {
            // Not past the one that must be in.
            next &= upto(candidate);
        }
        next
    }

    /// What a candidate takes if it comes next; `None` where its budget is too small for that.
    fn discount(&self, node: &Node, place: usize) -> Option<i64> {
        let discount = node.takes[place].min(node.headroom);
        let fits = self.problem.budget[place]
            .is_none_or(|left| discount <= left - node.spent[usize::from(self.problem.template[place])]);
        (fits && discount > 0).then_some(discount)
    }

    /// The most that a set can take which has this candidate next, and then only later ones.
    fn bound(&self, node: &Node, order: &Order, place: usize, discount: i64) -> i64 {
        let mut later = node.open & !upto(place) & !self.problem.conflicts[place];
        let mut limits = Limits::of(node, self.problem);
        limits.add(place);
        let mut forced = 0;
        if let Aim::With(candidate) = self.aim
            && (node.set | 1 << place) >> candidate & 1 == 0
        {
            if later >> candidate & 1 == 0 || !limits.has_room(candidate) {
                return 0;
            }
            limits.add(candidate);
            later &= !(1 << candidate) & !self.problem.conflicts[candidate];
            forced = order.most(candidate);
        }
        let rest = node.headroom - discount;
        node.total + discount + rest.min(forced.saturating_add(self.most(order, later, &limits)))
    }

    /// The most of these candidates within the limits.
    fn most(&self, order: &Order, set: Set, limits: &Limits<'_, '_>) -> i64 {
        let exclusive = self.problem.exclusive;
        if set & exclusive == 0 {
            return order.sum(set, *limits);
        }
        // A set with an exclusive one has otherwise only joint ones; two exclusive ones are both joint.
        let alone = members(set & exclusive & !self.problem.joint).map(|place| order.most(place)).max().unwrap_or(0);
        let beside = order.sum(set & self.problem.joint, *limits).saturating_add(alone);
        order.sum(set & !exclusive, *limits).max(beside)
    }

    /// Of a branch that can do no more than equal the best: whether it could do so with fewer coupons, or as many that
    /// expire earlier or have smaller ids.
    fn may_win_a_tie(&self, node: &Node, order: &Order, place: usize, discount: i64) -> bool {
        let later = node.open & !upto(place);
        let mut limits = Limits::of(node, self.problem);
        limits.add(place);
        let missing = self.best.total - node.total - discount;
        let fewest = node.count + 1 + order.fewest(later, limits, missing);
        let best = self.best.set;
        match fewest.cmp(&best.count_ones()) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                let more = (fewest - node.count - 1) as usize;
                self.least_ranks(node.set | 1 << place, later, more) < self.ranks(best)
            }
        }
    }

    /// Sorted expiries, then sorted ids.
    fn ranks(&self, set: Set) -> (Vec<i64>, Vec<i64>) {
        self.least_ranks(set, 0, 0)
    }

    /// The same of the best that could come of a set with so many more of the others.
    fn least_ranks(&self, set: Set, others: Set, more: usize) -> (Vec<i64>, Vec<i64>) {
        let least = |field: fn(&(i64, i64)) -> i64| {
            let mut of_others: Vec<i64> = members(others).map(|place| field(&self.problem.rank[place])).collect();
            of_others.sort_unstable();
            let mut all: Vec<i64> = members(set).map(|place| field(&self.problem.rank[place])).collect();
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
        child.taken[place] = discount;
        child.pending |= 1 << place;
        let (group, template) = (usize::from(problem.group[place]), usize::from(problem.template[place]));
        child.in_group[group] += 1;
        child.of_template[template] += 1;
        child.spent[template] += discount;
        child.open =
            if child.count < problem.count_limit { node.open & !upto(place) & !problem.conflicts[place] } else { 0 };
        if child.in_group[group] >= problem.group_limit[group] {
            child.open &= !problem.group_members[group];
        }
        for other in members(child.open & problem.template_members[template]) {
            if child.of_template[template] >= problem.stack_limit[other] {
                child.open &= !(1 << other);
            }
        }
        for later in members(child.open & problem.within[place]) {
            child.basis[later] -= discount;
        }
        self.weigh(&mut child);
        child
    }

    /// Brings the bases that only the nets can tell from what they were, which is no less, to what they are.
    fn sum_up_again(&mut self, child: &mut Node, across: Set) {
        self.bring_nets(child);
        for later in members(across) {
            child.basis[later] = self.nets[child.level].basis(&self.problem.offers[later]);
        }
        self.weigh(child);
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
            nets.take(offer, child.taken[taker], |_, _, _| {});
        }
        child.level = level;
        child.pending = 0;
    }

    /// What each open candidate would take now; closes those that can take nothing any more.
    fn weigh(&self, node: &mut Node) {
        if node.headroom == 0 {
            node.open = 0;
        }
        for place in members(node.open) {
            node.takes[place] = self.problem.promise[place].of(node.basis[place]).map_or(0, |(takes, _)| takes);
            if node.takes[place] == 0 {
                node.open &= !(1 << place);
            }
        }
    }
}

/// Places up to this one.
fn upto(place: usize) -> Set {
    ((2_u64 << place) - 1) as Set
}

/// Open candidates with the most that each can take, the largest first.
struct Order {
    entries: [(i64, u8); MAX],
    len: usize,
    most: [i64; MAX],
}

impl Order {
    fn of(node: &Node, problem: &Problem<'_>) -> Self {
        let mut order = Self { entries: [(0, 0); MAX], len: 0, most: [0; MAX] };
        for place in members(node.open) {
            let mut most = node.takes[place].min(node.headroom);
            if let Some(left) = problem.budget[place] {
                most = most.min((left - node.spent[usize::from(problem.template[place])]).max(0));
            }
            order.most[place] = most;
            order.entries[order.len] = (most, place as u8);
            order.len += 1;
        }
        order.entries[..order.len].sort_unstable_by_key(|&(most, place)| (Reverse(most), place));
        order
    }

    fn most(&self, place: usize) -> i64 {
        self.most[place]
    }

    fn sum(&self, set: Set, limits: Limits<'_, '_>) -> i64 {
        self.climb(set, limits, i64::MAX).0
    }

    /// How many of these candidates it takes at least to reach an amount.
    fn fewest(&self, set: Set, limits: Limits<'_, '_>, amount: i64) -> u32 {
        let (reached, count) = self.climb(set, limits, amount);
        if reached < amount { u32::MAX / 2 } else { count }
    }

    /// The largest first, until an amount is reached.
    fn climb(&self, set: Set, mut limits: Limits<'_, '_>, amount: i64) -> (i64, u32) {
        let (mut sum, mut count) = (0_i64, 0);
        for &(most, place) in &self.entries[..self.len] {
            if limits.slots == 0 || sum >= amount {
                break;
            }
            let place = usize::from(place);
            if set >> place & 1 == 1 && limits.has_room(place) {
                limits.add(place);
                sum = sum.saturating_add(most);
                count += 1;
            }
        }
        (sum, count)
    }
}

/// What groups, templates and the count still have room for.
#[derive(Clone, Copy)]
struct Limits<'p, 'a> {
    problem: &'p Problem<'a>,
    in_group: [u8; MAX + 1],
    of_template: [u8; MAX],
    slots: u32,
}

impl<'p, 'a> Limits<'p, 'a> {
    fn of(node: &Node, problem: &'p Problem<'a>) -> Self {
        Self {
            problem,
            in_group: node.in_group,
            of_template: node.of_template,
            slots: problem.count_limit - node.count,
        }
    }

    fn has_room(&self, place: usize) -> bool {
        let (group, template) = (usize::from(self.problem.group[place]), usize::from(self.problem.template[place]));
        self.slots > 0
            && self.in_group[group] < self.problem.group_limit[group]
            && self.of_template[template] < self.problem.bound_stack_limit[template]
    }

    fn add(&mut self, place: usize) {
        self.in_group[usize::from(self.problem.group[place])] += 1;
        self.of_template[usize::from(self.problem.template[place])] += 1;
        self.slots -= 1;
    }
}
