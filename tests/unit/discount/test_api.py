"""The library as its users meet it: names, errors by field, and the promises that no other test makes."""

import copy
import importlib
import pickle
import pkgutil
import re
import runpy
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from couponry import discount
from couponry.discount import (
    ORDER_TOTAL_LINE_ID,
    Cart,
    Coupon,
    CouponClass,
    CouponState,
    Decision,
    InvalidCart,
    InvalidCoupons,
    InvalidInput,
    InvalidTerms,
    Kind,
    Line,
    Overshoot,
    Reason,
    Repeat,
    Rules,
    Scope,
    Shipment,
    Terms,
    Tier,
    UnitRun,
    Violation,
    best,
    best_many,
    price,
    validate_terms,
)
from couponry.v1 import coupon_pb2, reason_pb2, template_pb2

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
LINE = Line("A", "sku", "shop", 1, 1000)
CART = Cart("CNY", (LINE,))
TEN_OFF = Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "CNY", amount_off=10)


def violations(error: type[InvalidInput], call: Callable[[], object]) -> list[tuple[str, str]]:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    return [(violation.field, violation.text) for violation in caught.value.violations]


def of_cart(cart: Cart) -> list[tuple[str, str]]:
    return violations(InvalidCart, lambda: price(cart, [], now=NOW))


def of_coupons(coupons: list[Coupon], rules: Rules = Rules(), now: datetime = NOW) -> list[tuple[str, str]]:
    return violations(InvalidCoupons, lambda: price(CART, coupons, rules, now=now))


def of_terms(terms: Terms) -> list[tuple[str, str]]:
    return violations(InvalidTerms, lambda: validate_terms(terms))


def test_all_lists_every_public_name_of_its_modules() -> None:
    public = {"ORDER_TOTAL_LINE_ID"}
    for module in pkgutil.iter_modules(discount.__path__):
        if module.name not in {"answers", "rows"}:
            public |= set(importlib.import_module(f"couponry.discount.{module.name}").__all__)
    assert set(discount.__all__) == public
    assert all(hasattr(discount, name) for name in public)


@pytest.mark.parametrize(
    ("enum", "of_the_wire", "prefix"),
    [
        (Kind, template_pb2.Kind, "KIND_"),
        (CouponClass, template_pb2.CouponClass, "COUPON_CLASS_"),
        (Overshoot, template_pb2.Overshoot, "OVERSHOOT_"),
        (CouponState, coupon_pb2.CouponState, "COUPON_STATE_"),
        (Reason, reason_pb2.Reason, "REASON_"),
    ],
)
def test_every_member_has_the_name_of_the_wire(enum: Any, of_the_wire: Any, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name in of_the_wire.keys()}  # noqa: SIM118
    assert {member.name for member in enum} <= names
    assert all(member.name == member.value for member in enum)


def test_values_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        LINE.quantity = 2  # type: ignore[misc]


def test_a_decision_names_lines_units_and_shipments_by_the_callers_ids() -> None:
    cart = Cart("CNY", (replace(LINE, quantity=3), Line("B", "sku", "shop", 1, 0)), (Shipment("S", "shop", 500),))
    free = Terms(Kind.FREE_SHIPPING, CouponClass.SHIPPING, "CNY")
    decision = price(cart, [Coupon(1, 11, TEN_OFF, state=CouponState.PENDING), Coupon(2, 12, free)], now=NOW)
    goods, shipping = decision.applied
    assert (goods.coupon_id, goods.template_id, goods.pending, shipping.pending) == (1, 11, True, False)
    assert [(line.line_id, line.units) for line in goods.lines] == [("A", (UnitRun(0, 1, 4), UnitRun(1, 2, 3)))]
    assert [(shipment.shipment_id, shipment.discount) for shipment in shipping.shipments] == [("S", 500)]
    assert [line.line_id for line in decision.lines] == ["A", "B"]
    assert [shipment.shipment_id for shipment in decision.shipments] == ["S"]
    assert (decision.original, decision.discount, decision.payable, decision.currency) == (3500, 510, 2990, "CNY")


