"""Changing the stock of a running activity: AdjustStock, and whatever adjustments a crash left.

An adjustment is written to MySQL first, as PENDING; adjuster.py applies it. Of an activity with several buckets each
has a part in the change (spreading.py).
"""

import secrets

from couponry.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from couponry.flash_sale.adjuster import Adjuster
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.messages import MAX_ACTIVITY_ID, MAX_STOCK
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.spreading import Spreading, check_numbers, check_total, reserve
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["Adjustments"]


class Adjustments:
    """Writes adjustments and has them applied."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._adjuster = Adjuster(mysql=mysql, sale=sale, fence=fence)
        self._spreading = Spreading(mysql=mysql, sale=sale, fence=fence, adjuster=self._adjuster)

    async def adjust_stock(self, request: flash_sale_pb2.AdjustStockRequest) -> flash_sale_pb2.AdjustStockResponse:
        """Adds to the stock or takes unsold stock away; the same adjustment id gets the same answer.

        Raises FailedPrecondition: BELOW_ISSUED with `least`, TOTAL_LIMIT with `left` where the template has too little,
        ACTIVITY_ENDED. Raises Unavailable where Redis does not answer: a repeat, or the upkeep job, applies it then.
        """
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.between("delta", request.delta, -MAX_STOCK, MAX_STOCK)
        if request.delta == 0:
            violations.add("delta", "must not be 0")
        violations.shop_id("adjustment_id", request.adjustment_id)
        violations.raise_if_any()
        if request.activity_id > MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        rows = await activities_store.select_activities(self._mysql, [request.activity_id])
        if not rows:
            raise NotFound("no such activity")
        row = await (self._spread(request) if rows[0]["buckets"] > 1 else self._adjust_one(request))
        if row is None or row["state"] == store.PENDING:
            raise Unavailable("the adjustment is not applied yet", reason="NOT_READY")
        if row["state"] == store.REFUSED:
            raise FailedPrecondition(
                "less than this is left unsold", reason="BELOW_ISSUED", metadata={"least": -max(0, row["left_after"])}
            )
        return flash_sale_pb2.AdjustStockResponse(total=row["total_after"], left=max(0, row["left_after"]))

    async def apply(self, place: Place) -> int:
        """Applies everything that is PENDING in a bucket, in order; how many were finished. Raises Unavailable."""
        return await self._adjuster.apply(place)

    async def apply_all(self, activity_id: int) -> int:
        """The same for all buckets, and for the changes that they have parts in. Raises Unavailable."""
        finished = 0
        for row in await store.select_all_progress(self._mysql, activity_id):
            finished += await self._adjuster.apply(Place(activity_id, row["bucket"]))
        for change in await store.select_pending_changes_of(self._mysql, activity_id):
            await self._spreading.advance(activity_id, change["adjustment_id"])
            finished += 1
        return finished

    async def advance_changes(self) -> int:
        """Goes on with every change that somebody left half way. Raises Unavailable."""
        changes = await store.select_pending_changes(self._mysql)
        for change in changes:
            await self._spreading.advance(change["activity_id"], change["adjustment_id"])
        return len(changes)

    async def _spread(self, request: flash_sale_pb2.AdjustStockRequest) -> Row | None:
        await self._spreading.write(request.activity_id, request.adjustment_id.encode(), request.delta)
        return await self._spreading.advance(request.activity_id, request.adjustment_id.encode())

    async def _adjust_one(self, request: flash_sale_pb2.AdjustStockRequest) -> Row | None:
        place = Place(request.activity_id)
        number = await self._mysql.run(lambda tx: self._write(tx, place, request))
        await self.apply(place)
        return await store.select_adjustment(self._mysql, place, number)

    async def _write(self, tx: Tx, place: Place, request: flash_sale_pb2.AdjustStockRequest) -> int:
        progress = await store.lock_progress(tx, place)
        activity = await activities_store.lock_activity(tx, place.activity_id)
        if progress is None or activity is None:
            raise NotFound("no such activity")
        known = await store.find_adjustment(tx, place.activity_id, request.adjustment_id)
        if known is not None:
            if known["delta"] != request.delta:
                raise InvalidArgument.of(
                    "adjustment_id", "was used before with another delta", reason="IDEMPOTENCY_MISMATCH"
                )
            return int(known["place"])
        if activity["state"] != activities_store.OPEN or activity["end_at"] <= activity["now"]:
            raise FailedPrecondition("the activity is over", reason="ACTIVITY_ENDED")
        if request.delta > 0:
            check_total(progress["total"] + request.delta)
            check_numbers(progress, request.delta)
            await reserve(tx, activity["template_id"], request.delta)
            # An increase raises MySQL's total before Redis's.
            await store.add_total(tx, place, request.delta)
        return await store.insert_adjustment(
            tx,
            place,
            nonce=secrets.token_bytes(16),
            kind=store.STOCK,
            delta=request.delta,
            adjustment_id=request.adjustment_id,
        )
