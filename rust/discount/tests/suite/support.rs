//! Short ways to write carts and coupons. The currency is CNY and the time is 1000 unless a test says otherwise.
use std::sync::Arc;

use couponry_discount::*;

pub const NOW: i64 = 1_000;

pub fn line(id: &str, quantity: i64, unit_price: i64) -> Line {
    Line {
        line_id: id.to_owned(),
        sku_id: format!("sku-{id}"),
        spu_id: None,
        category_ids: Vec::new(),
        shop_id: "shop".to_owned(),
        quantity,
        unit_price,
        list_unit_price: None,
        not_discountable: false,
    }
}

pub fn shipment(id: &str, shop_id: &str, amount: i64) -> Shipment {
    Shipment { shipment_id: id.to_owned(), shop_id: shop_id.to_owned(), amount }
}

pub fn cart_spec(lines: Vec<Line>, shipments: Vec<Shipment>) -> CartSpec {
    CartSpec { currency: "CNY".to_owned(), lines, shipments, order_total: None }
}

pub fn cart(lines: Vec<Line>, shipments: Vec<Shipment>) -> Cart {
    Cart::new(cart_spec(lines, shipments)).unwrap()
}

pub fn goods(unit_price: i64) -> Cart {
    cart(vec![line("A", 1, unit_price)], Vec::new())
}

pub fn percent(rate_bp: i64) -> TermsSpec {
    TermsSpec { percent_off_bp: Some(rate_bp), ..TermsSpec::new(Kind::PercentOff, Class::Platform, "CNY") }
}

pub fn instant(amount_off: i64) -> TermsSpec {
    TermsSpec { amount_off: Some(amount_off), ..TermsSpec::new(Kind::InstantOff, Class::Platform, "CNY") }
}

pub fn threshold(min_spend: i64, amount_off: i64) -> TermsSpec {
    TermsSpec { min_spend, amount_off: Some(amount_off), ..TermsSpec::new(Kind::ThresholdOff, Class::Platform, "CNY") }
}

pub fn ladder(tiers: &[(i64, i64)]) -> TermsSpec {
    let tiers = tiers.iter().map(|&(min_spend, amount_off)| Tier { min_spend, amount_off }).collect();
    TermsSpec { tiers, ..TermsSpec::new(Kind::ThresholdOff, Class::Platform, "CNY") }
}

pub fn every(every: i64, amount_off: i64) -> TermsSpec {
    TermsSpec {
        repeat: Some(Repeat { every, amount_off }),
        ..TermsSpec::new(Kind::ThresholdOff, Class::Platform, "CNY")
    }
}

pub fn nth_item(group_size: i64, discounted_units: i64, percent_off_bp: i64, max_groups: Option<i64>) -> TermsSpec {
    TermsSpec {
        nth_item: Some(NthItem { group_size, discounted_units, percent_off_bp, max_groups }),
        ..TermsSpec::new(Kind::NthItem, Class::Platform, "CNY")
    }
}

pub fn fixed_price(unit_price: i64, max_units: Option<i64>) -> TermsSpec {
    TermsSpec {
        fixed_price: Some(FixedPrice { unit_price, max_units }),
        ..TermsSpec::new(Kind::FixedPrice, Class::Platform, "CNY")
    }
}

pub fn free_shipping() -> TermsSpec {
    TermsSpec::new(Kind::FreeShipping, Class::Shipping, "CNY")
}

pub fn ungrouped(terms: TermsSpec) -> TermsSpec {
    TermsSpec { exclusive_group: Some(String::new()), ..terms }
}

/// Valid now, of a template of its own.
pub fn coupon_spec(coupon_id: i64, terms: TermsSpec) -> CouponSpec {
    CouponSpec {
        coupon_id,
        template_id: coupon_id,
        terms: Arc::new(Terms::new(terms).unwrap()),
        valid_from: Some(0),
        valid_until: Some(2_000),
        state: State::Unused,
        template_paused: false,
        budget_left: None,
    }
}

pub fn submit(spec: CouponSpec) -> Coupon {
    Coupon::new(spec).unwrap()
}

pub fn coupon(coupon_id: i64, terms: TermsSpec) -> Coupon {
    submit(coupon_spec(coupon_id, terms))
}

pub fn decide(cart: &Cart, submitted: &[Coupon]) -> Decision {
    apply_given(cart, submitted, &Rules::default(), NOW).unwrap()
}

/// (place of the coupon, its discount).
pub fn applied(decision: &Decision) -> Vec<(usize, i64)> {
    decision.applied.iter().map(|applied| (applied.coupon, applied.discount)).collect()
}

/// (place of the coupon, why).
pub fn rejected(decision: &Decision) -> Vec<(usize, Refusal)> {
    decision.rejected.iter().map(|rejected| (rejected.coupon, rejected.refusal.clone())).collect()
}

/// What one coupon takes off the cart, or why nothing.
pub fn alone(cart: &Cart, terms: TermsSpec) -> Result<i64, Refusal> {
    let decision = decide(cart, &[coupon(1, terms)]);
    match decision.rejected.first() {
        Some(rejected) => Err(rejected.refusal.clone()),
        None => Ok(decision.discount),
    }
}

/// "field: text" of each violation.
pub fn told<T: std::fmt::Debug>(result: Result<T, Violations>) -> Vec<String> {
    result.unwrap_err().into_vec().into_iter().map(|found| format!("{}: {}", found.field, found.text)).collect()
}
