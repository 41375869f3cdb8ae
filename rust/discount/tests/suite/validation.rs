//! Bad input: every violation with the path of its field.
use couponry_discount::*;

use crate::support::*;

fn told_of_terms(terms: TermsSpec) -> Vec<String> {
    told(Terms::new(terms))
}

#[test]
fn all_violations_of_a_cart_are_found_in_one_go() {
    let bad = Line {
        line_id: String::new(),
        sku_id: "x".repeat(65),
        spu_id: Some(String::new()),
        category_ids: vec!["ok".to_owned(), String::new()],
        shop_id: "é".repeat(33),
        quantity: 0,
        unit_price: -1,
        list_unit_price: Some(-2),
        not_discountable: false,
    };
    let spec = CartSpec {
        currency: "cny".to_owned(),
        lines: vec![line("A", 1, 1), bad, line("A", 1_000_001, 1)],
        shipments: vec![shipment("", "s", -1)],
        order_total: Some(-1),
    };
    assert_eq!(
        told(Cart::new(spec)),
        [
            "currency: must be an ISO 4217 code of three capital letters",
            "lines[1].line_id: must be 1 to 64 bytes, is 0",
            "lines[1].sku_id: must be 1 to 64 bytes, is 65",
            "lines[1].spu_id: must be 1 to 64 bytes, is 0",
            "lines[1].category_ids[1]: must be 1 to 64 bytes, is 0",
            "lines[1].shop_id: must be 1 to 64 bytes, is 66",
            "lines[1].quantity: must be 1 to 1000000, is 0",
            "lines[1].unit_price: must be at least 0, is -1",
            "lines[1].list_unit_price: must be at least 0, is -2",
            "lines[2].quantity: must be 1 to 1000000, is 1000001",
            "lines[2].line_id: must not be the id of an earlier line",
            "shipments[0].shipment_id: must be 1 to 64 bytes, is 0",
            "shipments[0].amount: must be at least 0, is -1",
            "order_total: must be at least 0, is -1",
            "order_total: must not be given beside lines",
        ]
    );
}

#[test]
fn a_cart_has_lines_or_a_total() {
    let empty = CartSpec { currency: "CNY".to_owned(), ..CartSpec::default() };
    assert_eq!(told(Cart::new(empty)), ["lines: must have at least one entry, or order_total must be given"]);
}

#[test]
fn a_cart_has_at_most_500_lines_and_500_shipments_and_100_categories_a_line() {
    let lines = |count: usize| (0..count).map(|place| line(&place.to_string(), 1, 1)).collect::<Vec<_>>();
    let shipments = |count: usize| (0..count).map(|place| shipment(&place.to_string(), "s", 1)).collect::<Vec<_>>();
    assert!(Cart::new(cart_spec(lines(500), shipments(500))).is_ok());
    assert_eq!(
        told(Cart::new(cart_spec(lines(501), shipments(501)))),
        ["lines: must have at most 500 entries, has 501", "shipments: must have at most 500 entries, has 501"]
    );
    let categories =
        |count| cart_spec(vec![Line { category_ids: vec!["c".to_owned(); count], ..line("A", 1, 1) }], vec![]);
    assert!(Cart::new(categories(100)).is_ok());
    assert_eq!(told(Cart::new(categories(101))), ["lines[0].category_ids: must have at most 100 entries, has 101"]);
}

#[test]
fn a_sum_beyond_64_bits_names_the_entry_that_goes_there() {
    let wide = |lines, shipments| Cart::new(cart_spec(lines, shipments));
    assert!(wide(vec![line("A", 1, i64::MAX)], vec![]).is_ok());
    let text = "takes the sum of the cart beyond 64 bits";
    assert_eq!(told(wide(vec![line("A", 2, i64::MAX)], vec![])), [format!("lines[0].unit_price: {text}")]);
    assert_eq!(
        told(wide(vec![line("A", 1, i64::MAX), line("B", 1, 1)], vec![])),
        [format!("lines[1].unit_price: {text}")]
    );
    assert_eq!(
        told(wide(vec![line("A", 1, i64::MAX)], vec![shipment("s", "s", 1)])),
        [format!("shipments[0].amount: {text}")]
    );
}

#[test]
fn a_field_of_another_kind_is_a_violation() {
    let all = |kind, class| TermsSpec {
        min_spend: 1,
        min_quantity: Some(1),
        amount_off: Some(1),
        percent_off_bp: Some(1),
        max_discount: Some(1),
        tiers: vec![Tier { min_spend: 1, amount_off: 1 }],
        repeat: Some(Repeat { every: 1, amount_off: 1 }),
        overshoot: Overshoot::Reject,
        ..TermsSpec::new(kind, class, "CNY")
    };
    let fields = |kind, class| -> Vec<String> {
        Terms::new(all(kind, class)).unwrap_err().into_vec().into_iter().map(|found| found.field).collect()
    };
    assert_eq!(fields(Kind::PercentOff, Class::Item), ["min_spend", "amount_off", "tiers", "repeat", "overshoot"]);
    assert_eq!(fields(Kind::ThresholdOff, Class::Item), ["min_spend", "percent_off_bp", "amount_off"]);
    assert_eq!(
        fields(Kind::InstantOff, Class::Item),
        ["min_spend", "min_spend", "min_quantity", "percent_off_bp", "max_discount", "tiers", "repeat"]
    );
    assert_eq!(
        fields(Kind::FreeShipping, Class::Shipping),
        ["min_spend", "amount_off", "percent_off_bp", "tiers", "repeat", "overshoot"]
    );
}

