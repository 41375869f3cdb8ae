//! One coupon against the cart as sent, before any other coupon: is it eligible, on which lines or shipments, and what
//! does it promise. Conditions look at list prices, so nothing here depends on the order of application.
use crate::cart::{Cart, Line};
use crate::coupon::{CouponSpec, State};
use crate::refusal::Refusal;
use crate::terms::{Benefit, Overshoot, Steps, Terms, Tier};

/// An eligible coupon.
#[derive(Clone, Debug)]
pub(crate) struct Offer<'a> {
    /// Its place among the submitted.
    pub(crate) index: usize,
    pub(crate) coupon: &'a CouponSpec,
    pub(crate) promise: Promise,
    /// Places of the lines (or shipments) whose current net is its basis; never empty, unless there is no shipment.
    pub(crate) places: Vec<usize>,
    pub(crate) next_tier: Option<NextTier>,
}

/// What it takes at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    Percent { rate_bp: i64, cap: Option<i64> },
    Amount { amount: i64, overshoot: Overshoot },
    Shipping { cap: Option<i64> },
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
        if cart.totals_only && !terms.is_unscoped() {
            return Err(Refusal::ScopeMismatch);
        }
        let lines = eligible_lines(cart, terms);
        let for_shipping = matches!(terms.benefit, Benefit::Shipping { .. });
        let places = if for_shipping { eligible_shipments(cart, terms, &lines) } else { lines.clone() };
        let nothing_to_ship = for_shipping && cart.shipments.is_empty();
        if places.is_empty() && !nothing_to_ship {
            return Err(Refusal::ScopeMismatch);
        }
        let spend = lines.iter().map(|&place| cart.lines[place].list()).sum();
        let (promise, next_tier) = promise(terms, spend)?;
        let quantity: i64 = lines.iter().map(|&place| cart.lines[place].quantity).sum();
        if quantity < terms.min_quantity {
            return Err(Refusal::MinQuantityNotMet { short_by: terms.min_quantity - quantity });
        }
        Ok(Self { index, coupon, promise, places, next_tier })
    }
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
    cart.lines.iter().enumerate().filter(|(_, line)| eligible(line)).map(|(place, _)| place).collect()
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
        &Benefit::Shipping { cap } => Ok((Promise::Shipping { cap }, None)),
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
