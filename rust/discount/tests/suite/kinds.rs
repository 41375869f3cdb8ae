//! What each kind takes off, its floors and its caps.
use couponry_discount::*;

use crate::support::*;

#[test]
fn a_percentage_is_taken_off_the_sum_and_capped() {
    let cart = cart(vec![line("A", 1, 333), line("B", 1, 333), line("C", 1, 339)], Vec::new());
    assert_eq!(alone(&cart, percent(1_000)), Ok(101));
    assert_eq!(alone(&cart, TermsSpec { max_discount: Some(80), ..percent(1_000) }), Ok(80));
    assert_eq!(alone(&cart, percent(10_000)), Ok(1_005));
    assert_eq!(alone(&cart, TermsSpec { min_spend: 1_005, ..percent(1) }), Err(Refusal::NoEffect));
}

#[test]
fn a_threshold_is_met_by_equality() {
    assert_eq!(alone(&goods(300), threshold(300, 50)), Ok(50));
    assert_eq!(alone(&goods(299), threshold(300, 50)), Err(Refusal::MinSpendNotMet { short_by: 1 }));
}

#[test]
fn a_threshold_stands_on_list_prices_and_a_discount_on_current_nets() {
    let decision = decide(&goods(1_000), &[coupon(1, ungrouped(percent(9_000))), coupon(2, threshold(1_000, 300))]);
    assert_eq!(applied(&decision), [(0, 900), (1, 100)]);
    assert_eq!(decision.hints, [Hint::Unused { coupon: 1, amount: 200 }]);
}

#[test]
fn a_quantity_may_stand_beside_a_threshold() {
    let both = || TermsSpec { min_quantity: Some(4), ..threshold(300, 50) };
    let three = cart(vec![line("A", 3, 100)], Vec::new());
    assert_eq!(alone(&three, both()), Err(Refusal::MinQuantityNotMet { short_by: 1 }));
    assert_eq!(alone(&cart(vec![line("A", 3, 100), line("B", 1, 1)], Vec::new()), both()), Ok(50));
    assert_eq!(alone(&cart(vec![line("A", 1, 299)], Vec::new()), both()), Err(Refusal::MinSpendNotMet { short_by: 1 }));
}

#[test]
fn the_reached_tier_with_the_largest_amount_counts() {
    let tiers = [(300, 50), (100, 10), (200, 60)];
    assert_eq!(alone(&goods(99), ladder(&tiers)), Err(Refusal::MinSpendNotMet { short_by: 1 }));
    assert_eq!(alone(&goods(199), ladder(&tiers)), Ok(10));
    assert_eq!(alone(&goods(300), ladder(&tiers)), Ok(60));
}

#[test]
fn the_next_better_tier_is_named_and_a_worse_one_is_not() {
    let hints = |price, tiers: &[(i64, i64)]| decide(&goods(price), &[coupon(1, ladder(tiers))]).hints;
    let next = |amount_off, short_by| vec![Hint::NextTier { coupon: 0, amount_off, short_by }];
    assert_eq!(hints(150, &[(100, 10), (200, 5), (300, 30), (400, 40)]), next(30, 150));
    assert_eq!(hints(250, &[(100, 10), (200, 5)]), []);
}

#[test]
fn a_repeat_takes_whole_steps_up_to_its_cap() {
    assert_eq!(alone(&goods(99), every(100, 10)), Err(Refusal::MinSpendNotMet { short_by: 1 }));
    assert_eq!(alone(&goods(399), every(100, 10)), Ok(30));
    assert_eq!(alone(&goods(399), TermsSpec { max_discount: Some(25), ..every(100, 10) }), Ok(25));
}

#[test]
fn a_repeat_may_begin_later_than_its_first_step() {
    let from_300 = || TermsSpec { min_spend: 300, ..every(100, 10) };
    assert_eq!(alone(&goods(299), from_300()), Err(Refusal::MinSpendNotMet { short_by: 1 }));
    assert_eq!(alone(&goods(300), from_300()), Ok(30));
    assert_eq!(
        alone(&goods(50), TermsSpec { min_spend: 60, ..every(100, 10) }),
        Err(Refusal::MinSpendNotMet { short_by: 50 })
    );
}

