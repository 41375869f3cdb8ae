"""A change of the stock of an activity with several buckets: each has a part in it.

An increase is split evenly. A decrease takes from each bucket what it has unsold, in rounds, because claims go on
meanwhile; where too little is left, everything comes back. The change is a row that is PENDING until then, and that
anyone may go on with; the parts are adjustments like any other.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Final

from couponry.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from couponry.flash_sale.adjuster import Adjuster
from couponry.flash_sale.fence import NUMBERS, Fence, needed
from couponry.flash_sale.messages import MAX_STOCK, split_stock
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place, State
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Closed", "Spreading", "check_numbers", "check_total", "look_at_all", "reserve"]

# Each round of a decrease ends with all of it, or with buckets that claims have emptied meanwhile.
_ROUNDS: Final = 100


class Closed(Exception):
    """A bucket needs a fence pass first; the transaction is given up."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Spreading:
    """Writes changes and goes on with them."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence, adjuster: Adjuster) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence
        self._adjuster = adjuster

    async def write(self, activity_id: int, adjustment_id: bytes, delta: int) -> None:
        """Writes the change, once. Raises as Adjustments.adjust_stock does."""
        await self._mysql.run(lambda tx: self._write(tx, activity_id, adjustment_id, delta))

    async def advance(self, activity_id: int, adjustment_id: bytes) -> Row | None:
        """Goes on until the change is finished; its row. Raises Unavailable."""
        for _ in range(_ROUNDS):
            for row in await store.select_all_progress(self._mysql, activity_id):
                await self._adjuster.apply(Place(activity_id, row["bucket"]))
            try:
                change = await self._mysql.run(lambda tx: self._step(tx, activity_id, adjustment_id))
            except Closed as closed:
                if not await self._fence.ensure(closed.place):
                    break
                continue
            if change is None or change["state"] != store.PENDING:
                if change is not None and change["state"] == store.REFUSED:
                    # What came back is sold again now, not with the next upkeep.
                    for row in await store.select_all_progress(self._mysql, activity_id):
                        await self._adjuster.apply(Place(activity_id, row["bucket"]))
                return change
        raise Unavailable("the adjustment is not applied yet", reason="NOT_READY")

    async def _write(self, tx: Tx, activity_id: int, adjustment_id: bytes, delta: int) -> None:
        rows = await store.lock_all_progress(tx, activity_id)
        activity = await activities_store.lock_activity(tx, activity_id)
        if not rows or activity is None:
            raise NotFound("no such activity")
        known = await store.select_change(tx, activity_id, adjustment_id)
        if known is not None:
            if known["delta"] != delta:
                raise InvalidArgument.of(
                    "adjustment_id", "was used before with another delta", reason="IDEMPOTENCY_MISMATCH"
                )
            return
        if activity["state"] != activities_store.OPEN or activity["end_at"] <= activity["now"]:
            raise FailedPrecondition("the activity is over", reason="ACTIVITY_ENDED")
        await store.insert_change(tx, activity_id, adjustment_id, delta)
        if delta < 0:
            return
        check_total(sum(row["total"] for row in rows) + delta)
        await reserve(tx, activity["template_id"], delta)
        for row, part in zip(rows, split_stock(delta, len(rows)), strict=True):
            if part:
                check_numbers(row, part)
                place = Place(activity_id, row["bucket"])
                await store.add_total(tx, place, part)
                await _insert(tx, place, store.STOCK, part, adjustment_id)

    async def _step(self, tx: Tx, activity_id: int, adjustment_id: bytes) -> Row | None:
        """The next round of a change whose parts are all applied; its row after it. Raises Closed."""
        rows = await store.lock_all_progress(tx, activity_id)
        change = await store.select_change(tx, activity_id, adjustment_id)
        if change is None or change["state"] != store.PENDING:
            return change
        parts = await store.select_parts(tx, activity_id, adjustment_id)
        if any(part["state"] == store.PENDING for part in parts):
            return change
        states = await look_at_all(tx, self._sale, activity_id, rows)
        lefts = {place: state.number("left") for place, state in states.items()}
        totals = sum(state.number("total") for state in states.values())
        if change["delta"] > 0:
            return await self._finish(tx, change, store.APPLIED, left=sum(lefts.values()), total=totals)
        taken: dict[Place, int] = {}
        for part in parts:
            place = Place(activity_id, part["bucket"])
            taken[place] = taken.get(place, 0) - part["applied"]
        missing = -change["delta"] - sum(taken.values())
        if missing == 0:
            activity = await activities_store.lock_activity(tx, activity_id)
            if activity is None:
                raise NotFound("no such activity")
            await activities_store.move_reserved(tx, activity["template_id"], reserved=change["delta"])
            return await self._finish(tx, change, store.APPLIED, left=sum(lefts.values()), total=totals)
        if sum(lefts.values()) < missing:
            return await self._give_back(tx, change, taken, lefts, totals)
        for place, share in _shares(lefts, missing).items():
            await _insert(tx, place, store.TAKE, -share, adjustment_id)
        return change

    async def _give_back(
        self, tx: Tx, change: Row, taken: Mapping[Place, int], lefts: Mapping[Place, int], totals: int
    ) -> Row:
        """More was sold than the decrease leaves: what it took comes back to where it was."""
        for place, units in taken.items():
            if units:
                await store.add_total(tx, place, units)
                await _insert(tx, place, store.ARRIVAL, units, None)
        back = sum(taken.values())
        return await self._finish(tx, change, store.REFUSED, left=sum(lefts.values()) + back, total=totals + back)

    @staticmethod
    async def _finish(tx: Tx, change: Row, state: int, *, left: int, total: int) -> Row:
        await store.finish_change(tx, change, state=state, left=left, total=total)
        return {**change, "state": state, "left_after": left, "total_after": total}


async def look_at_all(tx: Tx, sale: Sale, activity_id: int, rows: Sequence[Row]) -> dict[Place, State]:
    """m of every bucket, whose rows the caller holds: nothing but claims changes them meanwhile. Raises Closed."""
    states: dict[Place, State] = {}
    for row in rows:
        place = Place(activity_id, row["bucket"])
        states[place] = await sale.look(place)
        if await needed(tx, place, row["epoch"], states[place]):
            raise Closed(place)
    return states


def check_total(total: int) -> None:
    """An activity's stock has a limit."""
    if total > MAX_STOCK:
        raise InvalidArgument.of("delta", f"the stock would be {total}, and {MAX_STOCK} is the most")


