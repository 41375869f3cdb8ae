"""Brings what SQL says of an activity (window, limit, pause, the template's pause) to Redis, by row version.

Nothing is lost where Redis does not answer: the upkeep job brings it again, and a fence pass reads the rows itself.
"""

import asyncio

import structlog

from couponry.errors import Unavailable
from couponry.flash_sale.fence import Fence, configuration_fields
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL

__all__ = ["Configurator"]

_log = structlog.get_logger(__name__)


class Configurator:
    """Pushes rows to m."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence

    async def push(self, place: Place) -> bool:
        """One attempt; False where a fence pass is needed first. Raises Unavailable."""
        progress = await store.select_progress(self._mysql, place)
        # Read after the epoch: a pass that comes later reads rows at least as new.
        configuration = await activities_store.select_configuration(self._mysql, place.activity_id)
        if progress is None or configuration is None or configuration["state"] == activities_store.SETTLED:
            return True
        return await self._sale.configure(place, progress["epoch"], configuration_fields(configuration))

    async def changed(self, activity_id: int) -> None:
        """After the commit of a change: when this returns, claims follow it, unless Redis does not answer."""
        rows = await store.select_all_progress(self._mysql, activity_id)
        await asyncio.gather(*(self._changed(Place(activity_id, row["bucket"])) for row in rows))

    async def _changed(self, place: Place) -> None:
        try:
            if not await self.push(place) and await self._fence.ensure(place):
                await self.push(place)
        except Unavailable:
            _log.warning("a change reaches Redis later", activity=place.activity_id, bucket=place.bucket)

    async def template_changed(self, template_id: int) -> None:
        """The same for all activities of a template that was paused or resumed."""
        for activity_id in await activities_store.select_unsettled_of_template(self._mysql, template_id):
            await self.changed(activity_id)