#[test]
fn an_amount_beyond_the_basis_is_clamped_or_rejected_as_the_template_says() {
    let decision = decide(&goods(30), &[coupon(1, instant(45))]);
    assert_eq!((decision.payable, decision.applied[0].unused), (0, 15));
    let reject = TermsSpec { overshoot: Overshoot::Reject, ..instant(45) };
    assert_eq!(alone(&goods(30), reject.clone()), Err(Refusal::Overshoot));
    assert_eq!(alone(&goods(45), reject), Ok(45));
}

#[test]
fn the_last_coupon_is_trimmed_first_by_the_least_amount_payable() {
    let rules = Rules::new(RulesSpec { minimum_payable: 50, ..RulesSpec::default() }).unwrap();
    let submitted = [coupon(1, threshold(0, 980)), coupon(2, instant(20))];
    let decision = apply_given(&goods(1_000), &submitted, &rules, NOW).unwrap();
    assert_eq!(applied(&decision), [(0, 950)]);
    assert_eq!(rejected(&decision), [(1, Refusal::NoEffect)]);
    assert_eq!(decision.applied[0].unused, 0);
    let poor = apply_given(&goods(30), &submitted, &rules, NOW).unwrap();
    assert_eq!((poor.payable, poor.applied.len()), (30, 0));
}

#[test]
fn shipping_counts_towards_the_least_amount_payable() {
    let rules = Rules::new(RulesSpec { minimum_payable: 100, ..RulesSpec::default() }).unwrap();
    let cart = cart(vec![line("A", 1, 1_000)], vec![shipment("s", "shop", 300)]);
    let submitted = [coupon(1, percent(10_000)), coupon(2, free_shipping())];
    let decision = apply_given(&cart, &submitted, &rules, NOW).unwrap();
    assert_eq!(applied(&decision), [(0, 1_000), (1, 200)]);
    assert_eq!(decision.shipments, [ShipmentReceipt { list: 300, discount: 200, net: 100 }]);
}

#[test]
fn free_shipping_takes_shipping_only_and_is_spread_over_the_shipments() {
    let cart = cart(vec![line("A", 1, 1_000)], vec![shipment("s", "shop", 500), shipment("t", "other", 1_000)]);
    let decision = decide(&cart, &[coupon(1, TermsSpec { max_discount: Some(100), ..free_shipping() })]);
    assert_eq!(decision.applied[0].shipments, [(0, 33), (1, 67)]);
    assert_eq!(decision.applied[0].lines, []);
    assert_eq!(decision.payable, 2_400);
}

#[test]
fn free_shipping_without_shipping_has_no_effect() {
    assert_eq!(alone(&goods(100), free_shipping()), Err(Refusal::NoEffect));
    let free = cart(vec![line("A", 1, 100)], vec![shipment("s", "shop", 0)]);
    assert_eq!(alone(&free, free_shipping()), Err(Refusal::NoEffect));
}

#[test]
fn a_cart_that_costs_nothing_takes_no_coupon() {
    assert_eq!(alone(&goods(0), percent(5_000)), Err(Refusal::NoEffect));
    assert_eq!(alone(&goods(0), instant(1)), Err(Refusal::NoEffect));
}

#[test]
fn the_largest_cart_is_priced_exactly() {
    let cart = cart(vec![line("A", 1_000_000, 9_000_000_000_000), line("B", 1, 223_372_036_854_775_807)], Vec::new());
    let decision = decide(&cart, &[coupon(1, percent(3_333))]);
    // 9223372036854775807 · 0.3333 = 3074149899883696776.4731
    assert_eq!(decision.discount, 3_074_149_899_883_696_776);
    let of_lines: Vec<_> = decision.lines.iter().map(|line| line.discount).collect();
    assert_eq!(of_lines, [2_999_700_000_000_000_000, 74_449_899_883_696_776]);
    assert_eq!(decision.lines[0].units, [(1_000_000, 6_000_300_000_000)]);
}

#[test]
fn the_largest_repeat_takes_what_it_promises() {
    assert_eq!(alone(&goods(i64::MAX), every(1, 1)), Ok(i64::MAX));
    assert_eq!(alone(&goods(i64::MAX), every(i64::MAX, i64::MAX - 1)), Ok(i64::MAX - 1));
}
