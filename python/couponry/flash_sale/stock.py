"""GetStock: one look at Redis answers everybody for a tenth of a second.

The value carries its time; of several buckets it is the sum of looks at the same time, without what is on its way from
one to another just then (some milliseconds). After the activity is settled, MySQL answers.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from couponry._core import L1
from couponry.clock import Clock, from_ms, to_ms, to_timestamp
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.messages import MAX_ACTIVITY_ID
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place, State
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["STOCK_KIND", "Seen", "Stock", "check_activity_id"]

STOCK_KIND: Final = "stock"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look saw; `settled`: it will not change any more."""

    stock: flash_sale_pb2.GetStockResponse
    settled: bool


class Stock:
    """`age_ms`: how old an answer may be. Answers are kept in `l1`, where the front end finds them too."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence, clock: Clock, l1: L1, age_ms: int) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._clock = clock
        self._l1 = l1
        self._age_ms = age_ms
        self._looking: dict[int, asyncio.Task[Seen]] = {}
        self._buckets: dict[int, int] = {}

    async def get(self, request: flash_sale_pb2.GetStockRequest) -> flash_sale_pb2.GetStockResponse:
        """Stock left, total and sold; wins that are no rows yet count as sold."""
        check_activity_id(request.activity_id)
        seen = self._l1.get(STOCK_KIND, str(request.activity_id))
        if seen:
            return flash_sale_pb2.GetStockResponse.FromString(seen)
        return (await self.look(request.activity_id)).stock

    async def look(self, activity_id: int) -> Seen:
        """The stock as it is now; callers at once share one look. Raises NotFound, Unavailable."""
        looking = self._looking.get(activity_id)
        if looking is None:
            looking = asyncio.get_running_loop().create_task(self._look(activity_id))
            self._looking[activity_id] = looking
            looking.add_done_callback(lambda _: self._looking.pop(activity_id, None))
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(looking)

    async def close(self) -> None:
        """Waits for the looks under way."""
        await asyncio.gather(*self._looking.values(), return_exceptions=True)

    async def _look(self, activity_id: int) -> Seen:
        # Measured from before the look: the value cannot be older than it says.
        ends_ms = to_ms(self._clock()) + self._age_ms
        answer = await self._read(activity_id)
        self._l1.put(STOCK_KIND, str(activity_id), answer.stock.SerializeToString(), ends_ms)
        return answer

    async def _read(self, activity_id: int) -> Seen:
        buckets = self._buckets.get(activity_id)
        if buckets is None:
            buckets = len(await store.select_all_progress(self._mysql, activity_id))
            if not buckets:
                raise NotFound("no such activity")
            # It never changes; what is kept is bounded by the number of activities that somebody asks for.
            self._buckets[activity_id] = buckets
        states = await asyncio.gather(*(self._bucket(Place(activity_id, bucket)) for bucket in range(buckets)))
        if any(state is None for state in states) or await self._is_settled(activity_id, states):
            return await self._settled(activity_id)
        left = sum(max(0, state.number("left")) for state in states if state)
        total = sum(state.number("total") for state in states if state)
        as_of = min(state.now_ms for state in states if state)
        return Seen(
            flash_sale_pb2.GetStockResponse(
                left=left, total=total, sold=total - left, as_of=to_timestamp(from_ms(as_of))
            ),
            settled=False,
        )

    async def _bucket(self, place: Place) -> State | None:
        """m of an open bucket; None: the activity is settled."""
        state = await self._sale.look(place)
        if state.absent or not state.open:
            if not await self._fence.ensure(place):
                return None
            state = await self._sale.look(place)
            if state.absent or not state.open:
                raise Unavailable("the activity is being opened", reason="NOT_READY")
        return state

    async def _is_settled(self, activity_id: int, states: Sequence[State | None]) -> bool:
        """The keys of an activity that is settled live on for a while."""
        if not all(state is not None and state.number("ended") for state in states):
            return False
        rows = await activities_store.select_activities(self._mysql, [activity_id])
        return not rows or rows[0]["state"] == activities_store.SETTLED

    async def _settled(self, activity_id: int) -> Seen:
        rows = await store.select_all_progress(self._mysql, activity_id)
        return Seen(
            flash_sale_pb2.GetStockResponse(
                left=0,
                total=sum(row["total"] for row in rows),
                sold=sum(row["sold"] for row in rows),
                as_of=to_timestamp(self._clock()),
            ),
            settled=True,
        )


def check_activity_id(activity_id: int) -> None:
    """Raises InvalidArgument, or NotFound for an id that no activity can have."""
    violations = Violations()
    violations.own_id("activity_id", activity_id)
    violations.raise_if_any()
    if activity_id > MAX_ACTIVITY_ID:
        raise NotFound("no such activity")
