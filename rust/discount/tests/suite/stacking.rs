//! The order of application and which coupons stand together.
use couponry_discount::*;

use crate::support::*;

fn order(submitted: &[Coupon]) -> Vec<usize> {
    let cart = cart(vec![line("A", 1, 1_000_000)], vec![shipment("s", "shop", 100)]);
    applied(&decide(&cart, submitted)).into_iter().map(|(coupon, _)| coupon).collect()
}

fn of_shop(shop_id: &str, terms: TermsSpec) -> TermsSpec {
    TermsSpec { class: Class::Shop, shop_id: Some(shop_id.to_owned()), ..terms }
}

fn group_limit(group: &str) -> Refusal {
    Refusal::GroupLimit { group: group.to_owned() }
}

#[test]
fn coupons_are_applied_by_class_then_priority_then_kind_then_id() {
    let item = |terms| TermsSpec { class: Class::Item, ..ungrouped(terms) };
    let submitted = [
        coupon(9, free_shipping()),
        coupon(1, ungrouped(instant(1))),
        coupon(8, of_shop("shop", ungrouped(instant(1)))),
        coupon(7, item(instant(1))),
        coupon(6, item(percent(1))),
    ];
    assert_eq!(order(&submitted), [4, 3, 2, 1, 0]);
    let submitted = [
        coupon(1, ungrouped(instant(1))),
        coupon(2, ungrouped(threshold(0, 1))),
        coupon(3, ungrouped(percent(1))),
        coupon(5, ungrouped(instant(1))),
        coupon(4, TermsSpec { priority: 1, ..ungrouped(instant(1)) }),
    ];
    assert_eq!(order(&submitted), [4, 2, 1, 0, 3]);
}

#[test]
fn of_percent_and_threshold_the_later_in_the_order_of_application_goes() {
    let submitted = [coupon(1, threshold(0, 3_000)), coupon(2, percent(2_000))];
    let decision = decide(&goods(10_000), &submitted);
    assert_eq!(applied(&decision), [(1, 2_000)]);
    assert_eq!(rejected(&decision), [(0, group_limit("@percent_or_threshold"))]);
}

#[test]
fn two_instant_coupons_and_one_free_shipping_stand_together() {
    let cart = cart(vec![line("A", 1, 1_000)], vec![shipment("s", "shop", 100)]);
    let part = || TermsSpec { max_discount: Some(30), ..free_shipping() };
    let submitted =
        [coupon(1, instant(1)), coupon(2, instant(2)), coupon(3, instant(3)), coupon(4, part()), coupon(5, part())];
    let decision = decide(&cart, &submitted);
    assert_eq!(applied(&decision), [(0, 1), (1, 2), (3, 30)]);
    assert_eq!(rejected(&decision), [(2, group_limit("@instant_off")), (4, group_limit("@free_shipping"))]);
}

#[test]
fn at_most_five_are_applied_whatever_their_groups() {
    let submitted: Vec<_> = (1..=6).map(|id| coupon(id, ungrouped(instant(1)))).collect();
    let decision = decide(&goods(1_000), &submitted);
    assert_eq!(decision.applied.len(), 5);
    assert_eq!(rejected(&decision), [(5, group_limit("@count"))]);
}

#[test]
fn the_limits_of_the_default_groups_are_rules() {
    let rules = RulesSpec {
        percent_or_threshold_limit: 2,
        instant_limit: 1,
        free_shipping_limit: 2,
        count_limit: 4,
        ..RulesSpec::default()
    };
    let cart = cart(vec![line("A", 1, 1_000)], vec![shipment("s", "shop", 100)]);
    let part = || TermsSpec { max_discount: Some(30), ..free_shipping() };
    let submitted = [
        coupon(1, percent(100)),
        coupon(2, threshold(0, 1)),
        coupon(3, instant(1)),
        coupon(4, instant(1)),
        coupon(5, part()),
        coupon(6, part()),
    ];
    let decision = apply_given(&cart, &submitted, &Rules::new(rules).unwrap(), NOW).unwrap();
    assert_eq!(applied(&decision), [(0, 10), (1, 1), (2, 1), (4, 30)]);
    assert_eq!(rejected(&decision), [(3, group_limit("@instant_off")), (5, group_limit("@count"))]);
}

#[test]
fn an_empty_group_is_no_group() {
    let decision =
        decide(&goods(10_000), &[coupon(1, ungrouped(percent(2_000))), coupon(2, ungrouped(threshold(0, 3_000)))]);
    assert_eq!(decision.payable, 5_000);
}

