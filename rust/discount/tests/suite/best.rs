//! `best` against every subset, and what its certificate says.
use couponry_discount::*;
use proptest::prelude::*;

use crate::laws::{any_cart, any_coupons, submitted};
use crate::support::*;

/// Total, chosen and, by candidate, what the best set with it takes; by trying every set.
struct Tried {
    sets: Vec<(i64, u32)>,
    best: (i64, u32),
}

fn applies_whole(cart: &Cart, coupons: &[Coupon], rules: &Rules, set: u32) -> Option<i64> {
    let chosen: Vec<Coupon> = coupons
        .iter()
        .enumerate()
        .filter(|(place, _)| set >> place & 1 == 1)
        .map(|(_, coupon)| coupon.clone())
        .collect();
    let decision = apply_given(cart, &chosen, rules, NOW).unwrap();
    decision.rejected.is_empty().then_some(decision.discount)
}

fn try_all(cart: &Cart, specs: &[CouponSpec], rules: &Rules) -> Tried {
    let coupons = submitted(specs);
    let all = (0..1_u32 << coupons.len()).filter_map(|set| Some((applies_whole(cart, &coupons, rules, set)?, set)));
    let sets: Vec<(i64, u32)> = all.collect();
    let key = |&(total, set): &(i64, u32)| {
        let members = || (0..specs.len()).filter(move |place| set >> place & 1 == 1).map(|place| &specs[place]);
        let mut ends: Vec<i64> = members().map(|spec| spec.valid_until.unwrap_or(i64::MAX)).collect();
        let mut ids: Vec<i64> = members().map(|spec| spec.coupon_id).collect();
        ends.sort_unstable();
        ids.sort_unstable();
        (-total, set.count_ones(), ends, ids)
    };
    let best = *sets.iter().min_by_key(|set| key(set)).unwrap();
    Tried { sets, best }
}

fn chosen(decision: &Decision) -> u32 {
    decision.applied.iter().map(|applied| 1 << applied.coupon).sum()
}

fn compare(cart: &Cart, specs: &[CouponSpec], rules: &Rules) -> Result<(), TestCaseError> {
    let coupons = submitted(specs);
    let tried = try_all(cart, specs, rules);
    let BestDecision { decision, certificate } = best(cart, &coupons, rules, NOW).unwrap();
    prop_assert!(certificate.exact && certificate.gap == 0);
    prop_assert_eq!((decision.discount, chosen(&decision)), tried.best);
    for entry in &decision.rejected {
        let with = tried.sets.iter().filter(|(_, set)| set >> entry.coupon & 1 == 1).map(|(total, _)| *total).max();
        match entry.refusal {
            Refusal::NotInBest { less_by } => prop_assert_eq!(Some(decision.discount - less_by), with, "{:?}", entry),
            _ => prop_assert_eq!(with, None, "{:?}", entry),
        }
    }
    prop_assert_eq!(decision.applied.len() + decision.rejected.len(), coupons.len());
    match certificate.runner_up {
        Some(RunnerUp { coupons: places, less_by }) => {
            let set = places.iter().map(|place| 1 << place).sum();
            prop_assert_ne!(set, tried.best.1);
            let total = decision.discount - less_by;
            prop_assert!(less_by >= 0 && tried.sets.contains(&(total, set)));
            // What takes more is the best, or the best with interchangeable ones swapped.
            for &(more, set) in tried.sets.iter().filter(|(more, _)| *more > total) {
                prop_assert!(more == decision.discount && set.count_ones() == tried.best.1.count_ones());
            }
        }
        None => prop_assert!(tried.best.1.count_ones() <= 1),
    }
    Ok(())
}

