//! What is left to pay while coupons are applied one after another. A coupon takes at most its own cap, its basis, and
//! what is payable at its turn above `minimum_payable`; one that would take nothing is not applied and holds no slot.
use crate::cart::Cart;
use crate::offer::{Offer, Promise};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::split::{Stack, split};
use crate::terms::{Grouping, Kind, Overshoot, Terms};

const PERCENT_OR_THRESHOLD: &str = "@percent_or_threshold";
const INSTANT_OFF: &str = "@instant_off";
const FREE_SHIPPING: &str = "@free_shipping";
const COUNT: &str = "@count";

/// An order on its way through the coupons.
#[derive(Clone, Debug)]
pub(crate) struct Tally<'a> {
    rules: &'a Rules,
    line_nets: Vec<i64>,
    shipment_nets: Vec<i64>,
    payable: i64,
    taken: Vec<Taken<'a>>,
}

/// What one applied coupon took.
#[derive(Clone, Debug)]
pub(crate) struct Taken<'a> {
    pub(crate) offer: &'a Offer<'a>,
    pub(crate) discount: i64,
    /// The part of the amount beyond the basis.
    pub(crate) unused: i64,
    /// (place, amount) of the lines or shipments that lost something.
    pub(crate) shares: Vec<(usize, i64)>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(cart: &Cart, rules: &'a Rules) -> Self {
        Self {
            rules,
            line_nets: cart.lines.iter().map(|line| line.list()).collect(),
            shipment_nets: cart.shipments.iter().map(|shipment| shipment.amount).collect(),
            payable: cart.original,
            taken: Vec::new(),
        }
    }

    pub(crate) fn payable(&self) -> i64 {
        self.payable
    }

    pub(crate) fn into_taken(self) -> Vec<Taken<'a>> {
        self.taken
    }

    /// Applies one coupon, or says why not. The order of the checks is that of the reasons: limits, cart, stacking.
    pub(crate) fn apply(&mut self, offer: &'a Offer<'a>) -> Result<(), Refusal> {
        let left = self.budget_left(offer);
        if left == Some(0) {
            return Err(Refusal::BudgetExhausted { left: 0 });
        }
        let (promised, unused) = self.promised(offer)?;
        let discount = promised.min((self.payable - self.rules.0.minimum_payable).max(0));
        if let Some(left) = left.filter(|&left| discount > left) {
            return Err(Refusal::BudgetExhausted { left });
        }
        if discount == 0 {
            return Err(Refusal::NoEffect);
        }
        self.check_stacking(&offer.coupon.terms, offer.coupon.template_id)?;
        let shares = self.allocate(offer, discount);
        self.payable -= discount;
        self.taken.push(Taken { offer, discount, unused, shares });
        Ok(())
    }

    /// Of the coupon's budget, without what earlier coupons of its template took.
    fn budget_left(&self, offer: &Offer<'_>) -> Option<i64> {
        let left = offer.coupon.budget_left?;
        let same = self.taken.iter().filter(|taken| taken.offer.coupon.template_id == offer.coupon.template_id);
        Some((left - same.map(|taken| taken.discount).sum::<i64>()).max(0))
    }

    /// The promise, clipped to its cap and basis, and the part of it beyond the basis.
    fn promised(&self, offer: &Offer<'_>) -> Result<(i64, i64), Refusal> {
        let nets = self.nets(offer);
        let basis = offer.places.iter().map(|&place| nets[place]).sum();
        match offer.promise {
            Promise::Percent { rate_bp, cap } => {
                let discount = percent(basis, rate_bp);
                Ok((cap.map_or(discount, |cap| discount.min(cap)), 0))
            }
            Promise::Amount { amount, overshoot: Overshoot::Reject } if amount > basis => Err(Refusal::Overshoot),
            Promise::Amount { amount, .. } => Ok((amount.min(basis), (amount - basis).max(0))),
            Promise::Shipping { cap } => Ok((cap.map_or(basis, |cap| basis.min(cap)), 0)),
        }
    }

    fn nets(&self, offer: &Offer<'_>) -> &[i64] {
        if matches!(offer.promise, Promise::Shipping { .. }) { &self.shipment_nets } else { &self.line_nets }
    }

    fn check_stacking(&self, terms: &Terms, template_id: i64) -> Result<(), Refusal> {
        let mut in_group = 0;
        let mut of_template = 0;
        let group = self.group(terms);
        for taken in &self.taken {
            let other = taken.offer.coupon.terms.as_ref();
            if (terms.exclusive && !other.joint) || (other.exclusive && !terms.joint) {
                return Err(Refusal::Exclusive { with: taken.offer.coupon.coupon_id });
            }
            if group.is_some() && self.group(other) == group {
                in_group += 1;
            }
            if taken.offer.coupon.template_id == template_id {
                of_template += 1;
            }
        }
        if let Some(group) = group.filter(|group| in_group >= group.limit) {
            return Err(Refusal::GroupLimit { group: group.name.to_owned() });
        }
        if self.taken.len() as i64 >= self.rules.0.count_limit {
            return Err(Refusal::GroupLimit { group: COUNT.to_owned() });
        }
        if of_template >= terms.stack_limit {
            return Err(Refusal::StackLimit);
        }
        Ok(())
    }

    /// The one group that a coupon is in. Only terms of class SHOP have a shop, and their groups are per shop.
    fn group<'t>(&self, terms: &'t Terms) -> Option<Group<'t>> {
        let rules = &self.rules.0;
        let (name, limit) = match &terms.group {
            Grouping::None => return None,
            Grouping::Named(name) => (name.as_str(), 1),
            Grouping::Default => match terms.kind {
                Kind::PercentOff | Kind::ThresholdOff => (PERCENT_OR_THRESHOLD, rules.percent_or_threshold_limit),
                Kind::InstantOff => (INSTANT_OFF, rules.instant_limit),
                Kind::FreeShipping => (FREE_SHIPPING, rules.free_shipping_limit),
            },
        };
        Some(Group { name, shop_id: terms.shop_id.as_deref(), limit })
    }

    fn allocate(&mut self, offer: &Offer<'_>, discount: i64) -> Vec<(usize, i64)> {
        let nets = if matches!(offer.promise, Promise::Shipping { .. }) {
            &mut self.shipment_nets
        } else {
            &mut self.line_nets
        };
        let stacks: Vec<_> = offer.places.iter().map(|&place| Stack { count: 1, net: nets[place] }).collect();
        let shares = split(discount, &stacks);
        let mut taken = Vec::with_capacity(shares.len());
        for (&place, share) in offer.places.iter().zip(&shares) {
            let amount = share.each + share.plus_one;
            if amount > 0 {
                nets[place] -= amount;
                taken.push((place, amount));
            }
        }
        taken
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Group<'t> {
    name: &'t str,
    shop_id: Option<&'t str>,
    limit: i64,
}

/// Rounded once, half up.
fn percent(basis: i64, rate_bp: i64) -> i64 {
    match basis.checked_mul(rate_bp).and_then(|product| product.checked_add(5_000)) {
        Some(product) => product / 10_000,
        // At most the basis, as the rate is at most 10,000.
        None => ((i128::from(basis) * i128::from(rate_bp) + 5_000) / 10_000) as i64,
    }
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
