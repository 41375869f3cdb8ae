//! Which lines and shipments a coupon is for.
use couponry_discount::*;

use crate::support::*;

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

fn scoped(scope: ScopeSpec) -> TermsSpec {
    TermsSpec { scope, ..percent(10_000) }
}

/// A: sku-A of spu P in categories food > fruit, B: sku-B in category toys, C: sku-C of shop-2.
fn three() -> Cart {
    cart(
        vec![
            Line { spu_id: Some("P".to_owned()), category_ids: ids(&["food", "fruit"]), ..line("A", 1, 1) },
            Line { category_ids: ids(&["toys"]), ..line("B", 1, 20) },
            Line { shop_id: "shop-2".to_owned(), ..line("C", 1, 300) },
        ],
        vec![shipment("s1", "shop", 1_000), shipment("s2", "shop-2", 2_000), shipment("s3", "shop-3", 4_000)],
    )
}

#[test]
fn a_line_is_included_when_any_list_names_it() {
    let any = ScopeSpec {
        include_skus: ids(&["sku-A"]),
        include_categories: ids(&["toys"]),
        include_shops: ids(&["nobody"]),
        ..ScopeSpec::default()
    };
    assert_eq!(alone(&three(), scoped(any)), Ok(21));
    let by_spu = ScopeSpec { include_spus: ids(&["P"]), ..ScopeSpec::default() };
    assert_eq!(alone(&three(), scoped(by_spu)), Ok(1));
    let by_ancestor = ScopeSpec { include_categories: ids(&["x", "food"]), ..ScopeSpec::default() };
    assert_eq!(alone(&three(), scoped(by_ancestor)), Ok(1));
}

#[test]
fn exclusion_always_wins() {
    let minus = ScopeSpec {
        include_skus: ids(&["sku-A", "sku-B"]),
        exclude_categories: ids(&["fruit"]),
        ..ScopeSpec::default()
    };
    assert_eq!(alone(&three(), scoped(minus)), Ok(20));
    let all_but = |scope| alone(&three(), scoped(scope));
    assert_eq!(all_but(ScopeSpec { exclude_shops: ids(&["shop-2"]), ..ScopeSpec::default() }), Ok(21));
    assert_eq!(all_but(ScopeSpec { exclude_spus: ids(&["P"]), ..ScopeSpec::default() }), Ok(320));
    assert_eq!(all_but(ScopeSpec { exclude_skus: ids(&["sku-C"]), ..ScopeSpec::default() }), Ok(21));
}

#[test]
fn a_scope_that_names_nothing_in_the_cart_is_a_mismatch() {
    let other = ScopeSpec { include_skus: ids(&["sku-Z"]), ..ScopeSpec::default() };
    assert_eq!(alone(&three(), scoped(other)), Err(Refusal::ScopeMismatch));
}

#[test]
fn only_lines_in_scope_count_for_the_threshold() {
    let scope = ScopeSpec { include_shops: ids(&["shop"]), ..ScopeSpec::default() };
    let terms = TermsSpec { scope, ..threshold(30, 5) };
    assert_eq!(alone(&three(), terms), Err(Refusal::MinSpendNotMet { short_by: 9 }));
}

#[test]
fn the_shop_of_a_shop_coupon_narrows_its_scope() {
    let of_shop = |scope| TermsSpec { class: Class::Shop, shop_id: Some("shop-2".to_owned()), ..scoped(scope) };
    assert_eq!(alone(&three(), of_shop(ScopeSpec::default())), Ok(300));
    let elsewhere = ScopeSpec { include_skus: ids(&["sku-A"]), ..ScopeSpec::default() };
    assert_eq!(alone(&three(), of_shop(elsewhere)), Err(Refusal::ScopeMismatch));
}