#[test]
fn each_kind_needs_its_figures() {
    let bare = |kind, class| told_of_terms(TermsSpec::new(kind, class, "CNY"));
    assert_eq!(bare(Kind::PercentOff, Class::Item), ["percent_off_bp: is required for PERCENT_OFF"]);
    assert_eq!(bare(Kind::InstantOff, Class::Item), ["amount_off: is required for INSTANT_OFF"]);
    assert_eq!(
        bare(Kind::ThresholdOff, Class::Item),
        ["amount_off: THRESHOLD_OFF takes exactly one of amount_off, tiers and repeat"]
    );
    assert!(Terms::new(TermsSpec::new(Kind::FreeShipping, Class::Shipping, "CNY")).is_ok());
}

#[test]
fn rates_and_amounts_are_refused_beyond_their_limits() {
    for (rate_bp, fine) in [(0, false), (1, true), (10_000, true), (10_001, false), (-1, false)] {
        assert_eq!(Terms::new(percent(rate_bp)).is_ok(), fine, "{rate_bp}");
    }
    for (amount_off, fine) in [(-5_000, false), (0, false), (1, true), (i64::MAX, true)] {
        assert_eq!(Terms::new(instant(amount_off)).is_ok(), fine, "{amount_off}");
        assert_eq!(Terms::new(threshold(0, amount_off)).is_ok(), fine, "{amount_off}");
        assert_eq!(Terms::new(every(i64::MAX, amount_off)).is_ok(), fine, "{amount_off}");
        assert_eq!(Terms::new(ladder(&[(0, amount_off)])).is_ok(), fine, "{amount_off}");
    }
    assert_eq!(told_of_terms(TermsSpec { min_spend: -1, ..threshold(0, 1) }), ["min_spend: must be at least 0, is -1"]);
    assert_eq!(
        told_of_terms(every(-1, -1)),
        ["repeat.every: must be at least 1, is -1", "repeat.amount_off: must be at least 1, is -1"]
    );
    assert_eq!(told_of_terms(every(100, 101)), ["repeat.amount_off: must be at most every, which is 100"]);
    assert_eq!(told_of_terms(ladder(&[(0, 1), (-1, 1)])), ["tiers[1].min_spend: must be at least 0, is -1"]);
    assert_eq!(
        told_of_terms(TermsSpec { max_discount: Some(0), ..percent(1) }),
        ["max_discount: must be at least 1, is 0"]
    );
    assert_eq!(
        told_of_terms(TermsSpec { min_quantity: Some(0), ..percent(1) }),
        ["min_quantity: must be at least 1, is 0"]
    );
    assert_eq!(
        told_of_terms(TermsSpec { max_discount: Some(1), ..threshold(0, 1) }),
        ["max_discount: goes with repeat where the kind is THRESHOLD_OFF"]
    );
}

#[test]
fn a_ladder_has_at_most_50_tiers() {
    assert!(Terms::new(ladder(&[(0, 1); 50])).is_ok());
    assert_eq!(told_of_terms(ladder(&[(0, 1); 51])), ["tiers: must have at most 50 entries, has 51"]);
}

#[test]
fn free_shipping_and_the_shipping_class_belong_together() {
    let text = "coupon_class: FREE_SHIPPING is of class SHIPPING, and no other kind is";
    assert_eq!(told_of_terms(TermsSpec { class: Class::Shipping, ..percent(1) }), [text]);
    assert_eq!(told_of_terms(TermsSpec { class: Class::Platform, ..free_shipping() }), [text]);
}

#[test]
fn only_the_shop_class_has_a_shop() {
    let shop = |class, shop_id: Option<&str>| TermsSpec { class, shop_id: shop_id.map(str::to_owned), ..percent(1) };
    assert_eq!(told_of_terms(shop(Class::Shop, None)), ["shop_id: is required for class SHOP"]);
    assert_eq!(told_of_terms(shop(Class::Shop, Some(""))), ["shop_id: must be 1 to 64 bytes, is 0"]);
    assert_eq!(told_of_terms(shop(Class::Item, Some("s"))), ["shop_id: is a field of class SHOP only"]);
}

#[test]
fn scopes_have_at_most_1000_ids_a_list() {
    let scope =
        |ids: Vec<String>| TermsSpec { scope: ScopeSpec { exclude_spus: ids, ..ScopeSpec::default() }, ..percent(1) };
    assert!(Terms::new(scope(vec!["x".to_owned(); 1_000])).is_ok());
    assert_eq!(
        told_of_terms(scope(vec!["x".to_owned(); 1_001])),
        ["scope.exclude_spus: must have at most 1000 entries, has 1001"]
    );
    assert_eq!(
        told_of_terms(scope(vec!["x".to_owned(), String::new()])),
        ["scope.exclude_spus[1]: must be 1 to 64 bytes, is 0"]
    );
}

