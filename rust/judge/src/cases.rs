//! Random cases as plain figures, and the same as inputs of the calculator.
use std::sync::Arc;

use couponry_discount::{
    Cart, CartSpec, Class, Coupon, CouponSpec, FixedPrice, Kind, Line, NthItem, Overshoot, Rules, RulesSpec, ScopeSpec,
    Shipment, State, Terms, TermsSpec, Violations,
};

pub const NOW: i64 = 1_000;

pub struct Case {
    pub lines: Vec<Line>,
    pub shipping: i64,
    pub coupons: Vec<Plain>,
    pub minimum_payable: i64,
    pub count_limit: i64,
}

/// A coupon with its terms as sent.
#[derive(Clone)]
pub struct Plain {
    pub coupon_id: i64,
    pub template_id: i64,
    pub valid_until: i64,
    pub budget_left: Option<i64>,
    pub terms: TermsSpec,
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % below as u64) as i64
    }

    fn one_in(&mut self, of: i64) -> bool {
        self.roll(of) == 0
    }
}

impl Case {
    pub fn random(seed: u64, candidates: i64) -> Self {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let wide = [20, 500, 20_000][dice.roll(3) as usize];
        let lines = (0..1 + dice.roll(6)).map(|place| Line {
            line_id: place.to_string(),
            sku_id: format!("sku-{}", place % 4),
            spu_id: None,
            category_ids: Vec::new(),
            shop_id: format!("shop-{}", dice.roll(2)),
            quantity: 1 + dice.roll(4),
            unit_price: dice.roll(wide),
            list_unit_price: None,
            not_discountable: dice.one_in(12),
        });
        let lines: Vec<Line> = lines.collect();
        let mut coupons: Vec<Plain> = Vec::new();
        for coupon_id in 1..=candidates {
            let mut coupon = Plain::random(&mut dice, coupon_id, wide);
            if dice.one_in(4)
                && let Some(last) = coupons.last()
            {
                coupon = Plain { coupon_id, ..last.clone() };
            }
            coupon.valid_until = NOW + 1 + dice.roll(3);
            coupons.push(coupon);
        }
        Self {
            lines,
            shipping: dice.roll(wide),
            coupons,
            minimum_payable: if dice.one_in(2) { dice.roll(wide) } else { 0 },
            count_limit: 1 + dice.roll(6),
        }
    }

    pub fn checked(&self) -> Result<(Cart, Vec<Coupon>, Rules), Violations> {
        let shipment =
            Shipment { shipment_id: "parcel".to_owned(), shop_id: "shop-0".to_owned(), amount: self.shipping };
        let cart = Cart::new(CartSpec {
            currency: "CNY".to_owned(),
            lines: self.lines.clone(),
            shipments: vec![shipment],
            order_total: None,
        })?;
        let coupons = self.coupons.iter().map(|plain| {
            Coupon::new(CouponSpec {
                coupon_id: plain.coupon_id,
                template_id: plain.template_id,
                terms: Arc::new(Terms::new(plain.terms.clone())?),
                valid_from: None,
                valid_until: Some(plain.valid_until),
                state: State::Unused,
                template_paused: false,
                budget_left: plain.budget_left,
            })
        });
        let rules = Rules::new(RulesSpec {
            minimum_payable: self.minimum_payable,
            count_limit: self.count_limit,
            ..RulesSpec::default()
        })?;
        Ok((cart, coupons.collect::<Result<_, _>>()?, rules))
    }
}

impl Plain {
    fn random(dice: &mut Dice, coupon_id: i64, wide: i64) -> Self {
        let kind = [
            Kind::PercentOff,
            Kind::PercentOff,
            Kind::NthItem,
            Kind::FixedPrice,
            Kind::ThresholdOff,
            Kind::ThresholdOff,
            Kind::InstantOff,
            Kind::FreeShipping,
        ][dice.roll(8) as usize];
        let class = match kind {
            Kind::FreeShipping => Class::Shipping,
            _ => [Class::Item, Class::Shop, Class::Platform][dice.roll(3) as usize],
        };
        let mut terms = TermsSpec::new(kind, class, "CNY");
        match kind {
            Kind::PercentOff => terms.percent_off_bp = Some(1 + dice.roll(10_000)),
            Kind::NthItem => {
                let group_size = 2 + dice.roll(3);
                terms.nth_item = Some(NthItem {
                    group_size,
                    discounted_units: 1 + dice.roll(group_size - 1),
                    percent_off_bp: 1 + dice.roll(10_000),
                    max_groups: dice.one_in(3).then(|| 1 + dice.roll(2)),
                });
            }
            Kind::FixedPrice => {
                let max_units = dice.one_in(2).then(|| 1 + dice.roll(4));
                terms.fixed_price = Some(FixedPrice { unit_price: 1 + dice.roll(wide), max_units });
            }
            Kind::ThresholdOff | Kind::InstantOff => {
                terms.amount_off = Some(1 + dice.roll(wide));
                if dice.one_in(4) {
                    terms.overshoot = Overshoot::Reject;
                }
            }
            Kind::FreeShipping => {}
        }
        if kind != Kind::InstantOff {
            terms.min_spend = dice.roll(2) * dice.roll(wide);
        }
        if !matches!(kind, Kind::ThresholdOff | Kind::InstantOff) && dice.one_in(2) {
            terms.max_discount = Some(1 + dice.roll(wide));
        }
        if dice.one_in(2) {
            terms.scope = ScopeSpec {
                include_skus: (0..2).map(|_| format!("sku-{}", dice.roll(4))).collect(),
                ..ScopeSpec::default()
            };
        }
        terms.shop_id = (class == Class::Shop).then(|| format!("shop-{}", dice.roll(2)));
        terms.priority = dice.roll(3) - 1;
        terms.exclusive_group = [None, Some(""), Some("g")][dice.roll(3) as usize].map(str::to_owned);
        terms.stack_limit = 1 + dice.roll(3);
        terms.exclusive = dice.one_in(10);
        terms.joint = dice.one_in(2);
        let budget_left = dice.one_in(6).then(|| dice.roll(wide));
        Self { coupon_id, template_id: coupon_id, valid_until: NOW + 1, budget_left, terms }
    }
}
