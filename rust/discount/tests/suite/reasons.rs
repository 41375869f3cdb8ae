//! Why a coupon is left out, and which reason is given where several fit.
use couponry_discount::*;

use crate::support::*;

fn why(spec: CouponSpec) -> Option<Refusal> {
    decide(&goods(1_000), &[submit(spec)]).rejected.into_iter().map(|rejected| rejected.refusal).next()
}

#[test]
fn the_window_is_closed_at_its_start_and_open_at_its_end() {
    let window = |from, until| why(CouponSpec { valid_from: from, valid_until: until, ..coupon_spec(1, instant(1)) });
    assert_eq!(window(Some(NOW), Some(NOW + 1)), None);
    assert_eq!(window(Some(NOW + 1), None), Some(Refusal::NotStarted));
    assert_eq!(window(None, Some(NOW)), Some(Refusal::Expired));
    assert_eq!(window(None, None), None);
}

#[test]
fn every_state_but_unused_and_pending_is_a_reason() {
    let state = |state| why(CouponSpec { state, ..coupon_spec(1, instant(1)) });
    assert_eq!(state(State::Unused), None);
    assert_eq!(state(State::Pending), None);
    assert_eq!(state(State::Locked), Some(Refusal::Locked));
    assert_eq!(state(State::Used), Some(Refusal::Used));
    assert_eq!(state(State::Expired), Some(Refusal::Expired));
    assert_eq!(state(State::Revoked), Some(Refusal::Revoked));
}

#[test]
fn the_coupon_comes_before_its_window_and_its_window_before_its_template() {
    let spec = |state, until| CouponSpec {
        state,
        valid_until: Some(until),
        template_paused: true,
        budget_left: Some(0),
        ..coupon_spec(1, instant(1))
    };
    assert_eq!(why(spec(State::Revoked, 1)), Some(Refusal::Revoked));
    assert_eq!(why(spec(State::Unused, 1)), Some(Refusal::Expired));
    assert_eq!(why(spec(State::Unused, 2_000)), Some(Refusal::TemplatePaused));
}

#[test]
fn the_order_of_reasons_is_state_then_limits_then_cart_then_stacking() {
    let bad_everywhere = || TermsSpec {
        currency: "USD".to_owned(),
        min_quantity: Some(9),
        scope: ScopeSpec { include_skus: vec!["none".to_owned()], ..ScopeSpec::default() },
        ..threshold(9_999, 1)
    };
    let spent = CouponSpec { budget_left: Some(0), ..coupon_spec(1, bad_everywhere()) };
    assert_eq!(why(spent), Some(Refusal::BudgetExhausted { left: 0 }));
    assert_eq!(why(coupon_spec(1, bad_everywhere())), Some(Refusal::CurrencyMismatch));
    let in_currency = TermsSpec { currency: "CNY".to_owned(), ..bad_everywhere() };
    assert_eq!(why(coupon_spec(1, in_currency.clone())), Some(Refusal::ScopeMismatch));
    let in_scope = TermsSpec { scope: ScopeSpec::default(), ..in_currency };
    assert_eq!(why(coupon_spec(1, in_scope.clone())), Some(Refusal::MinSpendNotMet { short_by: 8_999 }));
    let enough = TermsSpec { min_spend: 0, ..in_scope };
    assert_eq!(why(coupon_spec(1, enough)), Some(Refusal::MinQuantityNotMet { short_by: 8 }));
}

#[test]
fn no_effect_comes_before_a_full_group() {
    let decision = decide(&goods(100), &[coupon(1, percent(10_000)), coupon(2, threshold(0, 5))]);
    assert_eq!(rejected(&decision), [(1, Refusal::NoEffect)]);
    let reject = TermsSpec { overshoot: Overshoot::Reject, ..threshold(0, 5) };
    let decision = decide(&goods(100), &[coupon(1, percent(10_000)), coupon(2, reject)]);
    assert_eq!(rejected(&decision), [(1, Refusal::Overshoot)]);
}

#[test]
fn a_budget_is_all_or_nothing() {
    let with = |left| why(CouponSpec { budget_left: Some(left), ..coupon_spec(1, instant(100)) });
    assert_eq!(with(100), None);
    assert_eq!(with(99), Some(Refusal::BudgetExhausted { left: 99 }));
}

#[test]
fn a_budget_is_asked_for_what_is_really_taken() {
    let spec = CouponSpec { budget_left: Some(1_000), ..coupon_spec(1, instant(5_000)) };
    assert_eq!(why(spec), None);
}

#[test]
fn coupons_of_one_template_share_its_budget() {
    let terms = || TermsSpec { stack_limit: 3, ..ungrouped(instant(40)) };
    let of_template = |id| submit(CouponSpec { template_id: 7, budget_left: Some(100), ..coupon_spec(id, terms()) });
    let decision = decide(&goods(1_000), &[of_template(1), of_template(2), of_template(3)]);
    assert_eq!(applied(&decision), [(0, 40), (1, 40)]);
    assert_eq!(rejected(&decision), [(2, Refusal::BudgetExhausted { left: 20 })]);
}

#[test]
fn the_second_entry_of_one_coupon_is_a_duplicate_whatever_its_state() {
    let used = || submit(CouponSpec { state: State::Used, ..coupon_spec(2, instant(1)) });
    let decision = decide(&goods(100), &[coupon(1, instant(1)), used(), coupon(1, instant(1)), used()]);
    assert_eq!(applied(&decision), [(0, 1)]);
    assert_eq!(rejected(&decision), [(2, Refusal::Duplicate), (1, Refusal::Used), (3, Refusal::Duplicate)]);
}
