"""Applies the adjustments of a bucket one by one, in the bucket's own order.

Applying one is one transaction that holds the progress row throughout: it reads the adjustment and the epoch, runs
lua/adjust.lua, and writes what that answered. Whatever a crash leaves PENDING is applied again, by anyone; Redis
remembers the last result and gives it to a repeat.
"""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Final

from couponry.clock import from_sql, to_ms
from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.sale import Adjusted, CancelledWin, Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx

__all__ = ["Adjuster"]

_ATTEMPTS: Final = 5
# What lua/adjust.lua calls them.
_SCRIPT_KINDS: Final = {
    store.STOCK: "stock",
    store.END: "end",
    store.CANCEL: "cancel",
    store.MOVE: "take",
    store.ARRIVAL: "stock",
    store.TAKE: "take",
}


class _NotReady(Exception):
    """Redis needs a fence pass first; the transaction is given up."""


class _Overtaken(Exception):
    """Somebody else applied it, and the next one needs other rows; the transaction is given up."""


class Adjuster:
    """Applies what is PENDING."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence

    async def apply(self, place: Place) -> int:
        """Applies everything that is PENDING in a bucket, in order; how many were finished.

        Raises Unavailable where Redis does not answer or changes too fast.
        """
        finished = 0
        not_ready = 0
        while not_ready < _ATTEMPTS:
            # Read without a lock, to know which rows to hold.
            pending = await store.first_pending(self._mysql, place)
            if pending is None:
                return finished
            try:
                await self._mysql.run(lambda tx, pending=pending: self._apply(tx, place, pending))  # type: ignore[misc]
                finished += 1
            except _Overtaken:
                continue
            except _NotReady:
                not_ready += 1
                if not await self._fence.ensure(place):
                    return finished
        raise Unavailable("the activity is being opened", reason="NOT_READY")

    async def _apply(self, tx: Tx, place: Place, seen: Row) -> None:
        target = None if seen["target"] is None else Place(place.activity_id, seen["target"])
        # Rows are locked in the order of their buckets.
        rows = {each: await store.lock_progress(tx, each) for each in sorted({place, target or place})}
        pending = await store.first_pending(tx, place)
        configuration = await activities_store.select_configuration(tx, place.activity_id)
        progress = rows[place]
        if progress is None or configuration is None:
            raise NotFound("no such activity")
        if pending is None or pending["nonce"] != seen["nonce"]:
            raise _Overtaken
        if configuration["buckets"] > 1 and pending["kind"] in {store.STOCK, store.CANCEL} and pending["delta"] > 0:
            # From now on an empty bucket is not a sold-out activity. What is moved was in some bucket all the time.
            await self.share(place.activity_id, configuration["buckets"])
        adjusted = await self._run(tx, place, progress, pending)
        if adjusted is None:
            raise _NotReady
        await store.finish_adjustment(
            tx,
            place,
            pending["place"],
            state=store.APPLIED if adjusted.applied else store.REFUSED,
            applied=adjusted.delta,
            left=adjusted.left,
            total=adjusted.total,
        )
        if adjusted.delta < 0:
            await self._give_up(tx, pending, -adjusted.delta, configuration)

    async def share(self, activity_id: int, buckets: int) -> None:
        """Tells every bucket that others may have stock. One that nobody has opened learns it from its fence pass."""
        places: Sequence[Place] = [Place(activity_id, bucket) for bucket in range(buckets)]
        await asyncio.gather(*(self._sale.share(place, elsewhere=True) for place in places))

    async def _run(self, tx: Tx, place: Place, progress: Row, pending: Row) -> Adjusted | None:
        number = pending["place"]
        before = await store.select_adjustment(tx, place, number - 1) if number > 1 else None
        win = None
        if pending["kind"] == store.CANCEL:
            win = CancelledWin(
                user=pending["user_id"],
                request_hash=pending["request_hash"],
                number=pending["win_number"],
                claimed_ms=to_ms(from_sql(pending["claimed_at"])),
            )
        return await self._sale.adjust(
            place,
            epoch=progress["epoch"],
            number=number,
            before=before["nonce"].hex() if before else "",
            nonce=pending["nonce"].hex(),
            kind=_SCRIPT_KINDS[pending["kind"]],
            delta=pending["delta"],
            win=win,
        )

    async def _give_up(self, tx: Tx, pending: Row, units: int, configuration: Row) -> None:
        """What Redis gave up leaves the bucket's total: for the template, for another bucket, for a change of all."""
        kind, place = pending["kind"], Place(pending["activity_id"], pending["bucket"])
        await store.add_total(tx, place, -units, returned=units if kind == store.END else 0)
        if kind in {store.STOCK, store.END}:
            await activities_store.move_reserved(tx, configuration["template_id"], reserved=-units)
        elif kind == store.MOVE:
            # In the same commit, so that stock is never in no bucket and never in two.
            target = Place(place.activity_id, pending["target"])
            await store.add_total(tx, target, units)
            await store.insert_adjustment(tx, target, nonce=secrets.token_bytes(16), kind=store.ARRIVAL, delta=units)
