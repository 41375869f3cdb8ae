//! `apply_given`: these coupons and no others, in the order of application, each applied or refused with a reason.
//! The answer names lines, shipments and coupons by their place in the input.
use smallvec::SmallVec;

use crate::cart::Cart;
use crate::coupon::{Coupon, CouponSpec};
use crate::offer::Offer;
use crate::refusal::Refusal;
use crate::rules::{MAX_SUBMITTED, Rules};
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
    let mut tally = Tally::new(cart, rules);
    let mut rejected = Vec::new();
    for index in in_order(coupons) {
        let applied = offer(cart, coupons, index, now).and_then(|offer| tally.apply(&offer));
        if let Err(refusal) = applied {
            rejected.push(Rejected { coupon: index, refusal });
        }
    }
    Ok(write_down(cart, tally, rejected))
}

/// Each coupon alone, in their order, however many: what it takes off the cart, or why nothing. The same as `apply_given`
/// of it, without the work of writing that down.
pub fn price_each(cart: &Cart, coupons: &[Coupon], rules: &Rules, now: i64) -> Vec<Result<i64, Refusal>> {
    let untouched = Tally::new(cart, rules);
    let weighed = coupons.iter().enumerate().map(|(index, Coupon(coupon))| {
        let offer = Offer::new(cart, index, coupon, now)?;
        untouched.weigh(&offer).map(|weight| weight.discount)
    });
    weighed.collect()
}

/// Eligible coupons in the order of application, and the others.
pub(crate) fn judge<'a>(cart: &Cart, coupons: &'a [Coupon], now: i64) -> (Vec<Offer<'a>>, Vec<Rejected>) {
    let mut offers = Vec::with_capacity(coupons.len());
    let mut rejected = Vec::new();
    for index in in_order(coupons) {
        match offer(cart, coupons, index, now) {
            Ok(offer) => offers.push(offer),
            Err(refusal) => rejected.push(Rejected { coupon: index, refusal }),
        }
    }
    (offers, rejected)
}

fn offer<'a>(cart: &Cart, coupons: &'a [Coupon], index: usize, now: i64) -> Result<Offer<'a>, Refusal> {
    let Coupon(coupon) = &coupons[index];
    if coupons[..index].iter().any(|Coupon(earlier)| earlier.coupon_id == coupon.coupon_id) {
        return Err(Refusal::Duplicate);
    }
    Offer::new(cart, index, coupon, now)
}

/// Places in the order of application; of two entries with one id, the earlier first.
fn in_order(coupons: &[Coupon]) -> impl Iterator<Item = usize> + use<> {
    let keys = coupons.iter().enumerate().map(|(index, Coupon(coupon))| (turn(coupon), index));
    let mut places: SmallVec<[((u64, i64), usize); MAX_SUBMITTED]> = keys.collect();
    places.sort_unstable();
    places.into_iter().map(|(_, index)| index)
}

/// Class, then higher priority, then kind, then id.
pub(crate) fn turn(coupon: &CouponSpec) -> (u64, i64) {
    (coupon.terms.turn, coupon.coupon_id)
}

impl Rejected {
    /// Its place in the order of application.
    pub(crate) fn turn(&self, coupons: &[Coupon]) -> ((u64, i64), usize) {
        (turn(&coupons[self.coupon].0), self.coupon)
    }
}

pub(crate) fn write_down(cart: &Cart, tally: Tally<'_>, rejected: Vec<Rejected>) -> Decision {
    let payable = tally.payable();
    let (taken, nets) = tally.into_parts();
    let mut applied = Vec::with_capacity(taken.len());
    let mut hints = Vec::new();
    for Taken { index: coupon, next_tier, discount, unused, lines, shipments, .. } in taken {
        if let Some(next) = next_tier {
            hints.push(Hint::NextTier { coupon, amount_off: next.amount_off, short_by: next.short_by });
        }
        if unused > 0 {
            hints.push(Hint::Unused { coupon, amount: unused });
        }
        applied.push(Applied { coupon, discount, lines, shipments, unused });
    }
    let lines = cart.lists.iter().zip(&nets.lines).enumerate().map(|(place, (&list, &net))| LineReceipt {
        list,
        discount: list - net,
        net,
        units: nets.units_ascending(place),
    });
    let shipments = cart.amounts.iter().zip(&nets.shipments);
    let shipments = shipments.map(|(&list, &net)| ShipmentReceipt { list, discount: list - net, net });
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
