"""An order desk for the tests: the use cases of orders over real stores, and short ways to call them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from couponry.clock import to_timestamp
from couponry.coupons.calculating import Calculator
from couponry.coupons.receiving import Receiving
from couponry.coupons.templates import Templates
from couponry.coupons.user_coupons import UserCoupons
from couponry.jobs.expirer import Expirer
from couponry.orders.service import Orders
from couponry.store.mysql import MySQL, Row
from couponry.v1 import cart_pb2, coupon_pb2, discount_pb2, order_pb2, template_pb2
from tests.integration.flash_sale.parts import FlashSale

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)


class MovableClock:
    """Stands still until a test moves it; the database's sessions follow it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Time goes on."""
        self.now += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Desk:
    """One instance."""

    mysql: MySQL
    clock: MovableClock
    templates: Templates
    receiving: Receiving
    user_coupons: UserCoupons
    calculator: Calculator
    flash_sale: FlashSale
    orders: Orders
    expirer: Expirer

    async def template(self, terms: template_pb2.Terms | None = None, **changes: Any) -> template_pb2.Template:
        """Creates a template; by default 1000 off."""
        fields: dict[str, Any] = {
            "name": "t",
            "total": 1_000_000,
            "valid_from": to_timestamp(NOW - timedelta(days=1)),
            "valid_until": to_timestamp(NOW + timedelta(days=30)),
            "terms": terms or instant_off(1000),
        }
        request = template_pb2.CreateTemplateRequest(spec=template_pb2.TemplateSpec(**(fields | changes)))
        return (await self.templates.create(request, "admin")).template

    async def receive(self, template: template_pb2.Template, user: str = "u") -> int:
        """A coupon of the template; its id."""
        request = coupon_pb2.ReceiveCouponRequest(user_id=user, template_id=template.template_id)
        return (await self.receiving.receive(request)).coupon.coupon_id

    async def coupon(self, *, user: str = "u", terms: template_pb2.Terms | None = None, **changes: Any) -> int:
        """A coupon of a template of its own; its id."""
        return await self.receive(await self.template(terms, **changes), user)

    async def lock(
        self, order: str = "O", *coupon_ids: int, user: str = "u", cart: cart_pb2.Cart | None = None, **fields: Any
    ) -> order_pb2.OrderCoupons:
        """LockCoupons."""
        ttl_s = fields.pop("ttl_s", 60)
        request = order_pb2.LockCouponsRequest(
            order_id=order,
            user_id=user,
            cart=cart or goods((10_000, 1)),
            coupons=[by_id(coupon_id) for coupon_id in coupon_ids],
            ttl=Duration(seconds=ttl_s),
            **fields,
        )
        return (await self.orders.lock(request)).order

    async def extend(
        self, order: str = "O", *, user: str = "u", ttl_s: int = 60, **fields: Any
    ) -> order_pb2.OrderCoupons:
        """ExtendLock."""
        request = order_pb2.ExtendLockRequest(order_id=order, user_id=user, ttl=Duration(seconds=ttl_s), **fields)
        return (await self.orders.extend(request)).order

    async def use(
        self, order: str = "O", *coupon_ids: int, user: str = "u", cart: cart_pb2.Cart | None = None, **fields: Any
    ) -> order_pb2.OrderCoupons:
        """UseCoupons; with coupons also a cart, by default the one of `lock`."""
        if coupon_ids and cart is None:
            cart = goods((10_000, 1))
        request = order_pb2.UseCouponsRequest(
            order_id=order, user_id=user, cart=cart, coupons=[by_id(coupon_id) for coupon_id in coupon_ids], **fields
        )
        return (await self.orders.use(request)).order

    async def release(self, order: str = "O", *, user: str = "u", **fields: Any) -> order_pb2.OrderCoupons:
        """ReleaseCoupons."""
        request = order_pb2.ReleaseCouponsRequest(order_id=order, user_id=user, **fields)
        return (await self.orders.release(request)).order

    async def give_back(
        self,
        return_id: str,
        lines: Mapping[str, int | None] | None = None,
        *,
        order: str = "O",
        user: str = "u",
        shipments: Sequence[str] = (),
        attempt: int = 0,
    ) -> order_pb2.ReturnCouponsResponse:
        """ReturnCoupons; without lines and shipments everything that is left."""
        request = order_pb2.ReturnCouponsRequest(
            order_id=order,
            user_id=user,
            attempt=attempt,
            return_id=return_id,
            lines=[order_pb2.ReturnLine(line_id=line, units=units) for line, units in (lines or {}).items()],
            shipment_ids=shipments,
        )
        return await self.orders.return_(request)

    async def get(self, order: str = "O", *, user: str = "u", **fields: Any) -> order_pb2.GetOrderCouponsResponse:
        """GetOrderCoupons."""
        return await self.orders.get(order_pb2.GetOrderCouponsRequest(order_id=order, user_id=user, **fields))

    async def state(self, order: str = "O", *, user: str = "u", **fields: Any) -> str:
        """The order's state by name."""
        found = await self.get(order, user=user, **fields)
        return order_pb2.OrderState.Name(found.order.state).removeprefix("ORDER_STATE_")

    async def row(self, coupon_id: int) -> Row:
        """A coupon's row."""
        row = await self.mysql.fetch_one("SELECT * FROM user_coupons WHERE id = %s", (coupon_id,))
        assert row is not None
        return row

    async def status(self, coupon_id: int) -> str:
        """A coupon's status as it was written last."""
        row = await self.row(coupon_id)
        return coupon_pb2.CouponState.Name(row["status"]).removeprefix("COUPON_STATE_")

    async def budget(self, template: template_pb2.Template) -> tuple[int, int]:
        """(reserved, spent) of a template's budget."""
        row = await self.mysql.fetch_one(
            "SELECT budget_reserved, budget_spent FROM template_counters WHERE template_id = %s",
            (template.template_id,),
        )
        assert row is not None
        return row["budget_reserved"], row["budget_spent"]

    async def ledger_sum(self, order: str = "O", *, user: str = "u", **fields: Any) -> int:
        """What the order's ledger adds up to."""
        found = await self.get(order, user=user, **fields)
        return sum(entry.unit_count * entry.amount_each for entry in found.ledger)

    async def calculate(self, *coupon_ids: int, user: str = "u") -> discount_pb2.Decision:
        """CalculateDiscount on one line of 10000."""
        request = discount_pb2.CalculateDiscountRequest(
            user_id=user,
            cart=goods((10_000, 1)),
            mode=discount_pb2.CALCULATE_MODE_APPLY_GIVEN,
            coupons=[by_id(coupon_id) for coupon_id in coupon_ids],
        )
        return (await self.calculator.calculate(request)).decision


