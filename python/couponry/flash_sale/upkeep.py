"""What a running sale needs beside its claims: fences, adjustments and settings that a crash left, ends by time.

Any number of workers may do it at once; each step is safe alone, and finds what another one left.
"""

from collections.abc import Awaitable, Sequence
from itertools import groupby

import structlog

from couponry.errors import Unavailable
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.balancing import Balance
from couponry.flash_sale.configure import Configurator
from couponry.flash_sale.fence import Fence, needed
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.settle import Settlement
from couponry.flash_sale.wire import Place, State
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row

__all__ = ["Upkeep"]

_log = structlog.get_logger(__name__)


class Upkeep:
    """One round over the activities that are not settled."""

    def __init__(
        self,
        *,
        mysql: MySQL,
        sale: Sale,
        fence: Fence,
        configurator: Configurator,
        adjustments: Adjustments,
        settlement: Settlement,
        balance: Balance,
    ) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._configurator = configurator
        self._adjustments = adjustments
        self._settlement = settlement
        self._balance = balance

    async def run_once(self) -> int:
        """How many adjustments were applied and activities settled. Raises Unavailable where MySQL is down."""
        done = 0
        for row in await store.select_all_pending(self._mysql):
            done += await self._guarded(self._adjustments.apply(Place(row["activity_id"], row["bucket"])))
        done += await self._guarded(self._adjustments.advance_changes())
        for activity_id, rows in groupby(
            await activities_store.select_unsettled(self._mysql), key=lambda row: int(row["activity_id"])
        ):
            done += await self._guarded(self._look_after(activity_id, list(rows)))
        return done

    async def _guarded(self, work: Awaitable[int]) -> int:
        try:
            return await work
        except Unavailable as error:
            _log.warning("upkeep waits for a store", text=error.text)
            return 0

    async def _look_after(self, activity_id: int, rows: Sequence[Row]) -> int:
        over = any(row["state"] == activities_store.ENDING for row in rows)
        states: dict[Place, State] = {}
        for row in rows:
            place = Place(activity_id, row["bucket"])
            try:
                state = await self._open(place)
            except Unavailable as error:
                _log.warning("a bucket waits", activity=activity_id, bucket=place.bucket, text=error.text)
                continue
            if state is None:
                continue
            states[place] = state
            over = over or await self._settlement.end_by_time(place)
        if over:
            return int(await self._settlement.settle(activity_id))
        if len(rows) > 1:
            await self._balance.heal(states)
        return 0

    async def _open(self, place: Place) -> State | None:
        """m of a bucket, opened and told of settings if need be; None: the activity was settled meanwhile."""
        progress = await store.select_progress(self._mysql, place)
        if progress is None:
            return None
        state = await self._sale.look(place)
        if await needed(self._mysql, place, progress["epoch"], state):
            if not await self._fence.ensure(place):
                return None
            state = await self._sale.look(place)
        await self._configurator.push(place)
        return state
