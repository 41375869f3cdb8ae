//! `apply_given`: these coupons and no others, in the order of application, each applied or refused with a reason.
//! The answer names lines, shipments and coupons by their place in the input.
use std::cmp::{Ordering, Reverse};

use crate::cart::Cart;
use crate::coupon::{Coupon, CouponSpec};
use crate::offer::Offer;
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::tally::{Taken, Tally};
use crate::units::{Runs, UnitRun};
use crate::violation::Violations;

/// What was decided: `original - discount = payable`, and the same for every line and shipment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// In the order of application.
    pub applied: Vec<Applied>,
    /// In the order of application.
    pub rejected: Vec<Rejected>,
    pub lines: Vec<LineReceipt>,
    pub shipments: Vec<ShipmentReceipt>,
    pub hints: Vec<Hint>,
    pub original: i64,
    pub discount: i64,
    pub payable: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub coupon: usize,
    pub discount: i64,
    /// Lines that lost something, in cart order.
    pub lines: Vec<LineShare>,
    /// (shipment, amount).
    pub shipments: Vec<(usize, i64)>,
    /// The part of the amount beyond the basis.
    pub unused: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineShare {
    pub line: usize,
    pub discount: i64,
    pub units: Runs<UnitRun>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub coupon: usize,
    pub refusal: Refusal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineReceipt {
    pub list: i64,
    pub discount: i64,
    pub net: i64,
    /// (count, net of each) in ascending net.
    pub units: Runs<(i64, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShipmentReceipt {
    pub list: i64,
    pub discount: i64,
    pub net: i64,
}

/// What would take more off, or what was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    NextTier {
        coupon: usize,
        amount_off: i64,
        short_by: i64,
    },
    Unused {
        coupon: usize,
        amount: i64,
    },
    /// Of a coupon that was left out, in the answer of `best`: with so much more of eligible goods it could apply.
    Unlock {
        coupon: usize,
        short_by: i64,
    },
}

/// Applies these and no others. Fails when there are more than may be submitted.
pub fn apply_given(cart: &Cart, coupons: &[Coupon], rules: &Rules, now: i64) -> Result<Decision, Violations> {
    rules.check_submitted(coupons.len())?;
    let (offers, mut rejected) = judge(cart, coupons, now);
    let mut tally = Tally::new(cart, rules);
    for offer in &offers {
        if let Err(refusal) = tally.apply(offer) {
            rejected.push(Rejected { coupon: offer.index, refusal });
        }
    }
    rejected.sort_by(|a, b| Rejected::in_order(coupons, a, b));
    Ok(write_down(cart, tally, rejected))
}

/// Eligible coupons in the order of application, and the others.
pub(crate) fn judge<'a>(cart: &Cart, coupons: &'a [Coupon], now: i64) -> (Vec<Offer<'a>>, Vec<Rejected>) {
    let mut offers = Vec::with_capacity(coupons.len());
    let mut rejected = Vec::new();
    for (index, Coupon(coupon)) in coupons.iter().enumerate() {
        let earlier = coupons[..index].iter().any(|Coupon(earlier)| earlier.coupon_id == coupon.coupon_id);
        let offer = if earlier { Err(Refusal::Duplicate) } else { Offer::new(cart, index, coupon, now) };
        match offer {
            Ok(offer) => offers.push(offer),
            Err(refusal) => rejected.push(Rejected { coupon: index, refusal }),
        }
    }
    offers.sort_by(|a, b| order_of_application(a.coupon, b.coupon));
    (offers, rejected)
}

/// Class, then higher priority, then kind, then id.
pub(crate) fn order_of_application(a: &CouponSpec, b: &CouponSpec) -> Ordering {
    let key =
        |coupon: &CouponSpec| (coupon.terms.class, Reverse(coupon.terms.priority), coupon.terms.kind, coupon.coupon_id);
    key(a).cmp(&key(b))
}

impl Rejected {
    /// In the order of application; of two entries with one id, the earlier.
    pub(crate) fn in_order(coupons: &[Coupon], a: &Self, b: &Self) -> Ordering {
        order_of_application(&coupons[a.coupon].0, &coupons[b.coupon].0).then(a.coupon.cmp(&b.coupon))
    }
}

pub(crate) fn write_down(cart: &Cart, tally: Tally<'_>, rejected: Vec<Rejected>) -> Decision {
    let payable = tally.payable();
    let (taken, nets) = tally.into_parts();
    let mut applied = Vec::with_capacity(taken.len());
    let mut hints = Vec::new();
    for Taken { offer, discount, unused, lines, shipments } in taken {
        let coupon = offer.index;
        if let Some(next) = offer.next_tier {
            hints.push(Hint::NextTier { coupon, amount_off: next.amount_off, short_by: next.short_by });
        }
        if unused > 0 {
            hints.push(Hint::Unused { coupon, amount: unused });
        }
        applied.push(Applied { coupon, discount, lines, shipments, unused });
    }
    let lines = cart.lines.iter().zip(&nets.lines).enumerate().map(|(place, (line, &net))| LineReceipt {
        list: line.list(),
        discount: line.list() - net,
        net,
        units: nets.units_ascending(place),
    });
    let shipments = cart.shipments.iter().zip(&nets.shipments).map(|(shipment, &net)| ShipmentReceipt {
        list: shipment.amount,
        discount: shipment.amount - net,
        net,
    });
    Decision {
        applied,
        rejected,
        lines: lines.collect(),
        shipments: shipments.collect(),
        hints,
        original: cart.original,
        discount: cart.original - payable,
        payable,
    }
}