#[test]
fn group_names_are_short_and_not_reserved() {
    let group = |name: &str| TermsSpec { exclusive_group: Some(name.to_owned()), ..percent(1) };
    assert!(Terms::new(group(&"g".repeat(64))).is_ok());
    assert_eq!(told_of_terms(group(&"g".repeat(65))), ["exclusive_group: must be at most 64 bytes, is 65"]);
    assert_eq!(
        told_of_terms(group("@count")),
        ["exclusive_group: must not begin with \"@\": those names are reserved"]
    );
}

#[test]
fn priority_and_stack_limit_have_their_limits() {
    for (priority, fine) in [(i64::from(i32::MAX), true), (i64::from(i32::MAX) + 1, false), (i64::from(i32::MIN), true)]
    {
        assert_eq!(Terms::new(TermsSpec { priority, ..percent(1) }).is_ok(), fine);
    }
    for (stack_limit, fine) in [(0, false), (1, true), (30, true), (31, false)] {
        assert_eq!(Terms::new(TermsSpec { stack_limit, ..percent(1) }).is_ok(), fine);
    }
}

#[test]
fn coupons_have_ids_below_2_to_the_53_and_windows_that_end_after_their_start() {
    let spec = |coupon_id| CouponSpec { coupon_id, ..coupon_spec(1, percent(1)) };
    assert!(Coupon::new(spec((1 << 53) - 1)).is_ok());
    assert_eq!(told(Coupon::new(spec(0))), ["coupon_id: must be 1 to 9007199254740991, is 0"]);
    assert!(Coupon::new(spec(1 << 53)).is_err());
    let bad =
        CouponSpec { valid_from: Some(5), valid_until: Some(5), template_id: 0, budget_left: Some(-1), ..spec(1) };
    assert_eq!(
        told(Coupon::new(bad)),
        [
            "template_id: must be 1 to 9007199254740991, is 0",
            "valid_until: must be later than valid_from",
            "budget_left: must be at least 0, is -1",
        ]
    );
}

#[test]
fn thirty_coupons_may_be_submitted_and_not_one_more() {
    let many = |count| (1..=count).map(|id| coupon(id, instant(1))).collect::<Vec<_>>();
    assert_eq!(decide(&goods(1_000), &many(30)).rejected.len(), 28);
    assert_eq!(
        told(apply_given(&goods(1_000), &many(31), &Rules::default(), NOW)),
        ["coupons: must have at most 30 entries, has 31"]
    );
    let fewer = Rules::new(RulesSpec { submitted_limit: 2, ..RulesSpec::default() }).unwrap();
    assert!(apply_given(&goods(1_000), &many(2), &fewer, NOW).is_ok());
    assert!(apply_given(&goods(1_000), &many(3), &fewer, NOW).is_err());
}

#[test]
fn rules_have_limits_of_1_to_30() {
    let bad = RulesSpec {
        minimum_payable: -1,
        percent_or_threshold_limit: 0,
        unit_price_limit: 0,
        instant_limit: 31,
        free_shipping_limit: 0,
        count_limit: 0,
        submitted_limit: 31,
    };
    assert_eq!(
        told(Rules::new(bad)),
        [
            "minimum_payable: must be at least 0, is -1",
            "percent_or_threshold_limit: must be 1 to 30, is 0",
            "unit_price_limit: must be 1 to 30, is 0",
            "instant_limit: must be 1 to 30, is 31",
            "free_shipping_limit: must be 1 to 30, is 0",
            "count_limit: must be 1 to 30, is 0",
            "submitted_limit: must be 1 to 30, is 31",
        ]
    );
}

#[test]
fn the_kinds_that_look_at_units_have_fields_of_their_own() {
    assert_eq!(
        told(Terms::new(nth_item(1, 1, 0, Some(0)))),
        [
            "nth_item.group_size: must be 2 to 1000, is 1",
            "nth_item.percent_off_bp: must be 1 to 10000, is 0",
            "nth_item.max_groups: must be 1 to 1000000, is 0",
        ]
    );
    assert_eq!(
        told(Terms::new(nth_item(3, 3, 1, None))),
        ["nth_item.discounted_units: must be at least 1 and below group_size, is 3"]
    );
    assert_eq!(
        told(Terms::new(fixed_price(0, Some(0)))),
        ["fixed_price.unit_price: must be at least 1, is 0", "fixed_price.max_units: must be 1 to 1000000, is 0"]
    );
    assert_eq!(
        told(Terms::new(TermsSpec {
            fixed_price: None,
            nth_item: nth_item(2, 1, 1, None).nth_item,
            ..fixed_price(1, None)
        })),
        ["nth_item: is not a field of FIXED_PRICE", "fixed_price: is required for FIXED_PRICE"]
    );
    assert_eq!(
        told(Terms::new(TermsSpec { overshoot: Overshoot::Reject, ..fixed_price(1, None) })),
        ["overshoot: must be CLAMP for FIXED_PRICE, which cannot overshoot"]
    );
}
