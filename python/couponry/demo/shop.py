"""What the demo's shop has: its templates, its activity, its users and their carts: made from a seed."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from couponry.clock import to_timestamp
from couponry.v1 import cart_pb2, flash_sale_pb2, template_pb2

__all__ = ["CLAIMS", "LOOKS", "STOCK", "USERS", "Claim", "activity_spec", "cart_of", "claims", "template_specs"]

USERS: Final = 20_000
LOOKS: Final = 6_000
CLAIMS: Final = 30_000
STOCK: Final = 1_000
_SEED: Final = 20_260_615
_CURRENCY: Final = "CNY"


@dataclass(frozen=True, slots=True)
class Claim:
    """One call of Participate."""

    user_id: str
    request_id: str


def template_specs(now: datetime) -> list[template_pb2.TemplateSpec]:
    """满300减50, 8折 with a cap, free shipping."""
    off_50 = template_pb2.Terms(
        kind=template_pb2.KIND_THRESHOLD_OFF,
        coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
        currency=_CURRENCY,
        min_spend=300_00,
        amount_off=50_00,
    )
    fifth_off = template_pb2.Terms(
        kind=template_pb2.KIND_PERCENT_OFF,
        coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
        currency=_CURRENCY,
        percent_off_bp=2000,
        max_discount=80_00,
        # Not in the default group: it may stand beside 满300减50.
        exclusive_group="",
    )
    shipping = template_pb2.Terms(
        kind=template_pb2.KIND_FREE_SHIPPING,
        coupon_class=template_pb2.COUPON_CLASS_SHIPPING,
        currency=_CURRENCY,
    )
    named = (("满300减50", off_50), ("8折, at most 80", fifth_off), ("free shipping 包邮", shipping))
    return [
        template_pb2.TemplateSpec(
            name=name,
            terms=terms,
            total=5_000,
            per_user_limit=1,
            valid_from=to_timestamp(now - timedelta(hours=1)),
            valid_until=to_timestamp(now + timedelta(days=30)),
            returns_on_full_refund=True,
        )
        for name, terms in named
    ]


def activity_spec(template_id: int, now: datetime) -> flash_sale_pb2.ActivitySpec:
    """1,000 coupons of a template, one a user."""
    return flash_sale_pb2.ActivitySpec(
        name="demo: 1,000 x 满300减50",
        template_id=template_id,
        stock=STOCK,
        per_user_limit=1,
        start_at=to_timestamp(now - timedelta(seconds=1)),
        end_at=to_timestamp(now + timedelta(hours=1)),
        ack=flash_sale_pb2.ACK_REDIS,
    )


def claims() -> list[Claim]:
    """One claim of each user, and 10,000 repeats of the same requests, shuffled."""
    chance = random.Random(_SEED)  # noqa: S311 - a story that is the same each run
    first = [Claim(f"user-{number:05}", f"claim-{number:05}") for number in range(USERS)]
    everything = first + chance.choices(first, k=CLAIMS - USERS)
    chance.shuffle(everything)
    return everything


def cart_of(user_id: str) -> cart_pb2.Cart:
    """Goods from two or three shops, well above 300."""
    chance = random.Random(f"{_SEED}/{user_id}")  # noqa: S311 - as above
    cart = cart_pb2.Cart(currency=_CURRENCY)
    for shop in range(chance.randint(2, 3)):
        for item in range(chance.randint(1, 3)):
            cart.lines.add(
                line_id=f"line-{shop}-{item}",
                sku_id=f"sku-{chance.randint(1, 500)}",
                shop_id=f"shop-{shop}",
                quantity=chance.randint(1, 3),
                unit_price=chance.randint(89_00, 299_99),
            )
        cart.shipments.add(
            shipment_id=f"parcel-{shop}", shop_id=f"shop-{shop}", amount=chance.choice([8_00, 10_00, 12_00])
        )
    # So that the threshold is met whatever the dice said.
    cart.lines.add(line_id="line-x", sku_id="sku-x", shop_id="shop-0", quantity=2, unit_price=159_99)
    return cart
