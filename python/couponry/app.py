"""The one place where the parts are put together: `opened` makes them, `serve` runs them until SIGTERM.

Nothing imports this module but the command line and the tests.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import grpc.aio
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from couponry import discount
from couponry._core import L1
from couponry.admin.desk import Desk
from couponry.admin.socket import listening
from couponry.clock import Clock, system_clock, to_ms
from couponry.config import CacheSettings, Settings, StackingSettings
from couponry.coupons.available import AvailableCoupons
from couponry.coupons.calculating import Calculator
from couponry.coupons.codes import Codes
from couponry.coupons.granting import Granting
from couponry.coupons.loaders import register_loaders as register_coupon_loaders
from couponry.coupons.receiving import Receiving
from couponry.coupons.refs import RefResolver
from couponry.coupons.templates import Templates
from couponry.coupons.user_coupons import UserCoupons
from couponry.coupons.wallet import Wallet
from couponry.flash_sale.activities import Activities
from couponry.flash_sale.activities import register_loaders as register_activity_loaders
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.audit import Audit
from couponry.flash_sale.balancing import Balance
from couponry.flash_sale.claims import Claims
from couponry.flash_sale.configure import Configurator
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.participate import Participation
from couponry.flash_sale.pending import PendingWins
from couponry.flash_sale.records import Records
from couponry.flash_sale.replicas import Replicas
from couponry.flash_sale.rows import Rows
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.settle import Settlement
from couponry.flash_sale.settled_claims import SettledClaims
from couponry.flash_sale.stock import STOCK_KIND, Stock
from couponry.flash_sale.upkeep import Upkeep
from couponry.flash_sale.watching import Watching
from couponry.frontend import native, reference
from couponry.frontend.hot import answer_claims, answer_hot_methods
from couponry.frontend.port import open_port
from couponry.invalidation import BinlogCollector, Following, SaleFollower, following
from couponry.jobs.expirer import Expirer
from couponry.jobs.persister import Persister, Trimmer
from couponry.jobs.runner import Job, JobRunner
from couponry.jobs.warmup import HotKeyReporter, WarmUp
from couponry.metrics import LayerCollector, metrics_page
from couponry.orders.service import Orders
from couponry.servicers.coupon import CouponServicer
from couponry.servicers.discount import DiscountServicer
from couponry.servicers.flash_sale import FlashSaleServicer
from couponry.servicers.order import OrderServicer
from couponry.servicers.template import TemplateServicer
from couponry.servicers.transaction import TransactionServicer
from couponry.store import requests
from couponry.store.hot_keys import HotKeys
from couponry.store.ids import Ids
from couponry.store.layers import LayerLives, Layers
from couponry.store.layers.looking import Looker
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis
from couponry.v1 import coupon_pb2, discount_pb2, flash_sale_pb2, order_pb2, template_pb2, transaction_pb2
from couponry.v1.coupon_pb2_grpc import add_CouponServiceServicer_to_server
from couponry.v1.discount_pb2_grpc import add_DiscountServiceServicer_to_server
from couponry.v1.flash_sale_pb2_grpc import add_FlashSaleServiceServicer_to_server
from couponry.v1.order_pb2_grpc import add_OrderServiceServicer_to_server
from couponry.v1.template_pb2_grpc import add_TemplateServiceServicer_to_server
from couponry.v1.transaction_pb2_grpc import add_TransactionServiceServicer_to_server

__all__ = ["SERVICES", "App", "opened", "serve", "served"]

_log = structlog.get_logger(__name__)

PERSISTER: Final = "persister"
# Between two reports of a worker's hottest keys.
_REPORT_S: Final = 10.0
# Some thousand activities' worth of GetStock's answers, each good for a tenth of a second.
_STOCK_BYTES: Final = 1 << 20
# What the decoded forms of entries weigh beside them, in percent: of templates terms and a sorted scope.
_DECODED_PERCENT: Final = {"user": 60, "template": 200}
SERVICES: Final = tuple(
    file.services_by_name[name].full_name
    for file in (
        template_pb2.DESCRIPTOR,
        coupon_pb2.DESCRIPTOR,
        discount_pb2.DESCRIPTOR,
        order_pb2.DESCRIPTOR,
        flash_sale_pb2.DESCRIPTOR,
        transaction_pb2.DESCRIPTOR,
    )
    for name in file.services_by_name
)


@dataclass(frozen=True, slots=True)
class App:
    """What a worker consists of, for whoever runs or tests it."""

    settings: Settings
    mysql: MySQL
    l1: L1
    layers: Layers
    following: Following
    claims: Claims
    jobs: JobRunner
    reporting: JobRunner
    warm_up: WarmUp
    desk: Desk
    persister: Persister
    upkeep: Upkeep
    expirer: Expirer
    audit: Audit
    watching: Watching
    templates: TemplateServicer
    coupons: CouponServicer
    discounts: DiscountServicer
    orders: OrderServicer
    flash_sales: FlashSaleServicer
    transactions: TransactionServicer

    def add_to(self, server: grpc.aio.Server, healthy: health.aio.HealthServicer) -> None:
        """Adds every service, health and reflection to a server that has not started."""
        add_TemplateServiceServicer_to_server(self.templates, server)
        add_CouponServiceServicer_to_server(self.coupons, server)
        add_DiscountServiceServicer_to_server(self.discounts, server)
        add_OrderServiceServicer_to_server(self.orders, server)
        add_FlashSaleServiceServicer_to_server(self.flash_sales, server)
        add_TransactionServiceServicer_to_server(self.transactions, server)
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        reflection.enable_server_reflection((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


async def serve(settings: Settings, *, ready: Callable[[str], None]) -> None:
    """Runs a worker until SIGTERM or SIGINT, then drains. `ready` is told one line with the address.

    Raises OSError where the port is taken, Unavailable where a store does not answer.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop.set)
    async with (
        opened(settings) as app,
        served(app) as address,
    ):
        ready(f"couponry serves on {address}")
        await stop.wait()
        _log.info("draining", within_s=settings.server.drain_timeout_s)


