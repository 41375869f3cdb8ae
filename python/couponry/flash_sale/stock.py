"""GetStock: one look at Redis answers everybody for a tenth of a second.

The value carries its time. After the activity is settled, MySQL answers.
"""

import asyncio
from typing import Final

from couponry._core import L1
from couponry.clock import Clock, from_ms, to_ms, to_timestamp
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.messages import MAX_ACTIVITY_ID
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["STOCK_KIND", "Stock"]

STOCK_KIND: Final = "stock"


class Stock:
    """`age_ms`: how old an answer may be. Answers are kept in `l1`, where the front end finds them too."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence, clock: Clock, l1: L1, age_ms: int) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._clock = clock
        self._l1 = l1
        self._age_ms = age_ms
        self._looking: dict[Place, asyncio.Task[flash_sale_pb2.GetStockResponse]] = {}

    async def get(self, request: flash_sale_pb2.GetStockRequest) -> flash_sale_pb2.GetStockResponse:
        """Stock left, total and sold; wins that are no rows yet count as sold."""
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.raise_if_any()
        if request.activity_id > MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        place = Place(request.activity_id)
        seen = self._l1.get(STOCK_KIND, str(request.activity_id))
        if seen:
            return flash_sale_pb2.GetStockResponse.FromString(seen)
        looking = self._looking.get(place)
        if looking is None:
            looking = asyncio.get_running_loop().create_task(self._look(place))
            self._looking[place] = looking
            looking.add_done_callback(lambda _: self._looking.pop(place, None))
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(looking)

    async def close(self) -> None:
        """Waits for the looks under way."""
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _look(self, place: Place) -> flash_sale_pb2.GetStockResponse:
        # Measured from before the look: the value cannot be older than it says.
        ends_ms = to_ms(self._clock()) + self._age_ms
        answer = await self._read(place)
        self._l1.put(STOCK_KIND, str(place.activity_id), answer.SerializeToString(), ends_ms)
        return answer

    async def _read(self, place: Place) -> flash_sale_pb2.GetStockResponse:
        state = await self._sale.look(place)
        if state.absent or not state.open:
            if not await self._fence.ensure(place):
                return await self._settled(place)
            state = await self._sale.look(place)
            if state.absent or not state.open:
                raise Unavailable("the activity is being opened", reason="NOT_READY")
        left, total = max(0, state.number("left")), state.number("total")
        return flash_sale_pb2.GetStockResponse(
            left=left, total=total, sold=total - left, as_of=to_timestamp(from_ms(state.now_ms))
        )

    async def _settled(self, place: Place) -> flash_sale_pb2.GetStockResponse:
        progress = await store.select_progress(self._mysql, place)
        if progress is None:
            raise NotFound("no such activity")
        return flash_sale_pb2.GetStockResponse(
            left=0, total=progress["total"], sold=progress["sold"], as_of=to_timestamp(self._clock())
        )
