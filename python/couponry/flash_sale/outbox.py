"""From the outbox to MySQL, exactly once: the cursor moves in the transaction that writes the rows.

Any number of processes may do this at once. Whoever finds that Redis tells another history, or that numbers are
missing, asks for a fence pass.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import structlog

from couponry._core import Wins
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wins import Taken, take
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Outbox", "Step", "StepKind"]

_log = structlog.get_logger(__name__)


class StepKind(Enum):
    """How one step of persisting ended."""

    PERSISTED = auto()
    DRAINED = auto()
    # Somebody else holds the row or was quicker.
    BUSY = auto()
    FENCE = auto()
    GAP = auto()
    # No such activity, or it is settled.
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """`persisted`: wins that have a row now; `epoch`: of the row when the step was taken."""

    kind: StepKind
    epoch: int = 0
    persisted: int = 0


_BATCHES_AT_ONCE: Final = 1000


class Outbox:
    """The outbox's way into MySQL. `batch`: wins a transaction."""

    def __init__(self, *, mysql: MySQL, sale: Sale, batch: int) -> None:
        self._mysql = mysql
        self._sale = sale
        self._batch = batch

    async def drain(self, place: Place) -> int:
        """Persists until nothing is left, or a fence pass or somebody else must act first; wins persisted."""
        persisted = 0
        for _ in range(_BATCHES_AT_ONCE):
            step = await self.step(place)
            persisted += step.persisted
            if step.kind is not StepKind.PERSISTED:
                break
        return persisted

    async def step(self, place: Place) -> Step:
        """Reads the stream first, then writes what was read in one short transaction."""
        row = await store.select_progress(self._mysql, place)
        if row is None:
            return Step(StepKind.OVER)
        epoch, cursor = row["epoch"], max(row["number"], row["base"])
        read = await self._sale.outbox(place, epoch=epoch, after=cursor, wanted=self._batch)
        if read is None or read.epoch != epoch:
            return Step(StepKind.FENCE, epoch)
        last = read.wins.last
        if last is None:
            return Step(StepKind.GAP if read.number > cursor else StepKind.DRAINED, epoch)
        if not read.wins.follow(cursor):
            return Step(StepKind.GAP, epoch)
        taken = await self._mysql.run(lambda tx: self._write(tx, place, row, read.wins, last))
        if taken is None:
            return Step(StepKind.BUSY, epoch)
        if taken.failed:
            _log.error("wins could not become coupons", activity=place.activity_id, failed=len(taken.failed))
            await self._sale.fail(place, epoch, taken.failed)
        return Step(StepKind.PERSISTED, epoch, taken.sold + len(taken.failed))

    async def _write(self, tx: Tx, place: Place, seen: Row, wins: Wins, last: int) -> Taken | None:
        row = await store.try_lock_progress(tx, place)
        if row is None or any(row[field] != seen[field] for field in ("epoch", "number", "base")):
            return None
        configuration = await activities_store.select_configuration(tx, place.activity_id)
        if configuration is None or configuration["state"] == activities_store.SETTLED:
            return None
        return await take(tx, place, row, configuration, wins, cursor=last, offered=False)
