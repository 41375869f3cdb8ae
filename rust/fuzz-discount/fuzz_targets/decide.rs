//! Any carts, coupons and rules, mostly at the edges of their ranges: the calculator refuses them or decides, and what it
//! decides adds up.
#![no_main]
use std::sync::Arc;

use couponry_discount::*;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    lines: Vec<(Number, Number, u8, bool)>,
    shipments: Vec<Number>,
    coupons: Vec<Given>,
    minimum_payable: Number,
    count_limit: u8,
}

/// Small numbers and extreme ones.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Number {
    Small(u8),
    Middle(u32),
    Edge(bool),
    Any(i64),
}

impl Number {
    fn value(self) -> i64 {
        match self {
            Self::Small(number) => number.into(),
            Self::Middle(number) => number.into(),
            Self::Edge(true) => i64::MAX,
            Self::Edge(false) => 1_000_000,
            Self::Any(number) => number,
        }
    }
}

#[derive(Arbitrary, Debug)]
struct Given {
    kind: u8,
    class: u8,
    figures: [Number; 4],
    capped: Option<Number>,
    skus: Vec<u8>,
    group: Option<bool>,
    flags: [bool; 4],
    budget_left: Option<Number>,
    stack_limit: u8,
    again: bool,
}

impl Given {
    fn terms(&self) -> TermsSpec {
        let kinds = [
            Kind::PercentOff,
            Kind::NthItem,
            Kind::FixedPrice,
            Kind::ThresholdOff,
            Kind::InstantOff,
            Kind::FreeShipping,
        ];
        let kind = kinds[usize::from(self.kind) % kinds.len()];
        let class = match kind {
            Kind::FreeShipping => Class::Shipping,
            _ => [Class::Item, Class::Shop, Class::Platform][usize::from(self.class) % 3],
        };
        let [first, second, third, fourth] = self.figures.map(Number::value);
        let mut terms = TermsSpec {
            min_spend: if kind == Kind::InstantOff { 0 } else { first },
            max_discount: self.capped.map(Number::value),
            shop_id: (class == Class::Shop).then(|| "shop-1".to_owned()),
            exclusive_group: self.group.map(|named| if named { "g".to_owned() } else { String::new() }),
            stack_limit: i64::from(self.stack_limit % 30) + 1,
            exclusive: self.flags[0] && self.flags[1],
            joint: self.flags[2],
            scope: ScopeSpec {
                include_skus: self.skus.iter().take(4).map(|sku| format!("sku-{}", sku % 8)).collect(),
                ..ScopeSpec::default()
            },
            ..TermsSpec::new(kind, class, "CNY")
        };
        match kind {
            Kind::PercentOff => terms.percent_off_bp = Some(second),
            Kind::NthItem => {
                terms.nth_item = Some(NthItem {
                    group_size: second,
                    discounted_units: third,
                    percent_off_bp: fourth,
                    max_groups: self.flags[3].then_some(first),
                });
            }
            Kind::FixedPrice => {
                terms.fixed_price =
                    Some(FixedPrice { unit_price: second, max_units: self.flags[3].then_some(third) });
            }
            Kind::ThresholdOff if self.flags[3] => {
                terms.repeat = Some(Repeat { every: second.max(third), amount_off: third });
            }
            Kind::ThresholdOff | Kind::InstantOff => {
                terms.amount_off = Some(second);
                terms.max_discount = None;
                if self.flags[1] {
                    terms.overshoot = Overshoot::Reject;
                }
            }
            Kind::FreeShipping => {}
        }
        terms
    }
}

fn decide(input: &Input) -> Option<()> {
    let lines = input.lines.iter().enumerate().map(|(place, &(quantity, unit_price, sku, not_discountable))| Line {
        line_id: place.to_string(),
        sku_id: format!("sku-{}", sku % 8),
        spu_id: None,
        category_ids: Vec::new(),
        shop_id: format!("shop-{}", sku % 2),
        quantity: quantity.value(),
        unit_price: unit_price.value(),
        list_unit_price: None,
        not_discountable,
    });
    let shipments = input.shipments.iter().enumerate().map(|(place, amount)| Shipment {
        shipment_id: place.to_string(),
        shop_id: format!("shop-{}", place % 2),
        amount: amount.value(),
    });
    let cart = Cart::new(CartSpec {
        currency: "CNY".to_owned(),
        lines: lines.collect(),
        shipments: shipments.collect(),
        order_total: None,
    })
    .ok()?;
    let mut coupons: Vec<Coupon> = Vec::new();
    let mut template_id = 1;
    for (given, coupon_id) in input.coupons.iter().take(30).zip(1..) {
        let Ok(terms) = Terms::new(given.terms()) else { continue };
        template_id += i64::from(!given.again);
        let spec = CouponSpec {
            coupon_id,
            template_id,
            terms: Arc::new(terms),
            valid_from: None,
            valid_until: Some(i64::from(given.stack_limit) + 1),
            state: State::Unused,
            template_paused: false,
            budget_left: given.budget_left.map(Number::value),
        };
        coupons.extend(Coupon::new(spec));
    }
    let rules = Rules::new(RulesSpec {
        minimum_payable: input.minimum_payable.value(),
        count_limit: i64::from(input.count_limit % 30) + 1,
        ..RulesSpec::default()
    })
    .ok()?;
    let given = apply_given(&cart, &coupons, &rules, 0).ok()?;
    adds_up(&given, coupons.len());
    let found = best_within(&cart, &coupons, &rules, 0, 300).ok()?;
    adds_up(&found.decision, coupons.len());
    assert!(found.decision.discount + found.certificate.gap >= given.discount);
    Some(())
}

fn adds_up(decision: &Decision, submitted: usize) {
    assert_eq!(decision.applied.len() + decision.rejected.len(), submitted);
    assert_eq!(decision.original - decision.discount, decision.payable);
    assert_eq!(decision.applied.iter().map(|applied| applied.discount).sum::<i64>(), decision.discount);
    for line in &decision.lines {
        assert!(0 <= line.discount && line.discount <= line.list && line.list - line.discount == line.net);
        assert_eq!(line.units.iter().map(|(count, net)| count * net).sum::<i64>(), line.net);
        assert!(line.units.iter().all(|&(count, net)| count > 0 && net >= 0));
    }
    for applied in &decision.applied {
        let lines: i64 = applied.lines.iter().map(|share| share.discount).sum();
        let shipments: i64 = applied.shipments.iter().map(|(_, amount)| amount).sum();
        assert!(applied.discount > 0 && lines + shipments == applied.discount);
        for share in &applied.lines {
            assert_eq!(share.units.iter().map(|run| run.count * run.amount).sum::<i64>(), share.discount);
        }
    }
}

fuzz_target!(|input: Input| {
    decide(&input);
});
