//! What holds for every cart and every set of coupons.
use couponry_discount::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};

use crate::support::*;

const SHOPS: [&str; 2] = ["shop", "shop-2"];

fn any_line() -> impl Strategy<Value = Line> {
    let prices = prop_oneof![0..20_i64, 0..100_000_i64, Just(9_000_000_000_000_i64)];
    let quantities = prop_oneof![1..6_i64, Just(1_000_000_i64)];
    (prices, quantities, 0..2_usize, any::<bool>(), prop::bool::weighted(0.1)).prop_map(
        |(unit_price, quantity, shop, sale, not_discountable)| Line {
            quantity,
            shop_id: SHOPS[shop].to_owned(),
            list_unit_price: sale.then_some(unit_price + 1),
            not_discountable,
            ..line("", 1, unit_price)
        },
    )
}

pub fn any_cart() -> impl Strategy<Value = Cart> {
    (vec(any_line(), 1..6), vec((0..2_usize, 0..3_000_i64), 0..3)).prop_map(|(mut lines, shipments)| {
        // One wide line fits in 64 bits, two do not.
        let mut wide = 0;
        for (place, line) in lines.iter_mut().enumerate() {
            line.line_id = place.to_string();
            line.sku_id = format!("sku-{}", place % 3);
            if line.quantity * line.unit_price > 1_000_000_000_000 {
                wide += 1;
                if wide > 1 {
                    line.unit_price = 7;
                }
            }
        }
        let shipments = shipments.into_iter().enumerate();
        cart(
            lines,
            shipments.map(|(place, (shop, amount))| shipment(&place.to_string(), SHOPS[shop], amount)).collect(),
        )
    })
}

fn any_figures() -> impl Strategy<Value = TermsSpec> {
    let spend = || prop_oneof![Just(0_i64), 0..200_i64, 0..200_000_i64];
    let amount = || prop_oneof![1..200_i64, 1..200_000_i64, Just(i64::MAX)];
    let cap = || prop::option::weighted(0.5, 1..2_000_i64);
    prop_oneof![
        (1..=10_000_i64, spend(), cap()).prop_map(|(rate, min_spend, max_discount)| TermsSpec {
            min_spend,
            max_discount,
            ..percent(rate)
        }),
        (spend(), amount()).prop_map(|(min_spend, amount)| threshold(min_spend, amount)),
        vec((spend(), amount()), 1..4).prop_map(|tiers| ladder(&tiers)),
        (1..5_000_i64, 1..500_i64, cap())
            .prop_map(|(step, amount, max_discount)| TermsSpec { max_discount, ..every(step, amount.min(step)) }),
        amount().prop_map(instant),
        (2..6_i64, 1..10_000_i64, prop::option::weighted(0.3, 1..3_i64), cap()).prop_map(
            |(group_size, rate, max_groups, max_discount)| TermsSpec {
                max_discount,
                ..nth_item(group_size, group_size / 2, rate, max_groups)
            }
        ),
        (prop_oneof![1..200_i64, 1..100_000_i64], prop::option::weighted(0.5, 1..8_i64), cap()).prop_map(
            |(unit_price, max_units, max_discount)| TermsSpec { max_discount, ..fixed_price(unit_price, max_units) }
        ),
        (spend(), cap()).prop_map(|(min_spend, max_discount)| TermsSpec { min_spend, max_discount, ..free_shipping() }),
    ]
}

