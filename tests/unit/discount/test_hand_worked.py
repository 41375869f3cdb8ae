"""The tables of tests/cases: one rule, or one trap, a case, worked by hand."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from couponry.discount import (
    Cart,
    Coupon,
    CouponClass,
    FixedPrice,
    Kind,
    Line,
    NthItem,
    Overshoot,
    Repeat,
    Rules,
    Scope,
    Shipment,
    Terms,
    Tier,
    best,
    price,
)

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
CASES = Path(__file__).parents[2] / "cases"
TABLE = {
    case["rule"]: case
    for name in ("rules", "traps")
    for case in tomllib.loads((CASES / f"{name}.toml").read_text())["case"]
}
KNOWN = {"rule", "why", "best", "lines", "shipping", "minimum_payable", "coupons"}
EXPECTED = {"applied", "rejected", "less_by", "units", "payable"}


def pairs(text: str) -> list[tuple[int, int]]:
    """`2 x 0, 1 x 500` as (count, amount)."""
    found = []
    for part in text.split(","):
        count, amount = part.split("x")
        found.append((int(count), int(amount)))
    return found


def terms(entry: dict[str, Any]) -> Terms:
    figures = dict(entry)
    kind = Kind[figures.pop("kind")]
    normal = CouponClass.SHIPPING if kind is Kind.FREE_SHIPPING else CouponClass.PLATFORM
    parts: dict[str, Any] = {
        name: make(figures.pop(name))
        for name, make in {
            "tiers": lambda tiers: tuple(Tier(*tier) for tier in tiers),
            "repeat": lambda figure: Repeat(*figure),
            "nth_item": lambda figure: NthItem(*figure),
            "fixed_price": lambda figure: FixedPrice(*figure),
            "overshoot": Overshoot,
        }.items()
        if name in figures
    }
    scope = Scope(include_skus=tuple(figures.pop("include_skus", ())))
    coupon_class = CouponClass[figures.pop("coupon_class", normal.name)]
    return Terms(kind, coupon_class, "CNY", scope=scope, **parts, **figures)


@pytest.mark.parametrize("rule", TABLE)
def test_the_case_comes_out_as_worked_by_hand(rule: str) -> None:
    case = TABLE[rule]
    assert case.keys() <= KNOWN | EXPECTED
    lines = []
    for name, text in case["lines"].items():
        [(quantity, unit_price)] = pairs(text)
        lines.append(Line(name, name, "shop", quantity, unit_price))
    shipments = (Shipment("parcel", "shop", case["shipping"]),) if "shipping" in case else ()
    coupons = [Coupon(int(number), int(number), terms(entry)) for number, entry in case["coupons"].items()]
    rules = Rules(minimum_payable=case.get("minimum_payable", 0))
    decide = best if case.get("best") else price
    decision = decide(Cart("CNY", tuple(lines), shipments), coupons, rules, now=NOW)
    assert {str(entry.coupon_id): entry.discount for entry in decision.applied} == case["applied"]
    assert {str(entry.coupon_id): entry.reason.name for entry in decision.rejected} == case.get("rejected", {})
    told = {str(entry.coupon_id): entry.less_by for entry in decision.rejected if entry.less_by is not None}
    assert told == case.get("less_by", {})
    units = {line.line_id: list(line.units) for line in decision.lines}
    assert {name: units[name] for name in case.get("units", {})} == {
        name: pairs(text) for name, text in case.get("units", {}).items()
    }
    assert decision.payable == case["payable"]
