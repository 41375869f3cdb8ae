//! What is left to pay while coupons are applied one after another. A coupon takes at most its own cap, its basis, and
//! what is payable at its turn above `minimum_payable`; one that would take nothing is not applied and holds no slot.
use crate::cart::Cart;
use crate::coupon::CouponSpec;
use crate::decision::LineShare;
use crate::nets::{Lots, Nets};
use crate::offer::{NextTier, Offer, Target};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::terms::{Grouping, Kind, Terms};

const COUNT: &str = "@count";

/// An order on its way through the coupons.
#[derive(Clone, Debug)]
pub(crate) struct Tally<'a> {
    rules: &'a Rules,
    nets: Nets,
    payable: i64,
    taken: Vec<Taken<'a>>,
    lots: Lots,
}

/// What one applied coupon took.
#[derive(Clone, Debug)]
pub(crate) struct Taken<'a> {
    /// Its place among the submitted.
    pub(crate) index: usize,
    coupon: &'a CouponSpec,
    group: Option<Group<'a>>,
    pub(crate) next_tier: Option<NextTier>,
    pub(crate) discount: i64,
    /// The part of the amount beyond the basis.
    pub(crate) unused: i64,
    pub(crate) lines: Vec<LineShare>,
    /// (place, amount).
    pub(crate) shipments: Vec<(usize, i64)>,
}

/// What a coupon would take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    pub(crate) basis: i64,
    pub(crate) discount: i64,
    pub(crate) unused: i64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(cart: &Cart, rules: &'a Rules) -> Self {
        let taken = Vec::with_capacity(usize::try_from(rules.0.count_limit).unwrap_or_default());
        Self { rules, nets: Nets::new(cart, |_| true), payable: cart.original, taken, lots: Lots::default() }
    }

    pub(crate) fn payable(&self) -> i64 {
        self.payable
    }

    /// What every coupon took, and what is left.
    pub(crate) fn into_parts(self) -> (Vec<Taken<'a>>, Nets) {
        (self.taken, self.nets)
    }

    /// Applies one coupon, or says why not. The order of the checks is that of the reasons: limits, cart, stacking.
    pub(crate) fn apply(&mut self, offer: &Offer<'a>) -> Result<(), Refusal> {
        let Weight { basis, discount, unused } = self.weigh(offer)?;
        let group = Group::of(&offer.coupon.terms, self.rules);
        self.check_stacking(offer.coupon, group)?;
        let (mut lines, mut shipments) = (Vec::new(), Vec::new());
        match offer.target {
            Target::Lines => lines.reserve_exact(offer.places.len()),
            Target::Shipments => shipments.reserve_exact(offer.places.len()),
        }
        self.nets.take(offer, discount, basis, &mut self.lots, |place, amount, units| match offer.target {
            Target::Lines => lines.push(LineShare { line: place, discount: amount, units }),
            Target::Shipments => shipments.push((place, amount)),
        });
        self.payable -= discount;
        let &Offer { index, coupon, next_tier, .. } = offer;
        self.taken.push(Taken { index, coupon, group, next_tier, discount, unused, lines, shipments });
        Ok(())
    }

    /// What a coupon would take now, stacking apart.
    pub(crate) fn weigh(&self, offer: &Offer<'_>) -> Result<Weight, Refusal> {
        let left = self.budget_left(offer);
        if left == Some(0) {
            return Err(Refusal::BudgetExhausted { left: 0 });
        }
        let basis = self.nets.basis(offer);
        let (promised, unused) = offer.promise.of(basis)?;
        let discount = promised.min((self.payable - self.rules.0.minimum_payable).max(0));
        if let Some(left) = left.filter(|&left| discount > left) {
            return Err(Refusal::BudgetExhausted { left });
        }
        if discount == 0 {
            return Err(Refusal::NoEffect);
        }
        Ok(Weight { basis, discount, unused })
    }

    /// Of the coupon's budget, without what earlier coupons of its template took.
    fn budget_left(&self, offer: &Offer<'_>) -> Option<i64> {
        let left = offer.coupon.budget_left?;
        let same = self.taken.iter().filter(|taken| taken.coupon.template_id == offer.coupon.template_id);
        Some((left - same.map(|taken| taken.discount).sum::<i64>()).max(0))
    }

    fn check_stacking(&self, coupon: &CouponSpec, group: Option<Group<'_>>) -> Result<(), Refusal> {
        let terms = coupon.terms.as_ref();
        let mut in_group = 0;
        let mut of_template = 0;
        for taken in &self.taken {
            if conflict(terms, &taken.coupon.terms) {
                return Err(Refusal::Exclusive { with: taken.coupon.coupon_id });
            }
            if group.is_some() && taken.group == group {
                in_group += 1;
            }
            if taken.coupon.template_id == coupon.template_id {
                of_template += 1;
            }
        }
        if let Some(group) = group.filter(|group| in_group >= group.limit) {
            return Err(Refusal::GroupLimit { group: group.name.text().to_owned() });
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
    name: GroupName<'t>,
    shop_id: Option<&'t str>,
    pub(crate) limit: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GroupName<'t> {
    PercentOrThreshold,
    UnitPrice,
    InstantOff,
    FreeShipping,
    Named(&'t str),
}

impl<'t> GroupName<'t> {
    fn text(self) -> &'t str {
        match self {
            Self::PercentOrThreshold => "@percent_or_threshold",
            Self::UnitPrice => "@unit_price",
            Self::InstantOff => "@instant_off",
            Self::FreeShipping => "@free_shipping",
            Self::Named(name) => name,
        }
    }
}

impl<'t> Group<'t> {
    pub(crate) fn of(terms: &'t Terms, Rules(rules): &Rules) -> Option<Self> {
        let (name, limit) = match &terms.group {
            Grouping::None => return None,
            Grouping::Named(name) => (GroupName::Named(name), 1),
            Grouping::Default => match terms.kind {
                Kind::PercentOff | Kind::ThresholdOff => {
                    (GroupName::PercentOrThreshold, rules.percent_or_threshold_limit)
                }
                Kind::NthItem | Kind::FixedPrice => (GroupName::UnitPrice, rules.unit_price_limit),
                Kind::InstantOff => (GroupName::InstantOff, rules.instant_limit),
                Kind::FreeShipping => (GroupName::FreeShipping, rules.free_shipping_limit),
            },
        };
        Some(Self { name, shop_id: terms.shop_id.as_deref(), limit })
    }
}

/// Whether one of the two stands alone and the other is not flagged to stand beside it.
pub(crate) fn conflict(one: &Terms, other: &Terms) -> bool {
    (one.exclusive && !other.joint) || (other.exclusive && !one.joint)
}
