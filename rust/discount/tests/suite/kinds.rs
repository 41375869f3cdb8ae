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
    assert_eq!(decision.lines[0].units[..], [(1_000_000, 6_000_300_000_000)]);
}

#[test]
fn the_largest_repeat_takes_what_it_promises() {
    assert_eq!(alone(&goods(i64::MAX), every(1, 1)), Ok(i64::MAX));
    assert_eq!(alone(&goods(i64::MAX), every(i64::MAX, i64::MAX - 1)), Ok(i64::MAX - 1));
}

#[test]
fn the_second_item_at_half_price_is_the_cheapest() {
    let half = || nth_item(2, 1, 5_000, None);
    let cart = cart(vec![line("A", 1, 1_000), line("B", 1, 301), line("C", 1, 700)], Vec::new());
    // Three units are one group, and the cheapest of all is at half price.
    let decision = decide(&cart, &[coupon(1, half())]);
    assert_eq!(
        decision.applied[0].lines.iter().map(|share| (share.line, share.discount)).collect::<Vec<_>>(),
        [(1, 151)]
    );
    assert_eq!(alone(&goods(1_000), half()), Err(Refusal::MinQuantityNotMet { short_by: 1 }));
    assert_eq!(
        alone(&goods(1_000), TermsSpec { min_quantity: Some(4), ..half() }),
        Err(Refusal::MinQuantityNotMet { short_by: 3 })
    );
}

#[test]
fn buy_two_get_one_takes_the_cheapest_units_of_all_groups() {
    let cart = cart(vec![line("A", 4, 900), line("B", 3, 500), line("gift", 9, 0)], Vec::new());
    // Seven units with a price are two groups; a gift fills none and is not what one gets.
    let decision = decide(&cart, &[coupon(1, nth_item(3, 1, 10_000, None))]);
    assert_eq!(decision.discount, 1_000);
    assert_eq!(decision.applied[0].lines[0].units[..], [UnitRun { from: 0, count: 2, amount: 500 }]);
    assert_eq!(decision.lines[1].units[..], [(2, 0), (1, 500)]);
    assert_eq!(decide(&cart, &[coupon(1, nth_item(3, 1, 10_000, Some(1)))]).discount, 500);
}

#[test]
fn which_units_are_picked_depends_on_no_other_coupon_but_what_they_lose_does() {
    let cart = cart(vec![line("A", 1, 1_000), line("B", 1, 900)], Vec::new());
    let only_a = ScopeSpec { include_skus: vec!["sku-A".to_owned()], ..ScopeSpec::default() };
    let decision = decide(
        &cart,
        &[
            coupon(1, TermsSpec { scope: only_a, class: Class::Item, ..percent(9_000) }),
            coupon(2, nth_item(2, 1, 5_000, None)),
        ],
    );
    // A costs 100 by then, but B was the cheaper one in the shop.
    assert_eq!(applied(&decision), [(0, 900), (1, 450)]);
}

#[test]
fn a_fixed_price_brings_units_down_to_it_and_raises_none() {
    let cart = cart(vec![line("A", 3, 1_000), line("B", 2, 990), line("C", 1, 1_500)], Vec::new());
    let decision = decide(&cart, &[coupon(1, fixed_price(990, None))]);
    assert_eq!(decision.discount, 30 + 510);
    assert_eq!(decision.lines.iter().map(|line| line.units[0]).collect::<Vec<_>>(), [(3, 990), (2, 990), (1, 990)]);
    // The dearest first.
    let decision = decide(&cart, &[coupon(1, fixed_price(500, Some(2)))]);
    assert_eq!(decision.lines[2].units[..], [(1, 500)]);
    assert_eq!(decision.lines[0].units[..], [(1, 500), (2, 1_000)]);
    assert_eq!(alone(&goods(990), fixed_price(990, None)), Err(Refusal::NoEffect));
}

#[test]
fn a_fixed_price_counts_from_what_a_unit_costs_by_then() {
    let cart = cart(vec![line("A", 2, 1_000)], Vec::new());
    let decision = decide(&cart, &[coupon(1, percent(5_000)), coupon(2, fixed_price(400, None))]);
    assert_eq!(applied(&decision), [(0, 1_000), (1, 200)]);
    assert_eq!(applied(&decide(&cart, &[coupon(1, percent(7_000)), coupon(2, fixed_price(400, None))])), [(0, 1_400)]);
    // A cap trims it in proportion to what each unit would lose.
    let capped = TermsSpec { max_discount: Some(5), ..fixed_price(990, None) };
    let decision = decide(&cart, &[coupon(1, capped)]);
    assert_eq!(decision.lines[0].units[..], [(1, 997), (1, 998)]);
}

#[test]
fn nobody_knows_the_units_of_a_total() {
    let total = Cart::new(CartSpec { order_total: Some(1_000), ..cart_spec(Vec::new(), Vec::new()) }).unwrap();
    assert_eq!(alone(&total, fixed_price(1, None)), Err(Refusal::ScopeMismatch));
    assert_eq!(alone(&total, nth_item(2, 1, 1, None)), Err(Refusal::ScopeMismatch));
}

#[test]
fn the_kinds_that_look_at_units_share_a_group() {
    let cart = cart(vec![line("A", 2, 1_000)], Vec::new());
    let decision = decide(&cart, &[coupon(1, nth_item(2, 1, 5_000, None)), coupon(2, fixed_price(400, None))]);
    assert_eq!(applied(&decision), [(0, 500)]);
    assert_eq!(rejected(&decision), [(1, Refusal::GroupLimit { group: "@unit_price".to_owned() })]);
}
