//! The choice among coupons as numbers: what each candidate promises, which of them exclude each other, and whose basis
//! shrinks when another is taken. At most 32 candidates, so that a set of them is one word.
use crate::cart::Cart;
use crate::nets::Nets;
use crate::offer::{Offer, Promise, Target};
use crate::places::Places;
use crate::rules::{MAX_SUBMITTED, Rules};
use crate::tally::{Group, conflict};

pub(crate) const MAX: usize = MAX_SUBMITTED;
/// The group of a candidate that is in none.
pub(crate) const NO_GROUP: u8 = MAX as u8;

/// A set of candidates by their places.
pub(crate) type Set = u32;

pub(crate) fn members(mut set: Set) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let place = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (place < Set::BITS).then_some(place as usize)
    })
}

/// Candidates stand in the order of application; interchangeable neighbours among themselves by expiry and id.
pub(crate) struct Problem<'a> {
    pub(crate) offers: Vec<Offer<'a>>,
    pub(crate) nets: Nets,
    /// What may be taken in all.
    pub(crate) headroom: i64,
    pub(crate) count_limit: u32,
    pub(crate) basis: [i64; MAX],
    pub(crate) promise: [Promise; MAX],
    /// (expiry, id), for ties.
    pub(crate) rank: [(i64, i64); MAX],
    pub(crate) group: [u8; MAX],
    pub(crate) group_limit: [u8; MAX + 1],
    pub(crate) group_members: [Set; MAX + 1],
    pub(crate) template: [u8; MAX],
    pub(crate) template_members: [Set; MAX],
    pub(crate) stack_limit: [u8; MAX],
    /// What a bound may use: the same, or no limit where the template's coupons differ in their groups or limits.
    pub(crate) bound_stack_limit: [u8; MAX],
    pub(crate) budget: [Option<i64>; MAX],
    pub(crate) conflicts: [Set; MAX],
    pub(crate) exclusive: Set,
    pub(crate) joint: Set,
    /// Whose basis loses exactly what the candidate takes.
    pub(crate) within: [Set; MAX],
    /// Whose basis has to be summed up again once the candidate has taken its part.
    pub(crate) across: [Set; MAX],
    /// The first candidate that takes from the same.
    pub(crate) source: [u8; MAX],
    /// Those that change nothing when swapped with their predecessor: they are taken only beside it.
    pub(crate) follows: Set,
    /// Those that look at units.
    pub(crate) picking: Set,
}

impl<'a> Problem<'a> {
    /// Of the offers that could take something from the untouched cart, in the order of application.
    pub(crate) fn new(cart: &Cart, mut offers: Vec<Offer<'a>>, rules: &'a Rules) -> Self {
        let follows = sort_interchangeable(&mut offers, rules);
        let tracked = tracked_lines(&offers);
        let nets =
            if tracked.is_empty() { Nets::of_lines(cart) } else { Nets::new(cart, |place| tracked.contains(place)) };
        let mut problem = Self {
            headroom: (cart.original - rules.0.minimum_payable).max(0),
            count_limit: u32::try_from(rules.0.count_limit).unwrap_or(u32::MAX),
            basis: [0; MAX],
            promise: [Promise::Whole { cap: None }; MAX],
            rank: [(0, 0); MAX],
            group: [NO_GROUP; MAX],
            group_limit: [u8::MAX; MAX + 1],
            group_members: [0; MAX + 1],
            template: [0; MAX],
            template_members: [0; MAX],
            stack_limit: [u8::MAX; MAX],
            bound_stack_limit: [u8::MAX; MAX],
            budget: [None; MAX],
            conflicts: [0; MAX],
            exclusive: 0,
            joint: 0,
            within: [0; MAX],
            across: [0; MAX],
            source: [0; MAX],
            follows,
            picking: 0,
            nets,
            offers,
        };
        problem.fill(rules);
        problem.relate(cart);
        problem
    }

    pub(crate) fn len(&self) -> usize {
        self.offers.len()
    }

    pub(crate) fn everyone(&self) -> Set {
        ((1_u64 << self.len()) - 1) as Set
    }

