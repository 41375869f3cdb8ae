//! `best`: of the candidates, the set that takes the most off, with a certificate: why no other set takes more, what the
//! next best one would lack, and for each candidate left out what it would cost to have it in.
use std::cmp::Reverse;

use crate::cart::Cart;
use crate::coupon::Coupon;
use crate::decision::{Decision, Hint, Rejected, judge, turn, write_down};
use crate::offer::{Offer, missing_units};
use crate::problem::{Problem, Set, members};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::search::{Found, Search};
use crate::tally::Tally;
use crate::violation::Violations;

/// What a search may spend: a node costs 1, and more where a large cart has to be allocated again.
pub const WORK: i64 = 50_000;

/// The best set applied, and why it is the best. Rejected candidates that could stand in a set are `NotInBest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BestDecision {
    pub decision: Decision,
    pub certificate: Certificate,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Nothing was left unexplored. Otherwise `less_by` are lower bounds, and ties may be unresolved.
    pub exact: bool,
    /// No set takes more than the discount and this; 0 where `exact`.
    pub gap: i64,
    pub runner_up: Option<RunnerUp>,
    /// Sets that were looked at.
    pub nodes: u64,
}

/// The best of the other sets, but for swaps of interchangeable coupons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerUp {
    /// In the order of application.
    pub coupons: Vec<usize>,
    pub less_by: i64,
}

/// Chooses among the coupons: most discount, then fewer coupons, then earlier expiry, then smaller ids. Fails when there
/// are more than may be submitted.
pub fn best(cart: &Cart, coupons: &[Coupon], rules: &Rules, now: i64) -> Result<BestDecision, Violations> {
    best_within(cart, coupons, rules, now, WORK)
}

/// `best` with another allowance of work.
pub fn best_within(
    cart: &Cart,
    coupons: &[Coupon],
    rules: &Rules,
    now: i64,
    work: i64,
) -> Result<BestDecision, Violations> {
    rules.check_submitted(coupons.len())?;
    let (offers, mut rejected) = judge(cart, coupons, now);
    let unlocks = unlocks(cart, coupons, &rejected);
    let mut tally = Tally::new(cart, rules);
    let mut alone: Vec<(usize, Option<Refusal>)> = Vec::with_capacity(offers.len());
    let mut candidates: Vec<Offer<'_>> = Vec::with_capacity(offers.len());
    for offer in offers {
        match tally.weigh(&offer) {
            Ok(_) => alone.push((offer.index, None)),
            // Beside others it may take less, and so little enough.
            Err(refusal @ Refusal::BudgetExhausted { .. }) => alone.push((offer.index, Some(refusal))),
            Err(refusal) => {
                rejected.push(Rejected { coupon: offer.index, refusal });
                continue;
            }
        }
        candidates.push(offer);
    }
    let problem = Problem::new(cart, candidates, rules);
    let choice = Choice::make(&problem, work);
    for (place, less_by) in &choice.out {
        let index = problem.offers[*place].index;
        let refusal = match less_by {
            Some(less_by) => Refusal::NotInBest { less_by: *less_by },
            None => {
                alone.iter().find(|(of, _)| *of == index).and_then(|(_, why)| why.clone()).unwrap_or(Refusal::NoEffect)
            }
        };
        rejected.push(Rejected { coupon: index, refusal });
    }
    let in_order = |set: Set| {
        let mut offers: Vec<&Offer<'_>> = members(set).map(|place| &problem.offers[place]).collect();
        offers.sort_unstable_by_key(|offer| turn(offer.coupon));
        offers
    };
    for offer in in_order(choice.best.set) {
        let taken = tally.apply(offer);
        debug_assert_eq!(taken, Ok(()));
    }
    debug_assert_eq!(cart.original - tally.payable(), choice.best.total);
    let runner_up = choice.runner_up.map(|found| RunnerUp {
        coupons: in_order(found.set).iter().map(|offer| offer.index).collect(),
        less_by: choice.best.total - found.total,
    });
    rejected.sort_unstable_by_key(|entry| entry.turn(coupons));
    let mut decision = write_down(cart, tally, rejected);
    decision.hints.extend(unlocks);
    let certificate = Certificate { exact: choice.exact, gap: choice.gap, runner_up, nodes: choice.nodes };
    Ok(BestDecision { decision, certificate })
}

/// What the coupons that miss only a spend are short of: goods that are added are at least one unit.
fn unlocks(cart: &Cart, coupons: &[Coupon], rejected: &[Rejected]) -> Vec<Hint> {
    rejected
        .iter()
        .filter(|entry| matches!(entry.refusal, Refusal::MinSpendNotMet { .. }))
        .filter(|entry| missing_units(cart, &coupons[entry.coupon].0.terms) <= 1)
        .filter_map(|entry| match entry.refusal {
            Refusal::MinSpendNotMet { short_by } => Some(Hint::Unlock { coupon: entry.coupon, short_by }),
            _ => None,
        })
        .collect()
}

/// What the search found.
struct Choice {
    best: Found,
    exact: bool,
    gap: i64,
    runner_up: Option<Found>,
    nodes: u64,
    /// Candidates that are not in the best set, with their `less_by`; `None` where no set has them.
    out: Vec<(usize, Option<i64>)>,
}

impl Choice {
    fn make(problem: &Problem<'_>, work: i64) -> Self {
        let mut search = Search::new(problem, work);
        let most = search.run();
        let best = search.best;
        let mut others: Vec<Found> = Vec::with_capacity(problem.len() + 1);
        // (first, next, end) of interchangeable ones: the first few are in; the next stands for all others.
        let mut left_out: Vec<(usize, usize, usize)> = Vec::with_capacity(problem.len());
        let mut start = 0;
        while start < problem.len() {
            let mut end = start + 1;
            while end < problem.len() && problem.follows >> end & 1 == 1 {
                end += 1;
            }
            if let Some(next) = (start..end).find(|place| best.set >> place & 1 == 0) {
                left_out.push((start, next, end));
            }
            start = end;
        }
        let most_with = search.run_each(left_out.iter().fold(0, |set, &(_, next, _)| set | 1 << next));
        let mut out = Vec::with_capacity(problem.len());
        for (start, next, end) in left_out {
            others.extend(search.with[next]);
            let most = most_with[next];
            let less_by = if next > start { Some(0) } else { (most > 0).then(|| (best.total - most).max(0)) };
            out.extend((next..end).map(|place| (place, less_by)));
        }
        if best.set.count_ones() > 1 {
            others.extend(search.run_part(best.set));
        }
        let runner_up =
            others.into_iter().min_by_key(|found| (Reverse(found.total), found.set.count_ones(), found.set));
        Self { best, exact: !search.cut, gap: most - best.total, runner_up, nodes: search.nodes, out }
    }
}
