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

/// Of a cart that is small enough to be scaled.
fn small_cart() -> impl Strategy<Value = Cart> {
    any_cart().prop_filter("a small one", |cart| {
        cart.lines().iter().all(|line| line.quantity < 10 && line.unit_price < 1_000_000)
    })
}

/// With all amounts so many times as large.
fn dearer(cart: &Cart, times: i64) -> Cart {
    let lines = cart.lines().iter().map(|line| Line {
        unit_price: line.unit_price * times,
        list_unit_price: line.list_unit_price.map(|price| price * times),
        ..line.clone()
    });
    let shipments = cart.shipments().iter().map(|each| Shipment { amount: each.amount * times, ..each.clone() });
    self::cart(lines.collect(), shipments.collect())
}

/// With each line cut into lines of one unit.
fn unit_by_unit(cart: &Cart) -> Cart {
    let units = cart.lines().iter().flat_map(|line| {
        (0..line.quantity).map(|unit| Line { line_id: format!("{}-{unit}", line.line_id), quantity: 1, ..line.clone() })
    });
    self::cart(units.collect(), cart.shipments().to_vec())
}

fn dearer_terms(terms: &TermsSpec, times: i64) -> TermsSpec {
    let more = |amount: i64| amount.saturating_mul(times);
    let tier = |tier: &Tier| Tier { min_spend: more(tier.min_spend), amount_off: more(tier.amount_off) };
    TermsSpec {
        min_spend: more(terms.min_spend),
        amount_off: terms.amount_off.map(more),
        max_discount: terms.max_discount.map(more),
        tiers: terms.tiers.iter().map(tier).collect(),
        repeat: terms.repeat.map(|repeat| Repeat { every: more(repeat.every), amount_off: more(repeat.amount_off) }),
        fixed_price: terms.fixed_price.map(|fixed| FixedPrice { unit_price: more(fixed.unit_price), ..fixed }),
        ..terms.clone()
    }
}

/// What it takes alone, and the reason for nothing but where the amount would be 0.
fn effect(cart: &Cart, terms: &TermsSpec) -> Result<i64, Refusal> {
    match alone(cart, terms.clone()) {
        Err(Refusal::NoEffect) => Ok(0),
        effect => effect,
    }
}

/// Net and count of the units of a line, told from its price and what each coupon took of each unit.
fn units_left(cart: &Cart, decision: &Decision, place: usize) -> Vec<(i64, i64)> {
    let shares = || decision.applied.iter().flat_map(|applied| &applied.lines).filter(move |share| share.line == place);
    let mut cuts = vec![0, cart.lines()[place].quantity];
    cuts.extend(shares().flat_map(|share| &share.units).flat_map(|run| [run.from, run.from + run.count]));
    cuts.sort_unstable();
    cuts.dedup();
    let pieces = cuts.windows(2).map(|cut| {
        let lost = |run: &&UnitRun| run.from <= cut[0] && cut[0] < run.from + run.count;
        let taken: i64 = shares().flat_map(|share| &share.units).filter(lost).map(|run| run.amount).sum();
        (cut[1] - cut[0], cart.lines()[place].unit_price - taken)
    });
    pieces.collect()
}

proptest! {
    #[test]
    fn each_stands_alone_as_it_does_when_it_is_given_alone(
        cart in any_cart(), coupons in any_coupons(8), minimum in 0..500_i64,
    ) {
        let coupons = submitted(&coupons);
        let rules = rules(minimum);
        let each = price_each(&cart, &coupons, &rules, NOW);
        for (coupon, effect) in coupons.iter().zip(each) {
            let given = apply_given(&cart, std::slice::from_ref(coupon), &rules, NOW).unwrap();
            let refusal = given.rejected.into_iter().next().map(|rejected| rejected.refusal);
            prop_assert_eq!(effect, refusal.map_or(Ok(given.discount), Err));
        }
    }

    #[test]
    fn units_that_come_back_one_by_one_or_in_parts_add_up_to_their_line(
        cart in any_cart(), coupons in any_coupons(8), part in any::<Index>(),
    ) {
        let decision = apply_given(&cart, &submitted(&coupons), &rules(0), NOW).unwrap();
        for (place, receipt) in decision.lines.iter().enumerate() {
            let pieces = units_left(&cart, &decision, place);
            prop_assert!(pieces.iter().all(|&(_, net)| net >= 0));
            // The first so many units come back first, the others later.
            let first = part.index(cart.lines()[place].quantity as usize + 1) as i64;
            let (mut left, mut early, mut late) = (first, 0, 0);
            for &(count, net) in &pieces {
                let now = count.min(left);
                early += now * net;
                late += (count - now) * net;
                left -= now;
            }
            prop_assert_eq!(early + late, receipt.net);
            let mut by_net = std::collections::BTreeMap::new();
            pieces.iter().for_each(|&(count, net)| *by_net.entry(net).or_insert(0) += count);
            prop_assert!(by_net.iter().map(|(&net, &count)| (count, net)).eq(receipt.units.iter().copied()));
        }
    }

    #[test]
    fn all_amounts_times_as_large_take_times_as_much_but_for_what_was_rounded(
        cart in small_cart(), terms in any_terms(), times in 1..1_000_i64,
    ) {
        let rounds = matches!(terms.kind, Kind::PercentOff | Kind::NthItem);
        match (effect(&cart, &terms), effect(&dearer(&cart, times), &dearer_terms(&terms, times))) {
            (Ok(less), Ok(more)) if rounds => prop_assert!(2 * (more - times * less).abs() <= times + 1),
            (Ok(less), Ok(more)) => prop_assert_eq!(more, times * less),
            (Err(Refusal::MinSpendNotMet { short_by }), more) => {
                prop_assert_eq!(more, Err(Refusal::MinSpendNotMet { short_by: times * short_by }));
            }
            (less, more) => prop_assert_eq!(less, more),
        }
    }

    #[test]
    fn a_line_of_many_units_is_as_many_lines_of_one(cart in small_cart(), terms in any_terms()) {
        prop_assert_eq!(effect(&cart, &terms), effect(&unit_by_unit(&cart), &terms));
    }

    #[test]
    fn amounts_for_everything_scale_together(
        cart in small_cart(), figures in vec(any_figures(), 1..6), times in 1..1_000_i64,
    ) {
        let of_amounts = |terms: &TermsSpec| matches!(
            terms.kind, Kind::ThresholdOff | Kind::InstantOff | Kind::FreeShipping
        );
        let discounts = |cart: &Cart, times: i64| {
            let terms = figures.iter().filter(|terms| of_amounts(terms)).map(|terms| dearer_terms(terms, times));
            let coupons: Vec<Coupon> = terms.zip(1..).map(|(terms, id)| coupon(id, ungrouped(terms))).collect();
            apply_given(cart, &coupons, &rules(0), NOW).unwrap().applied
        };
        let (less, more) = (discounts(&cart, 1), discounts(&dearer(&cart, times), times));
        prop_assert_eq!(
            less.iter().map(|applied| (applied.coupon, applied.discount * times)).collect::<Vec<_>>(),
            more.iter().map(|applied| (applied.coupon, applied.discount)).collect::<Vec<_>>()
        );
    }
}