    fn fill(&mut self, rules: &Rules) {
        let mut groups: Vec<Group<'_>> = Vec::with_capacity(self.offers.len());
        let mut templates: Vec<i64> = Vec::with_capacity(self.offers.len());
        for (place, offer) in self.offers.iter().enumerate() {
            let terms = offer.coupon.terms.as_ref();
            self.promise[place] = offer.promise;
            let same = |other: &Offer<'_>| {
                other.target == offer.target && other.places == offer.places && other.picks == offer.picks
            };
            let source = self.offers[..place].iter().position(same).unwrap_or(place);
            self.source[place] = source as u8;
            self.basis[place] = if source < place { self.basis[source] } else { self.nets.basis(offer) };
            self.rank[place] = rank(offer);
            self.budget[place] = offer.coupon.budget_left;
            if let Some(group) = Group::of(terms, rules) {
                let number = number_of(&mut groups, group);
                self.group[place] = number as u8;
                self.group_limit[number] = group.limit.clamp(0, 254) as u8;
                self.group_members[number] |= 1 << place;
            }
            let number = number_of(&mut templates, offer.coupon.template_id);
            self.template[place] = number as u8;
            self.template_members[number] |= 1 << place;
            self.stack_limit[place] = terms.stack_limit.clamp(0, 254) as u8;
            self.picking |= u32::from(offer.picks.is_some()) << place;
            self.exclusive |= u32::from(terms.exclusive) << place;
            self.joint |= u32::from(terms.joint) << place;
            for (other, earlier) in self.offers[..place].iter().enumerate() {
                if conflict(terms, &earlier.coupon.terms) {
                    self.conflicts[place] |= 1 << other;
                    self.conflicts[other] |= 1 << place;
                }
            }
        }
        for number in 0..templates.len() {
            let coupons = self.template_members[number];
            let first = coupons.trailing_zeros() as usize;
            let alike = members(coupons).all(|place| {
                self.group[place] == self.group[first] && self.stack_limit[place] == self.stack_limit[first]
            });
            if alike {
                self.bound_stack_limit[number] = self.stack_limit[first];
            }
        }
    }

    /// Whose basis a taken candidate changes, and how.
    fn relate(&mut self, cart: &Cart) {
        // Without what costs nothing.
        let reach: Vec<Places> = self
            .offers
            .iter()
            .map(|offer| {
                let lists = match offer.target {
                    Target::Lines => &cart.lists,
                    Target::Shipments => &cart.amounts,
                };
                offer.places.only(|place| lists[place] > 0)
            })
            .collect();
        for (taker, first) in reach.iter().enumerate() {
            for (later, second) in reach.iter().enumerate().skip(taker + 1) {
                if self.offers[taker].target != self.offers[later].target || !first.meets(second) {
                    continue;
                }
                let inside = match (&self.offers[taker].picks, &self.offers[later].picks) {
                    (_, None) => first.is_in(second),
                    (None, Some(_)) => false,
                    (Some(_), Some(_)) => self.picks_contain(later, taker),
                };
                if inside {
                    self.within[taker] |= 1 << later;
                } else {
                    self.across[taker] |= 1 << later;
                }
            }
        }
    }

    /// Whether all that one picks at full price is picked by the other too.
    fn picks_contain(&self, outer: usize, inner: usize) -> bool {
        let (outer, inner) = (&self.offers[outer], &self.offers[inner]);
        let (Some(wide), Some(narrow)) = (&outer.picks, &inner.picks) else {
            return false;
        };
        wide.above == 0
            && inner.places.is_in(&outer.places)
            && inner
                .places
                .iter()
                .zip(&narrow.counts)
                .all(|(place, &count)| wide.counts[outer.places.before(place)] >= count)
    }
}

fn number_of<T: PartialEq>(known: &mut Vec<T>, value: T) -> usize {
    known.iter().position(|other| *other == value).unwrap_or_else(|| {
        known.push(value);
        known.len() - 1
    })
}

/// Earlier expiry, then smaller id.
fn rank(offer: &Offer<'_>) -> (i64, i64) {
    (offer.coupon.valid_until.unwrap_or(i64::MAX), offer.coupon.coupon_id)
}

/// Puts interchangeable neighbours in the order of their rank.
fn sort_interchangeable(offers: &mut [Offer<'_>], rules: &Rules) -> Set {
    let mut follows = 0;
    let mut start = 0;
    for place in 1..=offers.len() {
        if place < offers.len() && interchangeable(offers, place, rules) {
            follows |= 1 << place;
        } else {
            offers[start..place].sort_unstable_by_key(rank);
            start = place;
        }
    }
    follows
}

/// Whether an offer and the one before it take the same in every set, so that they count once.
fn interchangeable(offers: &[Offer<'_>], place: usize, rules: &Rules) -> bool {
    let (a, b) = (&offers[place - 1], &offers[place]);
    let (one, other) = (a.coupon.terms.as_ref(), b.coupon.terms.as_ref());
    let alone = |template_id| offers.iter().filter(|offer| offer.coupon.template_id == template_id).count() == 1;
    let alike = || {
        let of_one_template = a.coupon.template_id == b.coupon.template_id && one.stack_limit == other.stack_limit;
        let no_budget = a.coupon.budget_left.is_none() && b.coupon.budget_left.is_none();
        of_one_template && a.coupon.budget_left == b.coupon.budget_left
            || no_budget && alone(a.coupon.template_id) && alone(b.coupon.template_id)
    };
    // The order of application looks at class, priority and kind first.
    one.turn == other.turn
        && (a.target, a.promise) == (b.target, b.promise)
        && a.places == b.places
        && a.picks == b.picks
        && (one.exclusive, one.joint) == (other.exclusive, other.joint)
        && Group::of(one, rules) == Group::of(other, rules)
        && alike()
}

/// Lines whose units an offer looks at.
fn tracked_lines(offers: &[Offer<'_>]) -> Places {
    Places::of(offers.iter().filter(|offer| offer.picks.is_some()).flat_map(|offer| offer.places.iter()))
}