#[test]
fn lines_that_are_not_discountable_count_for_nothing() {
    let card = Line { not_discountable: true, ..line("A", 5, 1_000) };
    let cart = cart(vec![card, line("B", 1, 100)], Vec::new());
    assert_eq!(alone(&cart, percent(5_000)), Ok(50));
    assert_eq!(alone(&cart, threshold(101, 5)), Err(Refusal::MinSpendNotMet { short_by: 1 }));
    let quantity = TermsSpec { min_quantity: Some(2), ..threshold(0, 5) };
    assert_eq!(alone(&cart, quantity), Err(Refusal::MinQuantityNotMet { short_by: 1 }));
}

#[test]
fn lines_on_sale_can_be_left_out() {
    let sale = Line { list_unit_price: Some(101), ..line("A", 1, 100) };
    let same = Line { list_unit_price: Some(100), ..line("B", 1, 100) };
    let terms = || TermsSpec { exclude_sale_items: true, ..percent(1_000) };
    assert_eq!(alone(&cart(vec![sale.clone(), same], Vec::new()), terms()), Ok(10));
    assert_eq!(alone(&cart(vec![sale], Vec::new()), terms()), Err(Refusal::ScopeMismatch));
}

#[test]
fn a_total_without_lines_takes_only_unscoped_coupons() {
    let total = CartSpec { currency: "CNY".to_owned(), order_total: Some(8_000), ..CartSpec::default() };
    let total = Cart::new(total).unwrap();
    assert_eq!(alone(&total, instant(300)), Ok(300));
    let exclusion = ScopeSpec { exclude_skus: ids(&["77"]), ..ScopeSpec::default() };
    for scoped in [
        scoped(exclusion),
        TermsSpec { exclude_sale_items: true, ..percent(500) },
        TermsSpec { class: Class::Shop, shop_id: Some("shop".to_owned()), ..percent(500) },
    ] {
        assert_eq!(alone(&total, scoped), Err(Refusal::ScopeMismatch));
    }
    let two = TermsSpec { min_quantity: Some(2), ..percent(500) };
    assert_eq!(alone(&total, two), Err(Refusal::MinQuantityNotMet { short_by: 1 }));
}

#[test]
fn free_shipping_for_shops_takes_the_shipments_of_these_shops() {
    let shipping = |scope| alone(&three(), TermsSpec { scope, ..free_shipping() });
    assert_eq!(shipping(ScopeSpec::default()), Ok(7_000));
    assert_eq!(shipping(ScopeSpec { include_shops: ids(&["shop-3"]), ..ScopeSpec::default() }), Ok(4_000));
    assert_eq!(shipping(ScopeSpec { exclude_shops: ids(&["shop-3"]), ..ScopeSpec::default() }), Ok(3_000));
    assert_eq!(
        shipping(ScopeSpec { include_shops: ids(&["shop-9"]), ..ScopeSpec::default() }),
        Err(Refusal::ScopeMismatch)
    );
}

#[test]
fn free_shipping_for_goods_takes_the_shipments_of_the_shops_that_send_them() {
    let shipping = |scope| alone(&three(), TermsSpec { scope, ..free_shipping() });
    assert_eq!(shipping(ScopeSpec { include_skus: ids(&["sku-C"]), ..ScopeSpec::default() }), Ok(2_000));
    assert_eq!(shipping(ScopeSpec { exclude_categories: ids(&["toys"]), ..ScopeSpec::default() }), Ok(3_000));
    assert_eq!(shipping(ScopeSpec { exclude_skus: ids(&["sku-C"]), ..ScopeSpec::default() }), Ok(1_000));
}

#[test]
fn free_shipping_looks_at_eligible_goods_for_its_threshold() {
    let scope = || ScopeSpec { include_shops: ids(&["shop"]), ..ScopeSpec::default() };
    let from = |min_spend| TermsSpec { min_spend, scope: scope(), ..free_shipping() };
    assert_eq!(alone(&three(), from(21)), Ok(1_000));
    assert_eq!(alone(&three(), from(22)), Err(Refusal::MinSpendNotMet { short_by: 1 }));
}
