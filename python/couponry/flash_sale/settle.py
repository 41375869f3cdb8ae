"""The end of an activity: nobody wins any more, every win becomes a row, and the unsold goes back to the template.

The end is an adjustment like any other, so its place among restocks is fixed and a crash does not lose it. An activity
is settled when Redis has told nothing that MySQL does not have; from then on MySQL answers repeats, and the keys go.
"""

import secrets
from collections.abc import Sequence
from typing import Final

import structlog

from couponry.clock import Clock, from_sql, to_ms
from couponry.coupons.once import request_key
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.activities import ACTIVITY_KIND
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.fence import Fence, needed
from couponry.flash_sale.messages import MAX_ACTIVITY_ID, activity_message
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store import requests
from couponry.store.layers import Change, Layers
from couponry.store.mysql import MySQL, Row, Tx
from couponry.store.requests import RequestKey
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["Settlement"]

_log = structlog.get_logger(__name__)

_ATTEMPTS: Final = 5
# Long enough for whoever looks after a loss of commits in MySQL to find the wins.
_KEYS_LIVE_S: Final = 86_400


class Settlement:
    """Ends activities and settles them."""

    def __init__(
        self,
        *,
        mysql: MySQL,
        layers: Layers,
        sale: Sale,
        fence: Fence,
        outbox: Outbox,
        adjustments: Adjustments,
        clock: Clock,
    ) -> None:
        self._mysql = mysql
        self._layers = layers
        self._sale = sale
        self._fence = fence
        self._outbox = outbox
        self._adjustments = adjustments
        self._clock = clock

    async def end_activity(
        self, request: flash_sale_pb2.EndActivityRequest, caller: str
    ) -> flash_sale_pb2.EndActivityResponse:
        """Ends an activity now. SETTLED when that is done, else ENDING: a repeat, or the upkeep job, goes on.

        A repeat answers with how far it has come, also with another request id.
        """
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.request_id("request_id", request.request_id)
        violations.raise_if_any()
        if request.activity_id > MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        activity_id = request.activity_id
        key = request_key("EndActivity", caller, request)
        await self._mysql.run(lambda tx: self._write_end(tx, activity_id, key))
        try:
            await self.settle(activity_id)
        except Unavailable:
            _log.warning("an activity settles later", activity=activity_id)
        self._layers.wrote([Change(ACTIVITY_KIND, str(activity_id), "written")])
        [row] = await activities_store.select_activities(self._mysql, [activity_id])
        progress = await store.select_all_progress(self._mysql, activity_id)
        return flash_sale_pb2.EndActivityResponse(
            activity=activity_message(row, self._clock()),
            sold=sum(each["sold"] for each in progress),
            returned=sum(each["returned"] for each in progress),
        )

    async def end_by_time(self, place: Place) -> bool:
        """Begins to end an activity whose window is over by the clock of this bucket's Redis; whether it did."""
        state = await self._sale.look(place)
        if state.absent or not state.open or state.now_ms < state.number("end"):
            return False

        async def work(tx: Tx) -> bool:
            rows = await store.lock_all_progress(tx, place.activity_id)
            activity = await activities_store.lock_activity(tx, place.activity_id)
            if activity is None or activity["state"] != activities_store.OPEN:
                return False
            # The window may have been moved since Redis was told.
            if to_ms(from_sql(activity["end_at"])) > state.now_ms:
                return False
            await self._insert_end(tx, place.activity_id, rows)
            return True

        return await self._mysql.run(work)

    async def settle(self, activity_id: int) -> bool:
        """Applies the end, persists what is left, settles. False: another process must finish its step first.

        Raises Unavailable where a store does not answer.
        """
        for _ in range(_ATTEMPTS):
            await self._adjustments.apply_all(activity_id)
            rows = await store.select_all_progress(self._mysql, activity_id)
            places = [Place(activity_id, row["bucket"]) for row in rows]
            for place in places:
                await self._outbox.drain(place)
            settled = await self._mysql.run(lambda tx: self._close_books(tx, activity_id))
            if settled is not None:
                self._layers.wrote([Change(ACTIVITY_KIND, str(activity_id), "written")])
                for place, epoch in settled.items():
                    await self._sale.settle(place, epoch, _KEYS_LIVE_S)
                return True
            if not all([await self._fence.ensure(place) for place in places]):
                return True
        return False

    async def _write_end(self, tx: Tx, activity_id: int, key: RequestKey) -> None:
        if await requests.claim(tx, key) is not None:
            return
        rows = await store.lock_all_progress(tx, activity_id)
        activity = await activities_store.lock_activity(tx, activity_id)
        if not rows or activity is None:
            raise NotFound("no such activity")
        if activity["state"] == activities_store.OPEN:
            await self._insert_end(tx, activity_id, rows)
        # The answer is how far the ending has come; only that the request was made is remembered.
        await requests.remember(tx, key, b"")

    async def _insert_end(self, tx: Tx, activity_id: int, rows: Sequence[Row]) -> None:
        for row in rows:
            place = Place(activity_id, row["bucket"])
            await store.insert_adjustment(tx, place, nonce=secrets.token_bytes(16), kind=store.END, delta=0)
        await activities_store.set_state(tx, activity_id, activities_store.ENDING)

    async def _close_books(self, tx: Tx, activity_id: int) -> dict[Place, int] | None:
        """Settles, where Redis has ended and holds nothing that MySQL lacks; the epochs of the keys, else None."""
        rows = await store.lock_all_progress(tx, activity_id)
        activity = await activities_store.lock_activity(tx, activity_id)
        if not rows or activity is None:
            raise NotFound("no such activity")
        places = {Place(activity_id, row["bucket"]): row for row in rows}
        if activity["state"] != activities_store.SETTLED:
            pending = await store.any_pending(tx, activity_id) or await store.any_pending_change(tx, activity_id)
            if activity["state"] != activities_store.ENDING or pending:
                return None
            for place, row in places.items():
                if not await self._complete(tx, place, row):
                    return None
            for place, row in places.items():
                await self._return_rest(tx, place, row, activity)
            await activities_store.set_state(tx, activity_id, activities_store.SETTLED)
        return {place: int(row["epoch"]) for place, row in places.items()}

    async def _complete(self, tx: Tx, place: Place, progress: Row) -> bool:
        """Whether a bucket has ended, and nothing of it is under way."""
        state = await self._sale.look(place)
        return (
            await store.end_state(tx, place) == store.APPLIED
            and not await needed(tx, place, progress["epoch"], state)
            and state.number("ended") == 1
            and state.number("number") <= max(progress["number"], progress["base"])
            and not await store.any_tried(tx, place)
        )

    async def _return_rest(self, tx: Tx, place: Place, progress: Row, activity: Row) -> None:
        """Stock that wins held which Redis lost, or which failed."""
        rest = progress["total"] - progress["sold"]
        if rest:
            await store.add_total(tx, place, -rest, returned=rest)
            await activities_store.move_reserved(tx, activity["template_id"], reserved=-rest)
