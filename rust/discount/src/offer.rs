//! One coupon against the cart as sent, before any other coupon: is it eligible, on which lines or shipments, and what
//! does it promise. Conditions look at list prices, so nothing here depends on the order of application.
use smallvec::SmallVec;

use crate::cart::Cart;
use crate::coupon::{CouponSpec, State};
use crate::places::Places;
use crate::refusal::Refusal;
use crate::terms::{Benefit, FixedPrice, NthItem, Overshoot, Steps, Terms, Tier};

/// An eligible coupon.
#[derive(Clone, Debug)]
pub(crate) struct Offer<'a> {
    /// Its place among the submitted.
    pub(crate) index: usize,
    pub(crate) coupon: &'a CouponSpec,
    pub(crate) promise: Promise,
    pub(crate) target: Target,
    /// The lines (or shipments) that it takes from; may be empty where nothing is there to take.
    pub(crate) places: Places,
    /// Of the kinds that look at units: which units of its lines.
    pub(crate) picks: Option<Picks>,
    pub(crate) next_tier: Option<NextTier>,
}

/// What its places are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Lines,
    Shipments,
}

/// The first `counts[i]` units of the i-th of its lines, and what each costs above `above`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picks {
    pub(crate) counts: Vec<i64>,
    pub(crate) above: i64,
}

/// What it takes of its basis at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    Percent { rate_bp: i64, cap: Option<i64> },
    Amount { amount: i64, overshoot: Overshoot },
    Whole { cap: Option<i64> },
}

impl Promise {
    /// The promise clipped to its cap and basis, and the part of it beyond the basis.
    pub(crate) fn of(self, basis: i64) -> Result<(i64, i64), Refusal> {
        match self {
            Self::Amount { amount, overshoot: Overshoot::Reject } if amount > basis => Err(Refusal::Overshoot),
            Self::Amount { amount, .. } => Ok((self.takes(basis), (amount - basis).max(0))),
            _ => Ok((self.takes(basis), 0)),
        }
    }

    /// The same without the reason: 0 where it is refused. Never more with a smaller basis.
    pub(crate) fn takes(self, basis: i64) -> i64 {
        match self {
            Self::Percent { rate_bp, cap } => cap.unwrap_or(i64::MAX).min(percent(basis, rate_bp)),
            Self::Amount { amount, overshoot: Overshoot::Reject } if amount > basis => 0,
            Self::Amount { amount, .. } => amount.min(basis),
            Self::Whole { cap } => cap.unwrap_or(i64::MAX).min(basis),
        }
    }
}

/// Rounded once, half up.
fn percent(basis: i64, rate_bp: i64) -> i64 {
    match basis.checked_mul(rate_bp).and_then(|product| product.checked_add(5_000)) {
        Some(product) => product / 10_000,
        // At most the basis, as the rate is at most 10,000.
        None => ((i128::from(basis) * i128::from(rate_bp) + 5_000) / 10_000) as i64,
    }
}

/// The next better step of a ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NextTier {
    pub(crate) amount_off: i64,
    pub(crate) short_by: i64,
}

impl<'a> Offer<'a> {
    pub(crate) fn new(cart: &Cart, index: usize, coupon: &'a CouponSpec, now: i64) -> Result<Self, Refusal> {
        let terms = coupon.terms.as_ref();
        check_state(coupon, now)?;
        if terms.currency != cart.currency {
            return Err(Refusal::CurrencyMismatch);
        }
        let by_units = matches!(terms.benefit, Benefit::NthItem { .. } | Benefit::FixedPrice { .. });
        if cart.totals_only && (by_units || !terms.is_unscoped()) {
            return Err(Refusal::ScopeMismatch);
        }
        let mut places = eligible_lines(cart, terms);
        let spend = places.iter().map(|place| cart.lists[place]).sum();
        let quantity = if terms.min_quantity > 0 { quantity(cart, &places) } else { 0 };
        let mut target = Target::Lines;
        let mut nothing_to_ship = false;
        if matches!(terms.benefit, Benefit::Shipping { .. }) {
            target = Target::Shipments;
            places = eligible_shipments(cart, terms, &places);
            nothing_to_ship = cart.shipments.is_empty();
        }
        if places.is_empty() && !nothing_to_ship {
            return Err(Refusal::ScopeMismatch);
        }
        let (promise, next_tier) = promise(terms, spend)?;
        let picks = match terms.benefit {
            Benefit::NthItem { nth_item, .. } => Some(pick_cheapest(cart, &mut places, nth_item)),
            Benefit::FixedPrice { fixed_price, .. } => Some(Ok(pick_dearest(cart, &mut places, fixed_price))),
            _ => None,
        };
        let too_few_to_group = picks.as_ref().and_then(|picks| picks.as_ref().err().copied()).unwrap_or(0);
        let short_by = (terms.min_quantity - quantity).max(too_few_to_group);
        if short_by > 0 {
            return Err(Refusal::MinQuantityNotMet { short_by });
        }
        let picks = picks.and_then(Result::ok);
        Ok(Self { index, coupon, promise, target, places, picks, next_tier })
    }
}

