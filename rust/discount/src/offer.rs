//! One coupon against the cart as sent, before any other coupon: is it eligible, on which lines or shipments, and what
//! does it promise. Conditions look at list prices, so nothing here depends on the order of application.
use crate::cart::{Cart, Line};
use crate::coupon::{CouponSpec, State};
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
    /// Places of the lines (or shipments) that it takes from, ascending; may be empty where nothing is there to take.
    pub(crate) places: Vec<usize>,
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

/// The first `counts[i]` units of the line at `places[i]`, and what each costs above `above`.
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
    /// The promise clipped to its cap and basis, and the part of it beyond the basis. Never more with a smaller basis.
    pub(crate) fn of(self, basis: i64) -> Result<(i64, i64), Refusal> {
        match self {
            Self::Percent { rate_bp, cap } => {
                let discount = percent(basis, rate_bp);
                Ok((cap.map_or(discount, |cap| discount.min(cap)), 0))
            }
            Self::Amount { amount, overshoot: Overshoot::Reject } if amount > basis => Err(Refusal::Overshoot),
            Self::Amount { amount, .. } => Ok((amount.min(basis), (amount - basis).max(0))),
            Self::Whole { cap } => Ok((cap.map_or(basis, |cap| basis.min(cap)), 0)),
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
        let spend = places.iter().map(|&place| cart.lines[place].list()).sum();
        let quantity: i64 = places.iter().map(|&place| cart.lines[place].quantity).sum();
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

/// How many eligible units the cart lacks, whatever is spent.
pub(crate) fn missing_units(cart: &Cart, terms: &Terms) -> i64 {
    let quantity = |least_price: i64| -> i64 {
        let lines = eligible_lines(cart, terms).into_iter().map(|place| &cart.lines[place]);
        lines.filter(|line| line.unit_price >= least_price).map(|line| line.quantity).sum()
    };
    let to_group = match terms.benefit {
        Benefit::NthItem { nth_item, .. } => nth_item.group_size - quantity(1),
        _ => 0,
    };
    (terms.min_quantity - quantity(0)).max(to_group).max(0)
}

/// Of all units the groups × discounted units cheapest by list price; an earlier line first where prices are equal. Units
/// without a price count for nothing. Fails with the units that are missing to the first group.
fn pick_cheapest(cart: &Cart, places: &mut Vec<usize>, nth_item: NthItem) -> Result<Picks, i64> {
    places.retain(|&place| cart.lines[place].unit_price > 0);
    let quantity: i64 = places.iter().map(|&place| cart.lines[place].quantity).sum();
    if quantity < nth_item.group_size {
        return Err(nth_item.group_size - quantity);
    }
    let groups = (quantity / nth_item.group_size).min(nth_item.max_groups.unwrap_or(i64::MAX));
    let mut by_price = places.clone();
    by_price.sort_by_key(|&place| cart.lines[place].unit_price);
    Ok(pick(cart, places, &by_price, groups * nth_item.discounted_units, 0))
}

/// The dearest units by list price, of those above the fixed price.
fn pick_dearest(cart: &Cart, places: &mut Vec<usize>, fixed_price: FixedPrice) -> Picks {
    places.retain(|&place| cart.lines[place].unit_price > fixed_price.unit_price);
    let mut by_price = places.clone();
    by_price.sort_by_key(|&place| std::cmp::Reverse(cart.lines[place].unit_price));
    pick(cart, places, &by_price, fixed_price.max_units.unwrap_or(i64::MAX), fixed_price.unit_price)
}

/// The first `units` units in the order of `preferred`; `places` becomes those that have one.
fn pick(cart: &Cart, places: &mut Vec<usize>, preferred: &[usize], mut units: i64, above: i64) -> Picks {
    let mut picked = Vec::with_capacity(preferred.len());
    for &place in preferred {
        let count = cart.lines[place].quantity.min(units);
        units -= count;
        if count > 0 {
            picked.push((place, count));
        }
    }
    picked.sort_unstable();
    *places = picked.iter().map(|&(place, _)| place).collect();
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

fn eligible_lines(cart: &Cart, terms: &Terms) -> Vec<usize> {
    let left_out = |line: &Line| line.not_discountable || (terms.exclude_sale_items && line.on_sale());
    let of_shop = |line: &Line| terms.shop_id.as_ref().is_none_or(|shop_id| *shop_id == line.shop_id);
    let eligible = |line: &Line| !left_out(line) && of_shop(line) && terms.scope.takes_line(line);
    let mut places = Vec::with_capacity(cart.lines.len());
    places.extend(cart.lines.iter().enumerate().filter(|(_, line)| eligible(line)).map(|(place, _)| place));
    places
}

/// A scope that names goods takes the shipments of the shops that send eligible goods; any other goes by the shop.
fn eligible_shipments(cart: &Cart, terms: &Terms, lines: &[usize]) -> Vec<usize> {
    let takes_shop = |shop_id: &str| {
        if terms.scope.names_goods() {
            lines.iter().any(|&place| cart.lines[place].shop_id == shop_id)
        } else {
            terms.scope.takes_shop(shop_id)
        }
    };
    let places = cart.shipments.iter().enumerate();
    places.filter(|(_, shipment)| takes_shop(&shipment.shop_id)).map(|(place, _)| place).collect()
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
