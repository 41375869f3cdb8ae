//! What is left to pay while coupons are applied one after another. A coupon takes at most its own cap, its basis, and
//! what is payable at its turn above `minimum_payable`; one that would take nothing is not applied and holds no slot.
use crate::cart::Cart;
use crate::decision::LineShare;
use crate::nets::Nets;
use crate::offer::{Offer, Target};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::terms::{Grouping, Kind, Terms};

const PERCENT_OR_THRESHOLD: &str = "@percent_or_threshold";
const UNIT_PRICE: &str = "@unit_price";
const INSTANT_OFF: &str = "@instant_off";
const FREE_SHIPPING: &str = "@free_shipping";
const COUNT: &str = "@count";

/// An order on its way through the coupons.
#[derive(Clone, Debug)]
pub(crate) struct Tally<'a> {
    rules: &'a Rules,
    nets: Nets,
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
    pub(crate) lines: Vec<LineShare>,
    /// (place, amount).
    pub(crate) shipments: Vec<(usize, i64)>,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(cart: &Cart, rules: &'a Rules) -> Self {
        Self { rules, nets: Nets::new(cart, |_| true), payable: cart.original, taken: Vec::new() }
    }

    pub(crate) fn payable(&self) -> i64 {
        self.payable
    }

    /// What every coupon took, and what is left.
    pub(crate) fn into_parts(self) -> (Vec<Taken<'a>>, Nets) {
        (self.taken, self.nets)
    }

    /// Applies one coupon, or says why not. The order of the checks is that of the reasons: limits, cart, stacking.
    pub(crate) fn apply(&mut self, offer: &'a Offer<'a>) -> Result<(), Refusal> {
        let (discount, unused) = self.weigh(offer)?;
        self.check_stacking(&offer.coupon.terms, offer.coupon.template_id)?;
        let (mut lines, mut shipments) = (Vec::new(), Vec::new());
        match offer.target {
            Target::Lines => lines.reserve_exact(offer.places.len()),
            Target::Shipments => shipments.reserve_exact(offer.places.len()),
        }
        self.nets.take(offer, discount, |place, amount, units| match offer.target {
            Target::Lines => lines.push(LineShare { line: place, discount: amount, units }),
            Target::Shipments => shipments.push((place, amount)),
        });
        self.payable -= discount;
        self.taken.push(Taken { offer, discount, unused, lines, shipments });
        Ok(())
    }

    /// What a coupon would take now, stacking apart, and the part of its amount beyond its basis.
    pub(crate) fn weigh(&self, offer: &Offer<'_>) -> Result<(i64, i64), Refusal> {
        let left = self.budget_left(offer);
        if left == Some(0) {
            return Err(Refusal::BudgetExhausted { left: 0 });
        }
        let (promised, unused) = offer.promise.of(self.nets.basis(offer))?;
        let discount = promised.min((self.payable - self.rules.0.minimum_payable).max(0));
        if let Some(left) = left.filter(|&left| discount > left) {
            return Err(Refusal::BudgetExhausted { left });
        }
        if discount == 0 {
            return Err(Refusal::NoEffect);
        }
        Ok((discount, unused))
    }

    /// Of the coupon's budget, without what earlier coupons of its template took.
    fn budget_left(&self, offer: &Offer<'_>) -> Option<i64> {
        let left = offer.coupon.budget_left?;
        let same = self.taken.iter().filter(|taken| taken.offer.coupon.template_id == offer.coupon.template_id);
        Some((left - same.map(|taken| taken.discount).sum::<i64>()).max(0))
    }

    fn check_stacking(&self, terms: &Terms, template_id: i64) -> Result<(), Refusal> {
        let mut in_group = 0;
        let mut of_template = 0;
        let group = Group::of(terms, self.rules);
        for taken in &self.taken {
            let other = taken.offer.coupon.terms.as_ref();
            if conflict(terms, other) {
                return Err(Refusal::Exclusive { with: taken.offer.coupon.coupon_id });
            }
            if group.is_some() && Group::of(other, self.rules) == group {
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
}

/// A group that a coupon is in. Only terms of class SHOP have a shop, and their groups are per shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group<'t> {
    pub(crate) name: &'t str,
    shop_id: Option<&'t str>,
    pub(crate) limit: i64,
}

impl<'t> Group<'t> {
    pub(crate) fn of(terms: &'t Terms, Rules(rules): &Rules) -> Option<Self> {
        let (name, limit) = match &terms.group {
            Grouping::None => return None,
            Grouping::Named(name) => (name.as_str(), 1),
            Grouping::Default => match terms.kind {
                Kind::PercentOff | Kind::ThresholdOff => (PERCENT_OR_THRESHOLD, rules.percent_or_threshold_limit),
                Kind::NthItem | Kind::FixedPrice => (UNIT_PRICE, rules.unit_price_limit),
                Kind::InstantOff => (INSTANT_OFF, rules.instant_limit),
                Kind::FreeShipping => (FREE_SHIPPING, rules.free_shipping_limit),
            },
        };
        Some(Self { name, shop_id: terms.shop_id.as_deref(), limit })
    }
}

/// Whether one of the two stands alone and the other is not flagged to stand beside it.
pub(crate) fn conflict(one: &Terms, other: &Terms) -> bool {
    (one.exclusive && !other.joint) || (other.exclusive && !one.joint)
}
