"""The use cases of orders over one private MariaDB and Redis, with a clock that the test moves."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from couponry import discount
from couponry._core import L1
from couponry.clock import to_ms
from couponry.config import Settings
from couponry.coupons.calculating import Calculator
from couponry.coupons.codes import Codes
from couponry.coupons.loaders import register_loaders
from couponry.coupons.receiving import Receiving
from couponry.coupons.refs import RefResolver
from couponry.coupons.templates import Templates
from couponry.coupons.user_coupons import UserCoupons
from couponry.coupons.wallet import Wallet
from couponry.jobs.expirer import Expirer
from couponry.orders.service import Orders
from couponry.store.ids import Ids
from couponry.store.layers import LayerLives, Layers
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis
from tests.integration.flash_sale.parts import FlashSale
from tests.integration.orders.desk import Desk, MovableClock

OpenDesk = Callable[[], Awaitable[Desk]]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def open_desk(settings: Settings, clock: MovableClock) -> AsyncIterator[OpenDesk]:
    """Opens instances that share the stores and nothing else."""
    async with AsyncExitStack() as stack:

        async def opened() -> Desk:
            mysql = await MySQL.connect(settings.mysql, session_clock=clock)
            stack.push_async_callback(mysql.close)
            cache = Redis(settings.redis.cache.get_secret_value(), settings.redis)
            stack.push_async_callback(cache.close)
            kinds = ("template", "template_key", "user", "activity", "activity_key")
            l1 = L1(dict.fromkeys(kinds, 1 << 20), wall_ms=lambda: to_ms(clock()))
            layers = Layers(l1=l1, redis=cache, clock=clock, lives=LayerLives())
            stack.push_async_callback(layers.close)
            codes = await Codes.load(mysql)
            ids = Ids(mysql)
            register_loaders(layers=layers, mysql=mysql, codes=codes, clock=clock)
            sale_redis = Redis(settings.redis.sale.get_secret_value(), settings.redis)
            stack.push_async_callback(sale_redis.close)
            parts = FlashSale.build(
                mysql=mysql,
                redis=sale_redis,
                layers=layers,
                l1=l1,
                codes=codes,
                clock=clock,
                settings=settings.flash_sale,
                on_win=lambda place: None,
            )
            stack.push_async_callback(parts.close)
            wallet = Wallet(mysql=mysql, layers=layers, codes=codes, clock=clock, pending_wins=parts.pending)
            refs = RefResolver(codes=codes, clock=clock)
            rules = discount.Rules()
            receiving = Receiving(mysql=mysql, layers=layers, ids=ids, codes=codes)
            stack.push_async_callback(receiving.close)
            return Desk(
                mysql=mysql,
                clock=clock,
                templates=Templates(mysql=mysql, layers=layers, ids=ids, configurator=parts.configurator),
                receiving=receiving,
                user_coupons=UserCoupons(mysql=mysql, layers=layers, codes=codes, wallet=wallet, refs=refs),
                calculator=Calculator(wallet=wallet, refs=refs, clock=clock, rules=rules, submitted_limit=30),
                flash_sale=parts,
                orders=Orders(
                    mysql=mysql,
                    layers=layers,
                    codes=codes,
                    refs=refs,
                    pending_wins=parts.pending,
                    rules=rules,
                    submitted_limit=30,
                    lock_ttl_default_s=settings.orders.lock_ttl_default_s,
                    lock_ttl_max_s=settings.orders.lock_ttl_max_s,
                    return_grace_default_s=settings.orders.return_grace_default_s,
                ),
                expirer=Expirer(mysql=mysql, batch=100),
            )

        yield opened


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    return await open_desk()