def check_numbers(progress: Row, delta: int) -> None:
    """A fence pass leaves a gap as wide as the stock: sixteen passes must still fit after any increase."""
    if max(progress["number"], progress["base"]) + 17 * (progress["total"] + delta) >= NUMBERS:
        raise FailedPrecondition("the activity has too few win numbers left", reason="ADJUSTMENT_REFUSED")


async def reserve(tx: Tx, template_id: int, units: int) -> None:
    """Takes units out of the template. Raises FailedPrecondition / TOTAL_LIMIT with `left`."""
    template = await activities_store.lock_template(tx, template_id)
    left = template["total"] - template["issued"] - template["reserved"] if template else 0
    if units > left:
        raise FailedPrecondition("the template has less left than this", reason="TOTAL_LIMIT", metadata={"left": left})
    await activities_store.move_reserved(tx, template_id, reserved=units)


def _shares(lefts: Mapping[Place, int], units: int) -> dict[Place, int]:
    """How many of `units` each place gives: in proportion to what it has; the fullest give the rest."""
    available = sum(lefts.values())
    shares = {place: left * units // available for place, left in lefts.items()}
    rest = units - sum(shares.values())
    for place in sorted(lefts, key=lambda place: shares[place] - lefts[place]):
        more = min(rest, lefts[place] - shares[place])
        shares[place] += more
        rest -= more
    return {place: share for place, share in shares.items() if share}


async def _insert(tx: Tx, place: Place, kind: int, delta: int, part_of: bytes | None) -> None:
    await store.insert_adjustment(tx, place, nonce=secrets.token_bytes(16), kind=kind, delta=delta, part_of=part_of)
