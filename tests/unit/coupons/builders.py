"""Requests' parts with good values, of which a test changes what it is about."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from couponry.clock import to_timestamp
from couponry.v1 import cart_pb2, coupon_pb2, discount_pb2, template_pb2

NOW: Final = datetime(2026, 6, 15, 8, tzinfo=UTC)


def spec(**changes: Any) -> template_pb2.TemplateSpec:
    """20% off, usable from now for 30 days, 1,000 coupons; `terms` replaces or extends the terms."""
    terms: dict[str, Any] = {
        "kind": template_pb2.KIND_PERCENT_OFF,
        "coupon_class": template_pb2.COUPON_CLASS_PLATFORM,
        "currency": "CNY",
        "percent_off_bp": 2000,
    }
    given = changes.pop("terms", {})
    if isinstance(given, dict):
        given = template_pb2.Terms(**(terms | given))
    fields: dict[str, Any] = {
        "name": "20% off",
        "total": 1000,
        "valid_from": to_timestamp(NOW),
        "valid_until": to_timestamp(NOW + timedelta(days=30)),
    }
    return template_pb2.TemplateSpec(terms=given, **(fields | changes))


def instant_off(amount_off: int, **changes: Any) -> template_pb2.Terms:
    """Terms that take an amount off, without threshold and in no group."""
    fields: dict[str, Any] = {
        "coupon_class": template_pb2.COUPON_CLASS_PLATFORM,
        "currency": "CNY",
        "exclusive_group": "",
    }
    return template_pb2.Terms(kind=template_pb2.KIND_INSTANT_OFF, amount_off=amount_off, **(fields | changes))


def cart(unit_price: int = 10_000, **changes: Any) -> cart_pb2.Cart:
    """One line."""
    line = cart_pb2.CartLine(line_id="A", sku_id="101", shop_id="s", quantity=1, unit_price=unit_price)
    return cart_pb2.Cart(**({"currency": "CNY", "lines": [line]} | changes))


def by_id(coupon: coupon_pb2.Coupon) -> discount_pb2.CouponRef:
    return discount_pb2.CouponRef(coupon_id=coupon.coupon_id)


def by_code(code: str) -> discount_pb2.CouponRef:
    return discount_pb2.CouponRef(code=code)
