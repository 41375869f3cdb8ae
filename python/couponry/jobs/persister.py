"""The persister: wins from the outbox of every running sale to MySQL. Any number may run at once.

Wins nudge it; in between it looks at every activity that is not settled, because another process may have told the win.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from couponry.errors import Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.outbox import Outbox, StepKind
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Tx

__all__ = ["Persister", "Trimmer"]

_log = structlog.get_logger(__name__)

_AT_ONCE: Final = 4
# Even under steady nudges, every so many rounds look at all: a process that died nudges nobody.
_ALL_EVERY: Final = 50


class Persister:
    """`run_once` is one step for each activity that may have work; `wake` lets the job runner look at once."""

    def __init__(self, *, mysql: MySQL, outbox: Outbox, fence: Fence, wake: Callable[[], None] = lambda: None) -> None:
        self._mysql = mysql
        self._outbox = outbox
        self._fence = fence
        self._wake = wake
        self._nudged: set[Place] = set()
        self._rounds = 0

    def nudge(self, place: Place) -> None:
        """There is a win to persist."""
        if place not in self._nudged:
            self._nudged.add(place)
            self._wake()

    async def run_once(self) -> int:
        """Wins that have a row now. With nudges, mostly only those activities are looked at; without, all."""
        places, self._nudged = self._nudged, set()
        self._rounds += 1
        if not places or self._rounds % _ALL_EVERY == 0:
            rows = await activities_store.select_unsettled(self._mysql)
            places |= {Place(row["activity_id"], row["bucket"]) for row in rows}
        gate = asyncio.Semaphore(_AT_ONCE)
        return sum(await asyncio.gather(*(self._step(place, gate) for place in places)))

    async def _step(self, place: Place, gate: asyncio.Semaphore) -> int:
        async with gate:
            try:
                step = await self._outbox.step(place)
                match step.kind:
                    case StepKind.PERSISTED:
                        # More may wait behind this batch.
                        self._nudged.add(place)
                    case StepKind.FENCE:
                        await self._fence.ensure(place)
                    case StepKind.GAP:
                        _log.error("the outbox has a gap", activity=place.activity_id, epoch=step.epoch)
                        await self._fence.ensure(place, gap_in=step.epoch)
            except Unavailable as error:
                _log.warning("wins wait for a store", activity=place.activity_id, text=error.text)
                return 0
            except OverflowError:
                return 0
            return step.persisted


class Trimmer:
    """Trims outboxes of what was committed `after_s` seconds ago: MySQL may lose a commit, and Redis has it then."""

    def __init__(self, *, mysql: MySQL, sale: Sale, after_s: int) -> None:
        self._mysql = mysql
        self._sale = sale
        self._after_s = after_s

    async def run_once(self) -> int:
        """Outbox entries removed. What is trimmed is a mark that was set `after_s` ago; then a new mark is set."""
        removed = 0
        for row in await activities_store.select_unsettled(self._mysql):
            place = Place(row["activity_id"], row["bucket"])
            progress = await store.select_progress(self._mysql, place)
            if progress is None or (progress["now"] - progress["marked_at"]).total_seconds() < self._after_s:
                continue
            try:
                removed += await self._sale.trim(
                    place,
                    epoch=progress["epoch"],
                    mark_epoch=progress["mark_epoch"],
                    mark_number=progress["mark_number"],
                )
            except Unavailable as error:
                _log.warning("an outbox is trimmed later", activity=place.activity_id, text=error.text)
                continue
            await self._mysql.run(lambda tx, place=place: self._mark(tx, place))  # type: ignore[misc]
        return removed

    async def _mark(self, tx: Tx, place: Place) -> None:
        if await store.try_lock_progress(tx, place) is not None:
            await store.set_mark(tx, place)