def test_a_total_is_one_line_with_a_name_of_its_own() -> None:
    decision = price(Cart("CNY", order_total=100), [Coupon(1, 1, TEN_OFF)], now=NOW)
    assert [line.line_id for line in decision.lines] == [ORDER_TOTAL_LINE_ID]
    assert decision.applied[0].lines[0].line_id == ORDER_TOTAL_LINE_ID


def test_without_coupons_the_original_is_payable() -> None:
    assert price(CART, (), now=NOW).payable == 1000


def test_each_detail_stands_in_its_own_field() -> None:
    percent = Terms(Kind.PERCENT_OFF, CouponClass.ITEM, "CNY", percent_off_bp=1000, exclusive=True)
    poor = replace(TEN_OFF, kind=Kind.THRESHOLD_OFF, min_spend=1001)
    few = replace(poor, min_spend=0, min_quantity=3)
    joint = replace(TEN_OFF, joint=True)
    decision = price(
        CART,
        [
            Coupon(1, 1, percent),
            Coupon(2, 2, poor),
            Coupon(3, 3, few),
            Coupon(4, 4, TEN_OFF),
            Coupon(5, 5, replace(joint, priority=2)),
            Coupon(6, 6, replace(joint, priority=1)),
            Coupon(7, 7, joint),
            Coupon(8, 8, TEN_OFF, budget_left=9),
        ],
        now=NOW,
    )
    details = {
        entry.coupon_id: (entry.reason, entry.short_by, entry.with_coupon_id, entry.group, entry.left)
        for entry in decision.rejected
    }
    assert details == {
        2: (Reason.MIN_SPEND_NOT_MET, 1, None, None, None),
        3: (Reason.MIN_QUANTITY_NOT_MET, 2, None, None, None),
        4: (Reason.EXCLUSIVE, None, 1, None, None),
        7: (Reason.GROUP_LIMIT, None, None, "@instant_off", None),
        8: (Reason.BUDGET_EXHAUSTED, None, None, None, 9),
    }


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ((NOW, None), None),
        ((NOW + timedelta(milliseconds=1), None), Reason.NOT_STARTED),
        ((None, NOW), Reason.EXPIRED),
        ((None, NOW + timedelta(milliseconds=1)), None),
        ((NOW.astimezone(timezone(timedelta(hours=8))), None), None),
    ],
)
def test_a_window_is_closed_at_its_start_and_open_at_its_end_in_any_zone(
    window: tuple[datetime | None, datetime | None], reason: Reason | None
) -> None:
    decision = price(CART, [Coupon(1, 1, TEN_OFF, *window)], now=NOW)
    assert [entry.reason for entry in decision.rejected] == ([] if reason is None else [reason])


def test_times_without_a_zone_are_named_with_everything_else() -> None:
    naive = NOW.replace(tzinfo=None)
    assert of_coupons([Coupon(0, 1, TEN_OFF, naive, naive)], now=naive) == [
        ("coupons[0].coupon_id", "must be 1 to 9007199254740991, is 0"),
        ("now", "must be an aware time"),
        ("coupons[0].valid_from", "must be an aware time"),
        ("coupons[0].valid_until", "must be an aware time"),
    ]


def test_an_error_is_a_value_error_that_tells_all_violations() -> None:
    with pytest.raises(
        ValueError, match=r"lines\[0\].quantity: must be 1 to 1000000, is 0; lines\[0\].unit_price: .*-1"
    ):
        price(Cart("CNY", (replace(LINE, quantity=0, unit_price=-1),)), [], now=NOW)


@pytest.mark.parametrize("price_of_one", [9.99, 999.0, "999", None, [1], True, False])
def test_a_price_is_a_whole_number_and_never_a_float(price_of_one: object) -> None:
    cart = Cart("CNY", (replace(LINE, unit_price=cast("int", price_of_one)),))
    assert of_cart(cart) == [("lines[0].unit_price", "must be a whole number")]


