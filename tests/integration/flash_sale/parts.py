"""The parts of flash sales, put together over the stores that an instance has, without the rest of a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from couponry._core import L1
from couponry.clock import Clock, to_ms
from couponry.config import FlashSaleSettings
from couponry.coupons.codes import Codes
from couponry.flash_sale.activities import Activities, register_loaders
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.audit import Audit
from couponry.flash_sale.balancing import Balance
from couponry.flash_sale.cancelling import Cancelling
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
from couponry.flash_sale.wire import Place
from couponry.servicers.flash_sale import FlashSaleServicer
from couponry.store.layers import Layers
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis

__all__ = ["FlashSale"]


@dataclass(frozen=True, slots=True)
class FlashSale:
    """Use cases, and the services behind them that jobs need."""

    activities: Activities
    adjustments: Adjustments
    audit: Audit
    balance: Balance
    cancelling: Cancelling
    claims: Claims
    configurator: Configurator
    fence: Fence
    outbox: Outbox
    participation: Participation
    pending: PendingWins
    records: Records
    replicas: Replicas
    rows: Rows
    sale: Sale
    settlement: Settlement
    stock: Stock
    upkeep: Upkeep
    watching: Watching

    @classmethod
    def build(
        cls,
        *,
        mysql: MySQL,
        redis: Redis,
        layers: Layers,
        l1: L1,
        codes: Codes,
        clock: Clock,
        settings: FlashSaleSettings,
        on_win: Callable[[Place], None],
    ) -> Self:
        """`redis` is the sale's, `l1` the layers'; `on_win` nudges the persister. Teaches `layers` activities."""
        register_loaders(layers=layers, mysql=mysql, clock=clock)
        sale = Sale(redis)
        outbox = Outbox(mysql=mysql, sale=sale, batch=settings.persist_batch)
        fence = Fence(mysql=mysql, sale=sale, outbox=outbox)
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
        rows = Rows(mysql=mysql, outbox=outbox)
        replicas = Replicas(
            sale=sale,
            fence=fence,
            count=settings.replicas,
            timeout_ms=settings.replica_timeout_ms,
            retry_after_s=settings.fence_retry_ms / 1000,
        )
        balance = Balance(mysql=mysql, sale=sale, fence=fence)
        claims = Claims(
            redis=redis,
            layers=layers,
            l1=l1,
            codes=codes,
            sale=sale,
            fence=fence,
            rows=rows,
            replicas=replicas,
            settled=SettledClaims(mysql=mysql, codes=codes),
            balance=balance,
            settings=settings,
            on_win=on_win,
        )
        stock = Stock(
            mysql=mysql,
            sale=sale,
            fence=fence,
            clock=clock,
            l1=L1({STOCK_KIND: 1 << 20}, untold=[STOCK_KIND], wall_ms=lambda: to_ms(clock())),
            age_ms=settings.stock_age_ms,
        )
        return cls(
            activities=Activities(mysql=mysql, layers=layers, clock=clock, configurator=configurator),
            adjustments=adjustments,
            audit=Audit(mysql=mysql, sale=sale, fence=fence, adjustments=adjustments),
            balance=balance,
            cancelling=Cancelling(mysql=mysql, outbox=outbox, adjustments=adjustments),
            claims=claims,
            configurator=configurator,
            fence=fence,
            outbox=outbox,
            participation=Participation(claims=claims),
            pending=PendingWins(mysql=mysql, sale=sale, codes=codes),
            records=Records(mysql=mysql, sale=sale, codes=codes),
            replicas=replicas,
            rows=rows,
            sale=sale,
            settlement=settlement,
            stock=stock,
            upkeep=Upkeep(
                mysql=mysql,
                sale=sale,
                fence=fence,
                configurator=configurator,
                adjustments=adjustments,
                settlement=settlement,
                balance=balance,
            ),
            watching=Watching(stock=stock, interval_ms=settings.watch_interval_ms),
        )

    def servicer(self) -> FlashSaleServicer:
        """The service over these parts."""
        return FlashSaleServicer(
            activities=self.activities,
            participation=self.participation,
            stock=self.stock,
            watching=self.watching,
            records=self.records,
            settlement=self.settlement,
            adjustments=self.adjustments,
        )

    async def close(self) -> None:
        """Waits for what is under way; the stores must still be open."""
        await self.claims.close()
        await self.watching.close()
        await self.balance.close()
        await self.rows.close()
        await self.stock.close()
        await self.fence.close()