fn quantity(cart: &Cart, places: &Places) -> i64 {
    places.iter().map(|place| cart.lines[place].quantity).sum()
}

/// How many eligible units the cart lacks, whatever is spent.
pub(crate) fn missing_units(cart: &Cart, terms: &Terms) -> i64 {
    let places = eligible_lines(cart, terms);
    let to_group = match terms.benefit {
        Benefit::NthItem { nth_item, .. } => nth_item.group_size - quantity(cart, &priced_above(cart, &places, 0)),
        _ => 0,
    };
    (terms.min_quantity - quantity(cart, &places)).max(to_group).max(0)
}

fn priced_above(cart: &Cart, places: &Places, price: i64) -> Places {
    places.only(|place| cart.lines[place].unit_price > price)
}

/// Of all units the groups × discounted units cheapest by list price; an earlier line first where prices are equal. Units
/// without a price count for nothing. Fails with the units that are missing to the first group.
fn pick_cheapest(cart: &Cart, places: &mut Places, nth_item: NthItem) -> Result<Picks, i64> {
    *places = priced_above(cart, places, 0);
    let quantity = quantity(cart, places);
    if quantity < nth_item.group_size {
        return Err(nth_item.group_size - quantity);
    }
    let groups = (quantity / nth_item.group_size).min(nth_item.max_groups.unwrap_or(i64::MAX));
    Ok(pick(cart, places, |price| price, groups * nth_item.discounted_units, 0))
}

/// The dearest units by list price, of those above the fixed price.
fn pick_dearest(cart: &Cart, places: &mut Places, fixed_price: FixedPrice) -> Picks {
    *places = priced_above(cart, places, fixed_price.unit_price);
    pick(cart, places, |price| -price, fixed_price.max_units.unwrap_or(i64::MAX), fixed_price.unit_price)
}

/// The first `units` units, those with the smaller `rank` of their price first; `places` becomes the lines that have one.
fn pick(cart: &Cart, places: &mut Places, rank: impl Fn(i64) -> i64, mut units: i64, above: i64) -> Picks {
    let mut preferred: SmallVec<[(i64, usize); 32]> =
        places.iter().map(|place| (rank(cart.lines[place].unit_price), place)).collect();
    preferred.sort_unstable();
    let mut picked: SmallVec<[(usize, i64); 32]> = SmallVec::new();
    for (_, place) in preferred {
        if units == 0 {
            break;
        }
        let count = cart.lines[place].quantity.min(units);
        units -= count;
        picked.push((place, count));
    }
    picked.sort_unstable();
    *places = Places::of(picked.iter().map(|&(place, _)| place));
    Picks { counts: picked.into_iter().map(|(_, count)| count).collect(), above }
}

/// What the coupon itself has become comes before its window, and its window before its template.
fn check_state(coupon: &CouponSpec, now: i64) -> Result<(), Refusal> {
    match coupon.state {
        State::Unused | State::Pending => {}
        State::Locked => return Err(Refusal::Locked),
        State::Used => return Err(Refusal::Used),
        State::Expired => return Err(Refusal::Expired),
        State::Revoked => return Err(Refusal::Revoked),
    }
    if coupon.valid_from.is_some_and(|from| now < from) {
        return Err(Refusal::NotStarted);
    }
    if coupon.valid_until.is_some_and(|until| now >= until) {
        return Err(Refusal::Expired);
    }
    if coupon.template_paused {
        return Err(Refusal::TemplatePaused);
    }
    if coupon.budget_left == Some(0) {
        return Err(Refusal::BudgetExhausted { left: 0 });
    }
    Ok(())
}