@pytest.mark.parametrize("wrong", [1.0, True])
def test_every_number_refuses_what_only_looks_like_one(wrong: object) -> None:
    def of(field: str, value: object) -> object:
        return replace(cast("Any", value), **{field: wrong})

    text = "must be a whole number"
    assert of_cart(Cart("CNY", (), (), cast("int", wrong))) == [("order_total", text)]
    for field in (
        "amount_off",
        "min_spend",
        "min_quantity",
        "max_discount",
        "percent_off_bp",
        "priority",
        "stack_limit",
    ):
        terms = cast("Terms", of(field, TEN_OFF))
        assert (field, text) in violations(InvalidTerms, partial(validate_terms, terms))
    coupon = Coupon(1, 1, TEN_OFF)
    for field in ("coupon_id", "template_id", "budget_left"):
        given = cast("Coupon", of(field, coupon))
        call = partial(price, CART, [given], now=NOW)
        assert violations(InvalidCoupons, call) == [(f"coupons[0].{field}", text)]
    for field in ("minimum_payable", "count_limit", "submitted_limit"):
        shop_rules = cast("Rules", of(field, Rules()))
        call = partial(price, CART, [], shop_rules, now=NOW)
        assert violations(InvalidCoupons, call) == [(f"rules.{field}", text)]


def test_a_number_beyond_64_bits_is_a_violation() -> None:
    assert of_cart(Cart("CNY", (replace(LINE, unit_price=2**63),))) == [("lines[0].unit_price", "must fit in 64 bits")]
    assert of_cart(Cart("CNY", (replace(LINE, unit_price=2**63 - 1, quantity=2),))) == [
        ("lines[0].unit_price", "takes the sum of the cart beyond 64 bits")
    ]
    assert price(Cart("CNY", order_total=2**63 - 1), [], now=NOW).payable == 2**63 - 1


def test_ids_are_any_text_of_1_to_64_bytes() -> None:
    for fine in ("🎟️'\";--", "x" * 64, "\x00", "é" * 32):
        decision = price(Cart("CNY", (replace(LINE, line_id=fine),)), [], now=NOW)
        assert decision.lines[0].line_id == fine
    for bad, text in [
        ("", "must be 1 to 64 bytes, is 0"),
        ("é" * 33, "must be 1 to 64 bytes, is 66"),
        ("\ud800", "must be Unicode text"),
        (7, "must be Unicode text"),
        (None, "must be Unicode text"),
    ]:
        assert of_cart(Cart("CNY", (replace(LINE, sku_id=cast("str", bad)),))) == [("lines[0].sku_id", text)]


def test_a_text_is_not_a_list_of_ids() -> None:
    scope = Scope(include_skus=cast("tuple[str, ...]", "sku"), exclude_shops=("ok", cast("str", 1)))
    assert of_terms(replace(TEN_OFF, scope=scope)) == [
        ("scope.include_skus", "must be a tuple"),
        ("scope.exclude_shops[1]", "must be Unicode text"),
    ]


def test_the_edges_of_a_cart() -> None:
    lines = tuple(replace(LINE, line_id=str(place)) for place in range(501))
    assert price(Cart("CNY", lines[:500]), [], now=NOW).original == 500_000
    assert of_cart(Cart("CNY", lines)) == [("lines", "must have at most 500 entries, has 501")]
    assert of_cart(Cart("CNY")) == [("lines", "must have at least one entry, or order_total must be given")]
    assert of_cart(Cart("CNY", (LINE,), order_total=1)) == [("order_total", "must not be given beside lines")]
    assert of_cart(Cart("CNY", (LINE, LINE))) == [("lines[1].line_id", "must not be the id of an earlier line")]
    assert of_cart(Cart("¥", (LINE,))) == [("currency", "must be an ISO 4217 code of three capital letters")]


