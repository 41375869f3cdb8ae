"""Decisions in words: each code has a text in each language, and the figures are those of the decision."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from couponry.discount import (
    LANGUAGES,
    Cart,
    Certificate,
    Coupon,
    CouponClass,
    Kind,
    Line,
    Optimality,
    Reason,
    Rejected,
    RunnerUp,
    Terms,
    Tier,
    amount_text,
    best,
    explain,
    explain_rejected,
    price,
)

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
CART = Cart("CNY", (Line("A", "sku", "shop", 1, 10_000),))
TERMS = Terms(Kind.THRESHOLD_OFF, CouponClass.PLATFORM, "CNY", amount_off=3_000)
CHOICE = [
    Coupon(1, 1, Terms(Kind.PERCENT_OFF, CouponClass.PLATFORM, "CNY", percent_off_bp=2_000)),
    Coupon(2, 2, replace(TERMS, amount_off=None, tiers=(Tier(10_000, 3_000), Tier(20_000, 7_000)))),
    Coupon(3, 3, replace(TERMS, min_spend=10_320)),
]


def test_the_best_is_explained_in_english() -> None:
    assert explain(best(CART, CHOICE, now=NOW)) == (
        "100.00 CNY before coupons, 30.00 CNY off, 70.00 CNY to pay.",
        "Coupon 2 takes 30.00 CNY off.",
        "Coupon 1 is left out: the best set with it takes 10.00 CNY less.",
        "Coupon 3 is left out: 3.20 CNY more of eligible goods are needed.",
        "With 100.00 CNY more of eligible goods, coupon 2 would take 70.00 CNY off.",
        "Add 3.20 CNY of eligible goods and coupon 3 could be used.",
        "No other set of these coupons takes more off.",
        "The next best set (coupons 1) takes 10.00 CNY less.",
    )


def test_the_best_is_explained_in_chinese() -> None:
    assert explain(best(CART, CHOICE, now=NOW), "zh") == (
        "原价 100.00 CNY, 优惠 30.00 CNY, 应付 70.00 CNY。",
        "券 2 减 30.00 CNY。",
        "券 1 未使用: 含此券的最优组合少减 10.00 CNY。",
        "券 3 未使用: 适用商品还差 3.20 CNY。",
        "再买 100.00 CNY 适用商品, 券 2 可减 70.00 CNY。",
        "再加 3.20 CNY 适用商品, 即可使用券 3。",
        "这些券没有优惠更多的组合。",
        "次优组合 (券 1) 少减 10.00 CNY。",
    )


def test_given_coupons_are_explained_without_a_certificate() -> None:
    assert explain(price(CART, CHOICE[:1], now=NOW)) == (
        "100.00 CNY before coupons, 20.00 CNY off, 80.00 CNY to pay.",
        "Coupon 1 takes 20.00 CNY off.",
    )


def test_a_bounded_search_claims_no_more_than_it_knows() -> None:
    found = best(CART, CHOICE, now=NOW)
    bounded = replace(
        found,
        certificate=Certificate(Optimality.BOUNDED, 250, (2,), RunnerUp((1,), 0), found.certificate.nodes_visited),
    )
    text = explain(bounded)
    assert "Coupon 1 is left out: as far as was searched, a set with it takes at least 10.00 CNY less." in text
    assert text[-2:] == (
        "The search ended early: no set of these coupons takes more than 2.50 CNY above this off.",
        "Another set (coupons 1) takes just as much.",
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_a_text(language: str) -> None:
    texts = {
        explain_rejected(
            Rejected(1, 1, reason, short_by=5, with_coupon_id=2, group="g", left=3), "CNY", language, name="ABC"
        )
        for reason in Reason
    }
    assert len(texts) == len(Reason)
    assert all("ABC" in text and "{" not in text and "None" not in text for text in texts)


def test_another_language_is_refused() -> None:
    with pytest.raises(ValueError, match="language"):
        explain(price(CART, [], now=NOW), "fr")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [(320, "CNY", "3.20 CNY"), (5, "USD", "0.05 USD"), (320, "JPY", "320 JPY"), (1_234, "KWD", "1.234 KWD")],
)
def test_an_amount_has_the_digits_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert amount_text(amount, currency) == text