fn any_rules() -> impl Strategy<Value = Rules> {
    (prop_oneof![Just(0_i64), 0..500_i64], 1..3_i64, 1..3_i64, 1..7_i64).prop_map(
        |(minimum_payable, threshold, instant, count_limit)| {
            Rules::new(RulesSpec {
                minimum_payable,
                percent_or_threshold_limit: threshold,
                instant_limit: instant,
                count_limit,
                ..RulesSpec::default()
            })
            .unwrap()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn no_set_of_up_to_twelve_candidates_is_better(
        cart in any_cart(), coupons in any_coupons(12), rules in any_rules(),
    ) {
        compare(&cart, &coupons, &rules)?;
    }

    #[test]
    fn the_best_is_at_least_what_the_given_ones_take(cart in any_cart(), coupons in any_coupons(20), rules in any_rules()) {
        let coupons = submitted(&coupons);
        let given = apply_given(&cart, &coupons, &rules, NOW).unwrap();
        let found = best(&cart, &coupons, &rules, NOW).unwrap();
        prop_assert!(found.decision.discount >= given.discount);
    }

    #[test]
    fn the_order_of_candidates_changes_nothing(
        (coupons, shuffled) in any_coupons(12).prop_flat_map(|coupons| (Just(coupons.clone()), Just(coupons).prop_shuffle())),
        cart in any_cart(), rules in any_rules(),
    ) {
        let ids = |specs: &[CouponSpec]| {
            let BestDecision { decision, certificate } = best(&cart, &submitted(specs), &rules, NOW).unwrap();
            let id = |place: usize| specs[place].coupon_id;
            (
                decision.applied.iter().map(|entry| (id(entry.coupon), entry.discount)).collect::<Vec<_>>(),
                decision.rejected.iter().map(|entry| (id(entry.coupon), entry.refusal.clone())).collect::<Vec<_>>(),
                certificate.runner_up.map(|other| (other.coupons.into_iter().map(id).collect::<Vec<_>>(), other.less_by)),
                certificate.nodes,
            )
        };
        prop_assert_eq!(ids(&coupons), ids(&shuffled));
    }

    #[test]
    fn a_small_allowance_gives_true_bounds(
        cart in any_cart(), coupons in any_coupons(8), rules in any_rules(), work in 0..12_i64,
    ) {
        let tried = try_all(&cart, &coupons, &rules);
        let BestDecision { decision, certificate } =
            best_within(&cart, &submitted(&coupons), &rules, NOW, work).unwrap();
        prop_assert!(decision.discount <= tried.best.0 && tried.best.0 <= decision.discount + certificate.gap);
        prop_assert!(!certificate.exact || (decision.discount, chosen(&decision)) == tried.best);
        for entry in &decision.rejected {
            if let Refusal::NotInBest { less_by } = entry.refusal {
                let with = tried.sets.iter().filter(|(_, set)| set >> entry.coupon & 1 == 1).map(|(total, _)| *total).max();
                prop_assert!(with.is_none_or(|with| tried.best.0 - with >= less_by));
            }
        }
    }
}

fn ungrouped_instants(amounts: &[i64]) -> Vec<CouponSpec> {
    amounts.iter().zip(1..).map(|(&amount, id)| coupon_spec(id, ungrouped(instant(amount)))).collect()
}

fn ids_of(cart: &Cart, specs: &[CouponSpec]) -> Vec<i64> {
    let found = best(cart, &submitted(specs), &Rules::default(), NOW).unwrap();
    found.decision.applied.iter().map(|entry| specs[entry.coupon].coupon_id).collect()
}

#[test]
fn of_equal_sets_the_one_with_fewer_coupons_is_taken() {
    assert_eq!(ids_of(&goods(1_000), &ungrouped_instants(&[400, 600, 1_000])), [3]);
}

#[test]
fn of_equal_sets_of_one_size_the_one_that_expires_earlier_is_taken_and_then_the_one_with_smaller_ids() {
    let mut specs = ungrouped_instants(&[500, 500, 500, 500]);
    for spec in &mut specs {
        spec.valid_until = Some(3_000);
    }
    assert_eq!(ids_of(&goods(1_000), &specs), [1, 2]);
    specs[3].valid_until = Some(2_000);
    assert_eq!(ids_of(&goods(1_000), &specs), [1, 4]);
    specs[0].valid_until = None;
    assert_eq!(ids_of(&goods(1_000), &specs), [2, 4]);
}

#[test]
fn one_more_coupon_is_not_always_better() {
    // The percentage pushes the fixed amount over the basis, where it is refused.
    let reject = TermsSpec { overshoot: Overshoot::Reject, ..ungrouped(instant(1_000)) };
    let specs = [coupon_spec(1, ungrouped(percent(1_000))), coupon_spec(2, reject)];
    let found = best(&goods(1_000), &submitted(&specs), &Rules::default(), NOW).unwrap();
    assert_eq!(applied(&found.decision), [(1, 1_000)]);
    assert_eq!(rejected(&found.decision), [(0, Refusal::NotInBest { less_by: 900 })]);
    assert_eq!(found.certificate.runner_up, Some(RunnerUp { coupons: vec![0], less_by: 900 }));
}

#[test]
fn what_can_stand_in_no_set_keeps_its_own_reason_and_a_missing_spend_is_an_unlock() {
    let specs = [
        coupon_spec(1, instant(100)),
        coupon_spec(2, threshold(1_320, 500)),
        coupon_spec(3, TermsSpec { min_quantity: Some(3), ..threshold(1_320, 500) }),
        CouponSpec { budget_left: Some(50), ..coupon_spec(4, instant(100)) },
        CouponSpec { state: State::Used, ..coupon_spec(5, instant(100)) },
    ];
    let found = best(&goods(1_000), &submitted(&specs), &Rules::default(), NOW).unwrap();
    assert_eq!(
        rejected(&found.decision),
        [
            (1, Refusal::MinSpendNotMet { short_by: 320 }),
            (2, Refusal::MinSpendNotMet { short_by: 320 }),
            (3, Refusal::BudgetExhausted { left: 50 }),
            (4, Refusal::Used),
        ]
    );
    // Of coupon 3 two units are missing too.
    assert_eq!(found.decision.hints, [Hint::Unlock { coupon: 1, short_by: 320 }]);
    assert_eq!(found.certificate.runner_up, None);
}

#[test]
fn a_budget_that_is_too_small_alone_may_do_beside_others() {
    let specs = [
        coupon_spec(1, ungrouped(percent(5_000))),
        CouponSpec { budget_left: Some(60), ..coupon_spec(2, ungrouped(percent(1_000))) },
    ];
    let found = best(&goods(1_000), &submitted(&specs), &Rules::default(), NOW).unwrap();
    assert_eq!(applied(&found.decision), [(0, 500), (1, 50)]);
}

#[test]
fn thirty_interchangeable_coupons_count_once() {
    let specs: Vec<CouponSpec> = (1..31)
        .map(|id| CouponSpec {
            template_id: 7,
            valid_until: Some(2_000 - id),
            ..coupon_spec(id, TermsSpec { stack_limit: 30, ..ungrouped(percent(1_000)) })
        })
        .collect();
    let found = best(&goods(1_000), &submitted(&specs), &Rules::default(), NOW).unwrap();
    // Those that expire first.
    assert_eq!(applied(&found.decision).iter().map(|(place, _)| *place).collect::<Vec<_>>(), [25, 26, 27, 28, 29]);
    assert!(found.decision.rejected.iter().all(|entry| entry.refusal == Refusal::NotInBest { less_by: 0 }));
    assert!(found.certificate.exact && found.certificate.nodes < 20, "{}", found.certificate.nodes);
}

#[test]
fn hard_inputs_end_within_the_allowance_and_tell_the_gap() {
    // 30 coupons over chained scopes, with nearly equal effects and no groups.
    let lines = (0..30).map(|place| line(&place.to_string(), 3, 1_000 + place)).collect();
    let cart = cart(lines, Vec::new());
    let specs: Vec<CouponSpec> = (1..31)
        .map(|id| {
            let scope = ScopeSpec {
                include_skus: (0..10).map(|step| format!("sku-{}", (id + step) % 30)).collect(),
                ..ScopeSpec::default()
            };
            coupon_spec(id, ungrouped(TermsSpec { scope, ..percent(5_000 + id % 3) }))
        })
        .collect();
    let rules = Rules::new(RulesSpec { count_limit: 15, ..RulesSpec::default() }).unwrap();
    let found = best(&cart, &submitted(&specs), &rules, NOW).unwrap();
    assert!(!found.certificate.exact && found.certificate.gap > 0);
    assert!(found.certificate.nodes <= WORK as u64);
    assert!(found.decision.discount > 0);
}
