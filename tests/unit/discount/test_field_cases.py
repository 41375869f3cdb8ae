"""What shops really ran into: every `discount` case of tests/cases/from-the-field.yaml."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from couponry.discount import (
    Cart,
    Coupon,
    CouponClass,
    Decision,
    Hint,
    Kind,
    Line,
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

CASES = Path(__file__).parents[2] / "cases" / "from-the-field.yaml"
SHIPPING = "shipping"


def variants() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for case in yaml.safe_load(CASES.read_text())["cases"]:
        if case["type"] == "discount":
            several = case.get("variants")
            for number, variant in enumerate(several or [case], start=1):
                yield (f"{case['id']}-{number}" if several else case["id"]), variant


VARIANTS = dict(variants())


def line_of(entry: Mapping[str, Any]) -> Line:
    assert entry.keys() <= {"id", "sku", "qty", "unit", "categories", "not_discountable"}
    return Line(
        line_id=entry["id"],
        sku_id=str(entry["sku"]),
        shop_id="1",
        quantity=entry["qty"],
        unit_price=entry["unit"],
        category_ids=tuple(map(str, entry.get("categories", ()))),
        not_discountable=entry.get("not_discountable", False),
    )


def cart_of(given: Mapping[str, Any]) -> Cart:
    shipments = (Shipment(SHIPPING, "1", given["shipping"]),) if given["shipping"] else ()
    lines = tuple(map(line_of, given["lines"]))
    if given.get("totals_only"):
        return Cart(given["currency"], (), shipments, sum(line.quantity * line.unit_price for line in lines))
    return Cart(given["currency"], lines, shipments)


def scope_of(entry: Mapping[str, Any]) -> Scope:
    plural = {"sku": "skus", "spu": "spus", "category": "categories", "shop": "shops"}
    return Scope(
        **{
            f"{side}_{plural[subject]}": tuple(map(str, ids))
            for side, subjects in entry.items()
            for subject, ids in subjects.items()
        }
    )


def coupon_of(entry: Mapping[str, Any], currency: str, now: datetime) -> Coupon:
    kind = Kind[entry["kind"]]
    known = {"id", "kind", "template", "currency", "group", "scope", "tiers", "repeat", "min_spend", "amount_off"}
    assert entry.keys() <= known | {"percent_off_bp", "max_discount", "stack_limit"}
    repeat = entry.get("repeat")
    terms = Terms(
        kind=kind,
        coupon_class=CouponClass.SHIPPING if kind is Kind.FREE_SHIPPING else CouponClass.PLATFORM,
        currency=entry.get("currency", currency),
        min_spend=entry.get("min_spend", 0),
        amount_off=entry.get("amount_off"),
        percent_off_bp=entry.get("percent_off_bp"),
        max_discount=entry.get("max_discount") or None,
        tiers=tuple(Tier(*tier) for tier in entry.get("tiers", ())),
        repeat=None if repeat is None else Repeat(repeat["every"], repeat["off"]),
        scope=scope_of(entry.get("scope", {})),
        exclusive_group=entry.get("group"),
        stack_limit=entry.get("stack_limit", 1),
        overshoot=Overshoot.CLAMP,
    )
    day = timedelta(days=1)
    template_id = 1000 if "template" in entry else entry["id"]
    return Coupon(entry["id"], template_id, terms, now - day, now + day)


def decide(given: Mapping[str, Any]) -> Decision:
    now = datetime.fromisoformat(given["now"])
    coupons = [coupon_of(entry, given["currency"], now) for entry in given["coupons"]]
    decide_on = {"APPLY_GIVEN": price, "BEST": best}[given["mode"]]
    return decide_on(cart_of(given), coupons, Rules(minimum_payable=given.get("minimum_payable", 0)), now=now)


def hint_of(hint: Hint) -> dict[str, int]:
    if hint.next_tier is not None:
        return {
            "coupon": hint.coupon_id,
            "next_tier": hint.next_tier.amount_off,
            "short_by": hint.next_tier.short_by,
        }
    assert hint.unused is not None
    return {"coupon": hint.coupon_id, "unused": hint.unused}


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_the_decision_is_the_expected_one(name: str) -> None:
    given, expected = VARIANTS[name]["input"], VARIANTS[name]["expected"]
    decision = decide(given)
    # A total without lines has no line ids.
    ids = [line["id"] for line in given["lines"]]
    named = dict(zip((line.line_id for line in decision.lines), ids, strict=True))

    applied = []
    for coupon in decision.applied:
        entry: dict[str, Any] = {"coupon": coupon.coupon_id, "discount": coupon.discount}
        if coupon.lines:
            entry["lines"] = {named[line.line_id]: line.discount for line in coupon.lines}
        if coupon.shipments:
            entry[SHIPPING] = sum(shipment.discount for shipment in coupon.shipments)
        applied.append(entry)
    assert applied == expected["applied"]

    assert [
        (rejected.coupon_id, rejected.reason, rejected.short_by, rejected.less_by) for rejected in decision.rejected
    ] == [
        # Of several acceptable reasons the first is the preferred one.
        (
            entry["coupon"],
            entry["reason"] if isinstance(entry["reason"], str) else entry["reason"][0],
            entry.get("short_by"),
            entry.get("less_by"),
        )
        for entry in expected.get("rejected", [])
    ]
    assert {
        named[line.line_id]: {
            "list": line.list,
            "discount": line.discount,
            "net": line.net,
            "units": [list(run) for run in line.units],
        }
        for line in decision.lines
    } == expected["lines"]
    if SHIPPING in expected:
        (shipment,) = decision.shipments
        assert {"list": shipment.list, "discount": shipment.discount, "net": shipment.net} == expected[SHIPPING]
    assert (decision.discount, decision.payable) == (expected["discount"], expected["payable"])
    assert [hint_of(hint) for hint in decision.hints] == expected.get("hints", [])


def test_every_case_of_the_calculator_is_looked_at() -> None:
    assert len(VARIANTS) == 22
