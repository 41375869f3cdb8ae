"""The use cases of coupons over one private MariaDB and Redis, with a clock that the test moves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from couponry import discount
from couponry._core import L1
from couponry.clock import to_ms
from couponry.config import Settings
from couponry.coupons.available import AvailableCoupons
from couponry.coupons.calculating import Calculator
from couponry.coupons.codes import Codes
from couponry.coupons.granting import Granting
from couponry.coupons.loaders import register_loaders
from couponry.coupons.receiving import Receiving
from couponry.coupons.refs import RefResolver
from couponry.coupons.templates import Templates
from couponry.coupons.user_coupons import UserCoupons
from couponry.coupons.wallet import Wallet
from couponry.store.ids import Ids
from couponry.store.layers import Change, LayerLives, Layers
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis
from couponry.v1 import coupon_pb2, discount_pb2, template_pb2
from tests.integration.flash_sale.parts import FlashSale
from tests.unit.coupons.builders import NOW, cart, spec


class MovableClock:
    """Stands still until a test moves it; the database's sessions follow it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Shop:
    """One instance: all use cases of coupons, and what they stand on."""

    mysql: MySQL
    layers: Layers
    codes: Codes
    clock: MovableClock
    templates: Templates
    receiving: Receiving
    granting: Granting
    user_coupons: UserCoupons
    available: AvailableCoupons
    calculator: Calculator
    flash_sale: FlashSale

    async def template(self, **changes: Any) -> template_pb2.Template:
        """Creates a template from `spec(**changes)`."""
        request = template_pb2.CreateTemplateRequest(spec=spec(**changes))
        return (await self.templates.create(request, "admin")).template

    async def receive(
        self, template: template_pb2.Template, user: str = "u", request_id: str = ""
    ) -> coupon_pb2.Coupon:
        """ReceiveCoupon."""
        request = coupon_pb2.ReceiveCouponRequest(user_id=user, template_id=template.template_id, request_id=request_id)
        return (await self.receiving.receive(request)).coupon

    async def revoke(self, coupon: coupon_pb2.Coupon) -> coupon_pb2.Coupon:
        """RevokeCoupon by id."""
        request = coupon_pb2.RevokeCouponRequest(
            user_id=coupon.user_id, coupon=discount_pb2.CouponRef(coupon_id=coupon.coupon_id)
        )
        return (await self.user_coupons.revoke(request, "admin")).coupon

    async def counters(self, template: template_pb2.Template) -> template_pb2.TemplateCounters:
        """The counters as SQL has them."""
        request = template_pb2.GetTemplateRequest(template_id=template.template_id, include_counters=True)
        return (await self.templates.get(request)).counters

    async def calculate(self, *refs: discount_pb2.CouponRef, user: str = "u", **fields: Any) -> discount_pb2.Decision:
        """CalculateDiscount of `cart()` in mode APPLY_GIVEN."""
        request = discount_pb2.CalculateDiscountRequest(
            user_id=user,
            cart=fields.pop("cart", cart()),
            mode=discount_pb2.CALCULATE_MODE_APPLY_GIVEN,
            coupons=refs,
            **fields,
        )
        return (await self.calculator.calculate(request)).decision

    async def lock(self, coupon: coupon_pb2.Coupon, *, until: datetime, order: str = "o") -> None:
        """Puts a lock on a coupon's row, as an order does."""
        await self.mysql.execute(
            "UPDATE user_coupons SET status = 2, order_id = %s, attempt = 0, locked_until = %s WHERE id = %s",
            (order, until.replace(tzinfo=None), coupon.coupon_id),
        )
        self.layers.wrote([Change("user", coupon.user_id, "written")])


OpenShop = Callable[[], Awaitable[Shop]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def open_shop(settings: Settings, clock: MovableClock) -> AsyncIterator[OpenShop]:
    """Opens instances that share the stores and nothing else."""
    async with AsyncExitStack() as stack:

        async def opened() -> Shop:
            mysql = await MySQL.connect(settings.mysql, session_clock=clock)
            stack.push_async_callback(mysql.close)
            cache = Redis(settings.redis.cache.get_secret_value(), settings.redis)
            stack.push_async_callback(cache.close)
            kinds = ("template", "template_key", "user", "activity", "activity_key")
            l1 = L1(dict.fromkeys(kinds, 1 << 20), wall_ms=lambda: to_ms(clock()))
            layers = Layers(l1=l1, redis=cache, clock=clock, lives=LayerLives())
            stack.push_async_callback(layers.close)
            sale_redis = Redis(settings.redis.sale.get_secret_value(), settings.redis)
            stack.push_async_callback(sale_redis.close)
            codes = await Codes.load(mysql)
            parts = FlashSale.build(
                mysql=mysql,
                redis=sale_redis,
                layers=layers,
                l1=l1,
                codes=codes,
                clock=clock,
                settings=settings.flash_sale,
                on_win=lambda _: None,
            )
            stack.push_async_callback(parts.close)
            ids = Ids(mysql)
            register_loaders(layers=layers, mysql=mysql, codes=codes, clock=clock)
            wallet = Wallet(mysql=mysql, layers=layers, codes=codes, clock=clock, pending_wins=parts.pending)
            refs = RefResolver(codes=codes, clock=clock)
            rules = discount.Rules()
            receiving = Receiving(mysql=mysql, layers=layers, ids=ids, codes=codes)
            stack.push_async_callback(receiving.close)
            return Shop(
                mysql=mysql,
                layers=layers,
                codes=codes,
                clock=clock,
                templates=Templates(mysql=mysql, layers=layers, ids=ids, configurator=parts.configurator),
                receiving=receiving,
                granting=Granting(mysql=mysql, layers=layers, ids=ids, codes=codes),
                user_coupons=UserCoupons(mysql=mysql, layers=layers, codes=codes, wallet=wallet, refs=refs),
                available=AvailableCoupons(wallet=wallet, clock=clock, rules=rules),
                calculator=Calculator(wallet=wallet, refs=refs, clock=clock, rules=rules, submitted_limit=30),
                flash_sale=parts,
            )

        yield opened


@pytest.fixture
async def shop(open_shop: OpenShop) -> Shop:
    return await open_shop()