fn any_terms() -> impl Strategy<Value = TermsSpec> {
    let groups = prop_oneof![Just(None), Just(Some("")), Just(Some("g"))];
    let flags = (prop::bool::weighted(0.1), any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    (any_figures(), groups, flags, -1..2_i64, 1..3_i64, 0..3_usize, subsequence(vec![0, 1, 2], 0..3)).prop_map(
        |(figures, group, (exclusive, joint, reject, sale), priority, stack_limit, class, skus)| {
            let shipping = figures.kind == Kind::FreeShipping;
            let amounts = matches!(figures.kind, Kind::ThresholdOff | Kind::InstantOff);
            let class = if shipping { Class::Shipping } else { [Class::Item, Class::Shop, Class::Platform][class] };
            TermsSpec {
                class,
                shop_id: (class == Class::Shop).then(|| SHOPS[skus.len() % 2].to_owned()),
                exclusive_group: group.map(str::to_owned),
                exclusive,
                joint,
                priority,
                stack_limit,
                overshoot: if reject && amounts { Overshoot::Reject } else { Overshoot::Clamp },
                exclude_sale_items: sale,
                scope: ScopeSpec {
                    include_skus: skus.iter().map(|sku| format!("sku-{sku}")).collect(),
                    ..ScopeSpec::default()
                },
                ..figures
            }
        },
    )
}

pub fn any_coupons(most: usize) -> impl Strategy<Value = Vec<CouponSpec>> {
    let states = prop_oneof![9 => Just(State::Unused), 1 => Just(State::Used), 1 => Just(State::Pending)];
    let coupons = vec((any_terms(), states, prop::option::weighted(0.2, 0..5_000_i64), 0..3_i64), 0..=most);
    // Some have the template of the one before, and all of some templates lie side by side.
    (coupons, prop::collection::vec(prop::bool::weighted(0.25), most)).prop_map(|(coupons, again)| {
        let mut specs: Vec<CouponSpec> = Vec::with_capacity(coupons.len());
        for ((terms, state, budget_left, end), id) in coupons.into_iter().zip(1..) {
            let spec = match specs.last() {
                Some(last) if again[specs.len()] => CouponSpec { coupon_id: id, ..last.clone() },
                _ => CouponSpec { state, budget_left, ..coupon_spec(id, terms) },
            };
            specs.push(CouponSpec { valid_until: Some(NOW + 1 + end), ..spec });
        }
        specs
    })
}

pub fn submitted(coupons: &[CouponSpec]) -> Vec<Coupon> {
    coupons.iter().cloned().map(submit).collect()
}

fn rules(minimum_payable: i64) -> Rules {
    Rules::new(RulesSpec { minimum_payable, ..RulesSpec::default() }).unwrap()
}

/// With the ids of coupons in the place of their places.
fn by_id(coupons: &[CouponSpec], decision: Decision) -> Decision {
    let id = |place: usize| coupons[place].coupon_id as usize;
    let mut decision = decision;
    decision.applied.iter_mut().for_each(|applied| applied.coupon = id(applied.coupon));
    decision.rejected.iter_mut().for_each(|rejected| rejected.coupon = id(rejected.coupon));
    for hint in &mut decision.hints {
        match hint {
            Hint::NextTier { coupon, .. } | Hint::Unused { coupon, .. } | Hint::Unlock { coupon, .. } => {
                *coupon = id(*coupon)
            }
        }
    }
    decision
}

proptest! {
    #[test]
    fn original_minus_discount_is_payable_at_every_level(
        cart in any_cart(), coupons in any_coupons(8), minimum in 0..500_i64,
    ) {
        let decision = apply_given(&cart, &submitted(&coupons), &rules(minimum), NOW).unwrap();
        prop_assert_eq!(decision.original - decision.discount, decision.payable);
        prop_assert!(decision.payable >= minimum.min(decision.original));
        let lists: i64 = decision.lines.iter().map(|line| line.list).sum::<i64>()
            + decision.shipments.iter().map(|shipment| shipment.list).sum::<i64>();
        let nets: i64 = decision.lines.iter().map(|line| line.net).sum::<i64>()
            + decision.shipments.iter().map(|shipment| shipment.net).sum::<i64>();
        prop_assert_eq!((lists, nets), (decision.original, decision.payable));
        for line in &decision.lines {
            prop_assert_eq!(line.list - line.discount, line.net);
            prop_assert!(0 <= line.discount && line.discount <= line.list);
            prop_assert_eq!(line.units.iter().map(|(count, net)| count * net).sum::<i64>(), line.net);
            prop_assert!(line.units.is_sorted_by(|a, b| a.1 < b.1) && line.units[0].1 >= 0);
        }
        for shipment in &decision.shipments {
            prop_assert_eq!(shipment.list - shipment.discount, shipment.net);
            prop_assert!(0 <= shipment.discount && shipment.net >= 0);
        }
    }

    #[test]
    fn every_applied_coupon_takes_something_and_its_parts_sum_up(cart in any_cart(), coupons in any_coupons(8)) {
        let decision = apply_given(&cart, &submitted(&coupons), &rules(0), NOW).unwrap();
        prop_assert_eq!(decision.applied.len() + decision.rejected.len(), coupons.len());
        for applied in &decision.applied {
            prop_assert!(applied.discount > 0);
            let lines: i64 = applied.lines.iter().map(|share| share.discount).sum();
            let shipments: i64 = applied.shipments.iter().map(|(_, amount)| amount).sum();
            prop_assert_eq!(lines + shipments, applied.discount);
            for share in &applied.lines {
                prop_assert_eq!(share.units.iter().map(|run| run.count * run.amount).sum::<i64>(), share.discount);
                prop_assert!(share.units.iter().all(|run| run.amount > 0 && run.count > 0));
                prop_assert!(share.units.is_sorted_by(|a, b| a.from + a.count <= b.from));
            }
        }
        prop_assert_eq!(decision.applied.iter().map(|applied| applied.discount).sum::<i64>(), decision.discount);
    }

    #[test]
    fn the_order_of_submission_changes_nothing(
        (coupons, shuffled) in any_coupons(8).prop_flat_map(|coupons| (Just(coupons.clone()), Just(coupons).prop_shuffle())),
        cart in any_cart(),
    ) {
        let first = apply_given(&cart, &submitted(&coupons), &rules(0), NOW).unwrap();
        let second = apply_given(&cart, &submitted(&shuffled), &rules(0), NOW).unwrap();
        prop_assert_eq!(by_id(&coupons, first), by_id(&shuffled, second));
    }

    #[test]
    fn without_a_rejected_coupon_the_others_get_the_same(
        cart in any_cart(), coupons in any_coupons(8), pick in any::<Index>(),
    ) {
        let whole = apply_given(&cart, &submitted(&coupons), &rules(0), NOW).unwrap();
        prop_assume!(!whole.rejected.is_empty());
        let left_out = whole.rejected[pick.index(whole.rejected.len())].coupon;
        let mut fewer = coupons.clone();
        fewer.remove(left_out);
        let id = coupons[left_out].coupon_id as usize;
        let part = by_id(&fewer, apply_given(&cart, &submitted(&fewer), &rules(0), NOW).unwrap());
        let mut whole = by_id(&coupons, whole);
        whole.rejected.retain(|rejected| rejected.coupon != id);
        prop_assert_eq!(whole, part);
    }
}