def test_the_cart_is_looked_at_before_the_coupons() -> None:
    bad_coupon = Coupon(0, 0, replace(TEN_OFF, amount_off=0))
    assert violations(InvalidCart, lambda: price(Cart("CNY"), [bad_coupon], now=NOW))
    assert of_coupons([Coupon(1, 1, TEN_OFF), bad_coupon], Rules(minimum_payable=-1, count_limit=0)) == [
        ("rules.minimum_payable", "must be at least 0, is -1"),
        ("rules.count_limit", "must be 1 to 30, is 0"),
        ("coupons[1].coupon_id", "must be 1 to 9007199254740991, is 0"),
        ("coupons[1].template_id", "must be 1 to 9007199254740991, is 0"),
        ("coupons[1].terms.amount_off", "must be at least 1, is 0"),
    ]


def test_at_most_thirty_coupons_are_submitted() -> None:
    coupons = [Coupon(number, number, TEN_OFF) for number in range(1, 32)]
    decision = price(CART, coupons[:30], now=NOW)
    assert len(decision.applied) + len(decision.rejected) == 30
    assert of_coupons(coupons) == [("coupons", "must have at most 30 entries, has 31")]
    assert of_coupons(coupons[:3], Rules(submitted_limit=2)) == [("coupons", "must have at most 2 entries, has 3")]


def test_terms_are_checked_field_by_field() -> None:
    bad = Terms(
        kind=Kind.THRESHOLD_OFF,
        coupon_class=CouponClass.SHOP,
        currency="cny",
        min_spend=-1,
        percent_off_bp=10_001,
        tiers=(Tier(-1, 0), Tier(0, 2**63)),
        repeat=Repeat(1, 1),
        priority=2**31,
        exclusive_group="@count",
        stack_limit=0,
    )
    # What cannot be read is told first: the rest is compared only when every field has its type.
    assert of_terms(bad) == [("tiers[1].amount_off", "must fit in 64 bits")]
    assert of_terms(replace(bad, tiers=(Tier(-1, 0),))) == [
        ("shop_id", "is required for class SHOP"),
        ("currency", "must be an ISO 4217 code of three capital letters"),
        ("min_spend", "must be at least 0, is -1"),
        ("percent_off_bp", "is not a field of THRESHOLD_OFF"),
        ("tiers[0].min_spend", "must be at least 0, is -1"),
        ("tiers[0].amount_off", "must be at least 1, is 0"),
        ("amount_off", "THRESHOLD_OFF takes exactly one of amount_off, tiers and repeat"),
        ("priority", "must be -2147483648 to 2147483647, is 2147483648"),
        ("exclusive_group", 'must not begin with "@": those names are reserved'),
        ("stack_limit", "must be 1 to 30, is 0"),
    ]


def test_a_member_of_another_enum_is_refused() -> None:
    wrong = replace(
        TEN_OFF,
        kind=cast("Kind", CouponClass.ITEM),
        overshoot=cast("Overshoot", None),
        exclusive=cast("bool", 1),
    )
    assert of_terms(wrong) == [
        ("kind", "must be a member of its enum"),
        ("overshoot", "must be a member of its enum"),
        ("exclusive", "must be True or False"),
    ]
    assert of_coupons([Coupon(1, 1, TEN_OFF, state=cast("CouponState", Kind.PERCENT_OFF))]) == [
        ("coupons[0].state", "must be a member of its enum")
    ]


def test_a_violation_is_a_pair() -> None:
    with pytest.raises(InvalidTerms) as caught:
        validate_terms(replace(TEN_OFF, amount_off=0))
    assert caught.value.violations == (Violation("amount_off", "must be at least 1, is 0"),)


def test_valid_terms_pass() -> None:
    validate_terms(TEN_OFF)
    validate_terms(replace(TEN_OFF, coupon_class=CouponClass.SHOP, shop_id="shop", priority=-(2**31)))


