"""What a running sale needs beside its claims: fences, adjustments and settings that a crash left, ends by time.

Any number of workers may do it at once; each step is safe alone, and finds what another one left.
"""

import structlog

from couponry.errors import Unavailable
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.configure import Configurator
from couponry.flash_sale.fence import Fence, needed
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.settle import Settlement
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL

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
    ) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._configurator = configurator
        self._adjustments = adjustments
        self._settlement = settlement

    async def run_once(self) -> int:
        """How many adjustments were applied and activities settled. Raises Unavailable where MySQL is down."""
        done = 0
        for row in await store.select_all_pending(self._mysql):
            done += await self._guarded_apply(Place(row["activity_id"], row["bucket"]))
        for row in await activities_store.select_unsettled(self._mysql):
            place = Place(row["activity_id"], row["bucket"])
            try:
                done += await self._look_after(place, ending=row["state"] == activities_store.ENDING)
            except Unavailable as error:
                _log.warning("an activity waits", activity=place.activity_id, text=error.text)
        return done

    async def _guarded_apply(self, place: Place) -> int:
        try:
            return await self._adjustments.apply(place)
        except Unavailable as error:
            _log.warning("an adjustment waits", activity=place.activity_id, text=error.text)
            return 0

    async def _look_after(self, place: Place, *, ending: bool) -> int:
        progress = await store.select_progress(self._mysql, place)
        if progress is None:
            return 0
        if await needed(self._mysql, place, progress["epoch"], await self._sale.look(place)):
            await self._fence.ensure(place)
        await self._configurator.push(place)
        if ending or await self._settlement.end_by_time(place):
            return int(await self._settlement.settle(place))
        return 0