fn eligible_lines(cart: &Cart, terms: &Terms) -> Places {
    let mut places = cart.discountable;
    if terms.exclude_sale_items {
        places = places.without(&cart.on_sale);
    }
    if let Some(shop_id) = &terms.shop_id {
        places = places.only(|place| *shop_id == cart.lines[place].shop_id);
    }
    if !terms.scope.is_everything() {
        places = places.only(|place| terms.scope.takes_line(&cart.lines[place]));
    }
    places
}

/// A scope that names goods takes the shipments of the shops that send eligible goods; any other goes by the shop.
fn eligible_shipments(cart: &Cart, terms: &Terms, lines: &Places) -> Places {
    let takes_shop = |shop_id: &str| {
        if terms.scope.names_goods() {
            lines.iter().any(|place| cart.lines[place].shop_id == shop_id)
        } else {
            terms.scope.takes_shop(shop_id)
        }
    };
    let places = cart.shipments.iter().enumerate();
    Places::of(places.filter(|(_, shipment)| takes_shop(&shipment.shop_id)).map(|(place, _)| place))
}

fn promise(terms: &Terms, spend: i64) -> Result<(Promise, Option<NextTier>), Refusal> {
    let needed = needed_spend(terms);
    if spend < needed {
        return Err(Refusal::MinSpendNotMet { short_by: needed - spend });
    }
    match &terms.benefit {
        &Benefit::Percent { rate_bp, cap } => Ok((Promise::Percent { rate_bp, cap }, None)),
        &Benefit::Shipping { cap } | &Benefit::FixedPrice { cap, .. } => Ok((Promise::Whole { cap }, None)),
        &Benefit::NthItem { nth_item, cap } => Ok((Promise::Percent { rate_bp: nth_item.percent_off_bp, cap }, None)),
        Benefit::Amount { steps, overshoot } => {
            let (amount, next_tier) = amount(steps, spend);
            Ok((Promise::Amount { amount, overshoot: *overshoot }, next_tier))
        }
    }
}

/// The least spend with which the coupon gives anything.
fn needed_spend(terms: &Terms) -> i64 {
    match &terms.benefit {
        Benefit::Amount { steps: Steps::Tiers(tiers), .. } => {
            tiers.iter().map(|tier| tier.min_spend).min().unwrap_or(terms.min_spend)
        }
        Benefit::Amount { steps: Steps::Every { repeat, .. }, .. } => terms.min_spend.max(repeat.every),
        _ => terms.min_spend,
    }
}

fn amount(steps: &Steps, spend: i64) -> (i64, Option<NextTier>) {
    match steps {
        &Steps::Flat(amount) => (amount, None),
        Steps::Tiers(tiers) => climb(tiers, spend),
        Steps::Every { repeat, cap } => {
            // Not above the spend, as amount_off is at most every.
            let whole = spend / repeat.every * repeat.amount_off;
            (cap.map_or(whole, |cap| whole.min(cap)), None)
        }
    }
}

/// The reached tier with the largest amount, and the nearest unreached one that gives more.
fn climb(tiers: &[Tier], spend: i64) -> (i64, Option<NextTier>) {
    let reached = tiers.iter().filter(|tier| tier.min_spend <= spend);
    let amount = reached.map(|tier| tier.amount_off).max().unwrap_or(0);
    let better = tiers.iter().filter(|tier| tier.min_spend > spend && tier.amount_off > amount);
    let next = better.min_by_key(|tier| (tier.min_spend, -tier.amount_off));
    (amount, next.map(|tier| NextTier { amount_off: tier.amount_off, short_by: tier.min_spend - spend }))
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_percentage_is_rounded_half_up() {
        assert_eq!(percent(25, 1_000), 3);
        assert_eq!(percent(24, 1_000), 2);
        assert_eq!(percent(0, 10_000), 0);
        assert_eq!(percent(4_999, 1), 0);
        assert_eq!(percent(5_000, 1), 1);
    }

    #[test]
    fn a_percentage_of_the_largest_basis_is_exact() {
        assert_eq!(percent(i64::MAX, 10_000), i64::MAX);
        assert_eq!(percent(i64::MAX, 5_000), i64::MAX / 2 + 1);
    }
}