@asynccontextmanager
async def served(app: App) -> AsyncIterator[str]:
    """Serves the app while the block runs; the value is the address. At the end calls under way may finish."""
    settings = app.settings
    async with listening(settings.admin.socket, app.desk.handlers()), _served(app) as address:
        yield address


@asynccontextmanager
async def _served(app: App) -> AsyncIterator[str]:
    settings = app.settings
    with metrics_page(settings.metrics.listen, LayerCollector(app.layers, app.l1), BinlogCollector(app.following)):
        server, healthy = _front_end(app)
        app.add_to(server, healthy)
        address = open_port(server, settings.server)
        await server.start()
        if settings.jobs.enabled:
            app.jobs.start()
        app.reporting.start()
        await app.warm_up.run()
        names = ("", *SERVICES)
        for name in names:
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        try:
            yield str(address)
        finally:
            await healthy.enter_graceful_shutdown()
            # Streams have no end of their own that a drain could wait for.
            await app.watching.close()
            await server.stop(settings.server.drain_timeout_s)
            await app.jobs.stop(within_s=settings.server.drain_timeout_s)
            await app.reporting.stop(within_s=1)


@asynccontextmanager
async def opened(
    settings: Settings, *, clock: Clock = system_clock, session_clock: Clock | None = None
) -> AsyncIterator[App]:
    """Connects to the stores and makes the parts. With `session_clock` the database's NOW() follows it (for tests)."""
    async with AsyncExitStack() as closing:
        mysql = await MySQL.connect(settings.mysql, session_clock=session_clock)
        closing.push_async_callback(mysql.close)
        cache_redis = Redis(settings.redis.cache.get_secret_value(), settings.redis)
        closing.push_async_callback(cache_redis.close)
        sale_redis = Redis(settings.redis.sale.get_secret_value(), settings.redis)
        closing.push_async_callback(sale_redis.close)
        codes = await Codes.load(mysql)
        ids = Ids(mysql)
        l1 = L1(
            _capacities(settings.cache),
            absent_bytes=settings.cache.l1_absence_bytes,
            floors=settings.cache.floors_max,
            untold=[STOCK_KIND],
            decoded_percent=_DECODED_PERCENT,
            max_staleness_ms=settings.cache.max_staleness_ms,
            fail_safe_ms=settings.cache.fail_safe_ms,
            wall_ms=None if clock is system_clock else lambda: to_ms(clock()),
        )
        layers = Layers(
            l1=l1,
            redis=cache_redis,
            clock=clock,
            lives=_lives(settings.cache),
            sql_loads=settings.cache.sql_loads_max,
            l2_timeout_s=settings.cache.l2_timeout_ms / 1000,
        )
        layers.start()
        closing.push_async_callback(layers.close)
        register_coupon_loaders(layers=layers, mysql=mysql, codes=codes, clock=clock)
        register_activity_loaders(layers=layers, mysql=mysql, clock=clock)
        rules = _rules(settings.stacking)
        submitted = settings.stacking.submitted_limit

        # Flash sale
        sale = Sale(sale_redis)
        outbox = Outbox(mysql=mysql, sale=sale, batch=settings.flash_sale.persist_batch)
        fence = Fence(mysql=mysql, sale=sale, outbox=outbox)
        closing.push_async_callback(fence.close)
        configurator = Configurator(mysql=mysql, sale=sale, fence=fence)
        adjustments = Adjustments(mysql=mysql, sale=sale, fence=fence)
        settlement = Settlement(
            mysql=mysql,
            layers=layers,
            sale=sale,
            fence=fence,
            outbox=outbox,
            adjustments=adjustments,
            clock=clock,
        )
        balance = Balance(mysql=mysql, sale=sale, fence=fence)
        closing.push_async_callback(balance.close)
        upkeep = Upkeep(
            mysql=mysql,
            sale=sale,
            fence=fence,
            configurator=configurator,
            adjustments=adjustments,
            settlement=settlement,
            balance=balance,
        )
        rows = Rows(mysql=mysql, outbox=outbox)
        replicas = Replicas(
            sale=sale,
            fence=fence,
            count=settings.flash_sale.replicas,
            timeout_ms=settings.flash_sale.replica_timeout_ms,
            retry_after_s=settings.flash_sale.fence_retry_ms / 1000,
        )
        closing.push_async_callback(rows.close)
        stock = Stock(
            mysql=mysql,
            sale=sale,
            fence=fence,
            clock=clock,
            l1=l1,
            age_ms=settings.flash_sale.stock_age_ms,
        )
        closing.push_async_callback(stock.close)
        watching = Watching(stock=stock, interval_ms=settings.flash_sale.watch_interval_ms)
        closing.push_async_callback(watching.close)
        pending_wins = PendingWins(mysql=mysql, sale=sale, codes=codes)

        # Jobs
        persister = Persister(mysql=mysql, outbox=outbox, fence=fence, wake=lambda: jobs.nudge(PERSISTER))
        expirer = Expirer(mysql=mysql, batch=settings.jobs.expirer_batch)
        trimmer = Trimmer(mysql=mysql, sale=sale, after_s=settings.flash_sale.trim_after_s)
        claims = Claims(
            redis=sale_redis,
            layers=layers,
            l1=l1,
            codes=codes,
            sale=sale,
            fence=fence,
            rows=rows,
            replicas=replicas,
            settled=SettledClaims(mysql=mysql, codes=codes),
            balance=balance,
            settings=settings.flash_sale,
            on_win=persister.nudge,
        )
        closing.push_async_callback(claims.close)
        jobs = _jobs(settings, mysql, persister=persister, upkeep=upkeep, expirer=expirer, trimmer=trimmer)

        # The binlog, which changes by whomever come from
        followed = await closing.enter_async_context(
            following(
                settings,
                layers=layers,
                sale=SaleFollower(activity=configurator.changed, template=configurator.template_changed),
            )
        )

        # What shows the caches, and fills them at a start
        hot_keys = HotKeys(cache_redis, most=settings.cache.warm_up_keys)
        reporter = HotKeyReporter(l1=l1, hot_keys=hot_keys, most=settings.cache.warm_up_keys)

        # Coupons
        refs = RefResolver(codes=codes, clock=clock)
        wallet = Wallet(mysql=mysql, layers=layers, codes=codes, clock=clock, pending_wins=pending_wins)
        receiving = Receiving(mysql=mysql, layers=layers, ids=ids, codes=codes)
        closing.push_async_callback(receiving.close)

        yield App(
            settings=settings,
            mysql=mysql,
            l1=l1,
            layers=layers,
            following=followed,
            claims=claims,
            jobs=jobs,
            reporting=JobRunner([Job("hot keys", reporter.run_once, _REPORT_S)]),
            warm_up=WarmUp(
                mysql=mysql,
                l1=l1,
                layers=layers,
                hot_keys=hot_keys,
                clock=clock,
                most=settings.cache.warm_up_keys,
                within_s=settings.cache.warm_up_s,
            ),
            desk=Desk(layers=layers, looker=Looker(redis=cache_redis, l2=layers.l2), reader=dict),
            persister=persister,
            upkeep=upkeep,
            expirer=expirer,
            audit=Audit(mysql=mysql, sale=sale, fence=fence, adjustments=adjustments),
            watching=watching,
            templates=TemplateServicer(Templates(mysql=mysql, layers=layers, ids=ids, configurator=configurator)),
            coupons=CouponServicer(
                receiving=receiving,
                granting=Granting(mysql=mysql, layers=layers, ids=ids, codes=codes),
                user_coupons=UserCoupons(mysql=mysql, layers=layers, codes=codes, wallet=wallet, refs=refs),
                available=AvailableCoupons(wallet=wallet, clock=clock, rules=rules),
            ),
            discounts=DiscountServicer(
                Calculator(wallet=wallet, refs=refs, clock=clock, rules=rules, submitted_limit=submitted)
            ),
            orders=OrderServicer(
                Orders(
                    mysql=mysql,
                    layers=layers,
                    codes=codes,
                    refs=refs,
                    pending_wins=pending_wins,
                    rules=rules,
                    submitted_limit=submitted,
                    lock_ttl_default_s=settings.orders.lock_ttl_default_s,
                    lock_ttl_max_s=settings.orders.lock_ttl_max_s,
                    return_grace_default_s=settings.orders.return_grace_default_s,
                )
            ),
            flash_sales=FlashSaleServicer(
                activities=Activities(mysql=mysql, layers=layers, clock=clock, configurator=configurator),
                participation=Participation(claims=claims),
                stock=stock,
                watching=watching,
                records=Records(mysql=mysql, sale=sale, codes=codes),
                settlement=settlement,
                adjustments=adjustments,
            ),
            transactions=TransactionServicer(),
        )