def test_a_million_units_a_line_are_priced_as_runs() -> None:
    lines = tuple(Line(str(place), "sku", "shop", 1_000_000, 1001 + place) for place in range(500))
    decision: Decision = price(Cart("CNY", lines), [Coupon(1, 1, TEN_OFF)], now=NOW)
    assert decision.discount == 10
    assert sum(sum(count for count, _ in line.units) for line in decision.lines) == 500_000_000
    assert all(len(line.units) <= 2 for line in decision.lines)


def test_the_examples_of_the_documentation_run(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "discounts.md").read_text(encoding="utf-8")
    discounts = []
    for number, example in enumerate(re.findall(r"```python\n(.*?)```", text, re.DOTALL)):
        script = tmp_path / f"example_{number}.py"
        script.write_text(example, encoding="utf-8")
        discounts.append(runpy.run_path(str(script))["decision"].discount)
    assert discounts == [5_000, 3_000]


def test_a_value_that_can_change_is_read_again() -> None:
    lines = [LINE]
    cart = Cart("CNY", cast("tuple[Line, ...]", lines))
    assert price(cart, [], now=NOW).original == 1000
    lines.append(replace(LINE, line_id="B"))
    assert price(cart, [], now=NOW).original == 2000
    categories = ["books"]
    books = Cart("CNY", (replace(LINE, category_ids=cast("tuple[str, ...]", categories)),))
    for_books = Coupon(1, 1, replace(TEN_OFF, scope=Scope(include_categories=("books",))))
    assert price(books, [for_books], now=NOW).discount == 10
    categories.clear()
    assert price(books, [for_books], now=NOW).discount == 0


def test_values_and_decisions_are_copied_and_pickled_without_what_they_keep() -> None:
    coupon = Coupon(1, 1, TEN_OFF)
    decision = price(CART, [coupon], now=NOW)
    for value in (CART, coupon, TEN_OFF, decision, best(CART, [coupon], now=NOW)):
        assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value  # noqa: S301
    assert replace(coupon, terms=replace(TEN_OFF, amount_off=20)) != coupon
    assert price(CART, [replace(coupon, terms=replace(TEN_OFF, amount_off=20))], now=NOW).discount == 20


def test_a_decision_has_no_other_attributes_than_its_fields() -> None:
    decision = price(CART, [], now=NOW)
    with pytest.raises(AttributeError, match="certificate"):
        _ = decision.certificate  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError):
        decision.payable = 1  # type: ignore[misc]


def test_many_carts_are_answered_in_their_order_on_any_number_of_threads() -> None:
    calls = [(Cart("CNY", order_total=total), [Coupon(1, 1, TEN_OFF)]) for total in range(1, 200)]
    one_by_one = [best(cart, coupons, now=NOW) for cart, coupons in calls]
    for threads in (None, 1, 2, 7):
        assert best_many(calls, now=NOW, threads=threads) == one_by_one
    assert best_many([], now=NOW) == []


def test_the_wrong_one_of_many_is_named() -> None:
    good = (CART, [Coupon(1, 1, TEN_OFF)])
    bad_cart: tuple[Cart, list[Coupon]] = (Cart("CNY", (replace(LINE, quantity=0),)), [])
    found = violations(InvalidCart, lambda: best_many([good, bad_cart], now=NOW))
    assert [field for field, _ in found] == ["calls[1].cart.lines[0].quantity"]
    found = violations(InvalidCoupons, lambda: best_many([good, (CART, [Coupon(0, 1, TEN_OFF)])], now=NOW))
    assert [field for field, _ in found] == ["calls[1].coupons[0].coupon_id"]
    assert violations(InvalidCoupons, lambda: best_many([good], now=NOW.replace(tzinfo=None))) == [
        ("now", "must be an aware time")
    ]
    with pytest.raises(ValueError, match="threads"):
        best_many([good], now=NOW, threads=0)