def by_id(coupon_id: int) -> discount_pb2.CouponRef:
    return discount_pb2.CouponRef(coupon_id=coupon_id)


def goods(*lines: tuple[int, int], shipping: int | None = None) -> cart_pb2.Cart:
    """Lines A, B, ... of (unit price, quantity), and a shipment "shipping"."""
    cart = cart_pb2.Cart(
        currency="CNY",
        lines=[
            cart_pb2.CartLine(
                line_id=chr(ord("A") + index), sku_id=str(101 + index), shop_id="s", quantity=quantity, unit_price=price
            )
            for index, (price, quantity) in enumerate(lines)
        ],
    )
    if shipping is not None:
        cart.shipments.add(shipment_id="shipping", shop_id="s", amount=shipping)
    return cart


def instant_off(amount_off: int, **changes: Any) -> template_pb2.Terms:
    """An amount off, in no group."""
    fields: dict[str, Any] = {
        "coupon_class": template_pb2.COUPON_CLASS_PLATFORM,
        "currency": "CNY",
        "exclusive_group": "",
    }
    return template_pb2.Terms(kind=template_pb2.KIND_INSTANT_OFF, amount_off=amount_off, **(fields | changes))


def percent_off(bp: int, **changes: Any) -> template_pb2.Terms:
    """A percentage off, in no group."""
    fields: dict[str, Any] = {
        "coupon_class": template_pb2.COUPON_CLASS_PLATFORM,
        "currency": "CNY",
        "exclusive_group": "",
    }
    return template_pb2.Terms(kind=template_pb2.KIND_PERCENT_OFF, percent_off_bp=bp, **(fields | changes))


def free_shipping() -> template_pb2.Terms:
    """All shipping off."""
    return template_pb2.Terms(
        kind=template_pb2.KIND_FREE_SHIPPING, coupon_class=template_pb2.COUPON_CLASS_SHIPPING, currency="CNY"
    )