def _front_end(app: App) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    settings = app.settings.server
    reuse_port = settings.workers > 1
    if settings.frontend == "reference":
        return reference.make_server(settings, reuse_port=reuse_port), health.aio.HealthServicer()
    server = native.make_server(settings, reuse_port=reuse_port)
    answer_hot_methods(server, app.l1, app.layers, _rules(app.settings.stacking))
    answer_claims(server, app.claims)
    return server, server.answer_health()


def _capacities(settings: CacheSettings) -> dict[str, int]:
    return {
        "template": settings.l1_template_bytes,
        "template_key": settings.l1_template_bytes // 8,
        "activity": settings.l1_activity_bytes,
        "activity_key": settings.l1_activity_bytes // 8,
        "user": settings.l1_user_bytes,
        STOCK_KIND: _STOCK_BYTES,
    }


def _lives(settings: CacheSettings) -> LayerLives:
    return LayerLives(
        l1_ms=settings.l1_ttl_s * 1000,
        l2_ms=settings.l2_ttl_s * 1000,
        absence_ms=settings.absence_ttl_s * 1000,
        short_ms=settings.short_ttl_ms,
        jitter_percent=settings.jitter_percent,
        max_staleness_ms=settings.max_staleness_ms,
        fail_safe_ms=settings.fail_safe_ms,
    )


def _rules(settings: StackingSettings) -> discount.Rules:
    return discount.Rules(
        percent_or_threshold_limit=settings.percent_or_threshold_limit,
        unit_price_limit=settings.unit_price_limit,
        instant_limit=settings.instant_limit,
        free_shipping_limit=settings.free_shipping_limit,
        count_limit=settings.count_limit,
        submitted_limit=settings.submitted_limit,
    )


def _jobs(
    settings: Settings, mysql: MySQL, *, persister: Persister, upkeep: Upkeep, expirer: Expirer, trimmer: Trimmer
) -> JobRunner:
    retention_s = settings.jobs.request_retention_s

    async def sweep() -> int:
        return await mysql.run(lambda tx: requests.forget_older_than(tx, retention_s))

    return JobRunner(
        [
            Job(PERSISTER, persister.run_once, settings.jobs.persister_interval_ms / 1000),
            Job("upkeep", upkeep.run_once, settings.jobs.adjuster_interval_ms / 1000),
            Job("expirer", expirer.run_once, settings.jobs.expirer_interval_ms / 1000),
            Job("trimmer", trimmer.run_once, settings.jobs.trim_interval_ms / 1000),
            Job("sweeper", sweep, settings.jobs.sweep_interval_s),
        ]
    )