#[test]
fn one_coupon_of_a_named_group_is_applied_and_the_default_groups_do_not_count_it() {
    let named = |terms| TermsSpec { exclusive_group: Some("member".to_owned()), ..terms };
    let submitted = [coupon(1, named(percent(1_000))), coupon(2, named(instant(1))), coupon(3, threshold(0, 10))];
    let decision = decide(&goods(1_000), &submitted);
    assert_eq!(applied(&decision), [(0, 100), (2, 10)]);
    assert_eq!(rejected(&decision), [(1, group_limit("member"))]);
}

#[test]
fn groups_of_shop_coupons_are_per_shop() {
    let cart =
        cart(vec![line("A", 1, 1_000), Line { shop_id: "shop-2".to_owned(), ..line("B", 1, 1_000) }], Vec::new());
    let named = |terms| TermsSpec { exclusive_group: Some("g".to_owned()), ..terms };
    let submitted = [
        coupon(1, of_shop("shop", threshold(0, 1))),
        coupon(2, of_shop("shop-2", threshold(0, 2))),
        coupon(3, of_shop("shop-2", threshold(0, 3))),
        coupon(4, of_shop("shop", named(instant(4)))),
        coupon(5, of_shop("shop-2", named(instant(5)))),
        coupon(6, threshold(0, 6)),
    ];
    let decision = decide(&cart, &submitted);
    assert_eq!(applied(&decision), [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6)]);
    assert_eq!(rejected(&decision), [(2, group_limit("@percent_or_threshold"))]);
}

#[test]
fn a_template_is_applied_as_often_as_its_stack_limit_says_and_no_group_is_lifted() {
    let of_template = |id, terms| submit(CouponSpec { template_id: 77, ..coupon_spec(id, terms) });
    let twice = || TermsSpec { stack_limit: 2, ..threshold(100, 10) };
    let cart = goods(1_000);
    let free: Vec<_> = (1..=3).map(|id| of_template(id, ungrouped(twice()))).collect();
    assert_eq!(rejected(&decide(&cart, &free)), [(2, Refusal::StackLimit)]);
    let grouped: Vec<_> = (1..=2).map(|id| of_template(id, twice())).collect();
    assert_eq!(rejected(&decide(&cart, &grouped)), [(1, group_limit("@percent_or_threshold"))]);
}

#[test]
fn an_exclusive_coupon_stands_alone_except_beside_joint_ones() {
    let exclusive = |terms| TermsSpec { exclusive: true, ..terms };
    let joint = |terms| TermsSpec { joint: true, ..terms };
    let cart = goods(1_000);
    let decision =
        decide(&cart, &[coupon(1, exclusive(percent(1_000))), coupon(2, instant(1)), coupon(3, joint(instant(2)))]);
    assert_eq!(applied(&decision), [(0, 100), (2, 2)]);
    assert_eq!(rejected(&decision), [(1, Refusal::Exclusive { with: 1 })]);
    let late = decide(&cart, &[coupon(1, percent(1_000)), coupon(2, exclusive(instant(1)))]);
    assert_eq!(rejected(&late), [(1, Refusal::Exclusive { with: 1 })]);
    let two = decide(&cart, &[coupon(1, exclusive(joint(percent(1_000)))), coupon(2, exclusive(joint(instant(1))))]);
    assert_eq!(two.applied.len(), 2);
}

#[test]
fn a_coupon_without_effect_holds_no_slot() {
    let first = TermsSpec { priority: 1, ..percent(1) };
    let decision = decide(&goods(100), &[coupon(1, first), coupon(2, threshold(0, 10))]);
    assert_eq!(applied(&decision), [(1, 10)]);
    assert_eq!(rejected(&decision), [(0, Refusal::NoEffect)]);
}

#[test]
fn a_million_units_in_every_line_are_priced_run_by_run() {
    let lines = (0..500).map(|place| line(&place.to_string(), 1_000_000, 1_000 + place)).collect();
    let cart = cart(lines, Vec::new());
    let submitted: Vec<_> = (1..=5).map(|id| coupon(id, ungrouped(percent(1_111)))).collect();
    let decision = decide(&cart, &submitted);
    assert_eq!(decision.applied.len(), 5);
    assert!(decision.lines.iter().all(|line| line.units.len() <= 6));
}
