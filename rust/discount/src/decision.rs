//! `apply_given`: these coupons and no others, in the order of application, each applied or refused with a reason.
//! The answer names lines, shipments and coupons by their place in the input.
use std::cmp::{Ordering, Reverse};

use crate::cart::Cart;
use crate::coupon::Coupon;
use crate::offer::{Offer, Promise};
use crate::refusal::Refusal;
use crate::rules::Rules;
use crate::tally::{Taken, Tally};
use crate::units::{UnitRun, Units};
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
    pub units: Vec<UnitRun>,
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
    pub units: Vec<(i64, i64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShipmentReceipt {
    pub list: i64,
    pub discount: i64,
    pub net: i64,
}

/// Of an applied coupon: what would take more off, or what was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    NextTier { coupon: usize, amount_off: i64, short_by: i64 },
    Unused { coupon: usize, amount: i64 },
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
    rejected.sort_by(|a, b| order_of_application(coupons, a.coupon, b.coupon));
    Ok(write_down(cart, tally, rejected))
}

/// Eligible coupons in the order of application, and the others.
fn judge<'a>(cart: &Cart, coupons: &'a [Coupon], now: i64) -> (Vec<Offer<'a>>, Vec<Rejected>) {
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
    offers.sort_by(|a, b| order_of_application(coupons, a.index, b.index));
    (offers, rejected)
}

/// Class, then higher priority, then kind, then id; of two entries with one id, the earlier.
fn order_of_application(coupons: &[Coupon], a: usize, b: usize) -> Ordering {
    let key = |place: usize| {
        let Coupon(coupon) = &coupons[place];
        (coupon.terms.class, Reverse(coupon.terms.priority), coupon.terms.kind, coupon.coupon_id, place)
    };
    key(a).cmp(&key(b))
}

fn write_down(cart: &Cart, tally: Tally<'_>, rejected: Vec<Rejected>) -> Decision {
    let payable = tally.payable();
    let mut units: Vec<_> = cart.lines.iter().map(|line| Units::new(line.quantity, line.unit_price)).collect();
    let mut line_discounts = vec![0; cart.lines.len()];
    let mut shipment_discounts = vec![0; cart.shipments.len()];
    let mut applied = Vec::new();
    let mut hints = Vec::new();
    for Taken { offer, discount, unused, shares } in tally.into_taken() {
        let coupon = offer.index;
        let mut lines = Vec::new();
        let mut shipments = Vec::new();
        if matches!(offer.promise, Promise::Shipping { .. }) {
            for &(place, amount) in &shares {
                shipment_discounts[place] += amount;
            }
            shipments = shares;
        } else {
            lines.reserve_exact(shares.len());
            for (line, discount) in shares {
                line_discounts[line] += discount;
                lines.push(LineShare { line, discount, units: units[line].take(discount) });
            }
        }
        if let Some(next) = offer.next_tier {
            hints.push(Hint::NextTier { coupon, amount_off: next.amount_off, short_by: next.short_by });
        }
        if unused > 0 {
            hints.push(Hint::Unused { coupon, amount: unused });
        }
        applied.push(Applied { coupon, discount, lines, shipments, unused });
    }
    let lines = cart.lines.iter().zip(units).zip(line_discounts).map(|((line, units), discount)| LineReceipt {
        list: line.list(),
        discount,
        net: line.list() - discount,
        units: units.into_ascending(),
    });
    let shipments = cart.shipments.iter().zip(shipment_discounts).map(|(shipment, discount)| ShipmentReceipt {
        list: shipment.amount,
        discount,
        net: shipment.amount - discount,
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
