"""Carts and campaigns for the tests of the replay."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from couponry.discount import CouponClass, Kind, Terms, Tier
from couponry.replay.campaign import Campaign, Template
from couponry.replay.pricing import Mode, Plan
from couponry.replay.running import Outcome, replay

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)


def cart(*prices: int, shop: str = "north", **fields: Any) -> dict[str, Any]:
    """A cart with a line of one unit for each price."""
    lines = [
        {"line_id": str(place), "sku_id": f"sku-{place}", "shop_id": shop, "quantity": 1, "unit_price": price}
        for place, price in enumerate(prices)
    ]
    return {"currency": "CNY", "lines": lines} | fields


def instant(amount: int, **fields: Any) -> Terms:
    return Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "CNY", amount_off=amount, **fields)


def threshold(min_spend: int, amount: int, **fields: Any) -> Terms:
    return Terms(Kind.THRESHOLD_OFF, CouponClass.PLATFORM, "CNY", min_spend=min_spend, amount_off=amount, **fields)


def percent(bp: int, **fields: Any) -> Terms:
    return Terms(Kind.PERCENT_OFF, CouponClass.PLATFORM, "CNY", percent_off_bp=bp, **fields)


def ladder(*tiers: tuple[int, int], **fields: Any) -> Terms:
    steps = tuple(Tier(*tier) for tier in tiers)
    return Terms(Kind.THRESHOLD_OFF, CouponClass.PLATFORM, "CNY", tiers=steps, **fields)


def campaign(**terms: Terms) -> Campaign:
    return Campaign(tuple(Template(key, some) for key, some in terms.items()))


def plan(draft: Campaign, **fields: Any) -> Plan:
    given = {"against": None, "now": NOW, "mode": Mode.APPLY} | fields
    return Plan(draft, **given)


def text(carts: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in carts).encode()


def run(of: Plan, carts: Iterable[dict[str, Any]], **options: Any) -> Outcome:
    """Replays in this process, unless `processes` says otherwise."""
    given: dict[str, Any] = {"name": "carts.jsonl", "processes": 1} | options
    return replay(of, BytesIO(text(carts)), **given)
