"""Changing the stock of a running activity: restock, decrease, end. One by one, in the activity's own order.

An adjustment is written to MySQL first, as PENDING. Applying it is one transaction that holds the progress row
throughout: it reads the adjustment and the epoch, runs lua/adjust.lua, and writes what that answered. Whatever a crash
leaves PENDING is applied again, by anyone; Redis remembers the last result and gives it to a repeat.
"""

import secrets
from typing import Final

from couponry.errors import CouponryError, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from couponry.flash_sale.fence import NUMBERS, Fence
from couponry.flash_sale.messages import MAX_ACTIVITY_ID, MAX_STOCK
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Row, Tx
from couponry.v1 import flash_sale_pb2
from couponry.validation import Violations

__all__ = ["Adjustments"]

_ATTEMPTS: Final = 5


class _NotReady(Exception):
    """Redis needs a fence pass first; the transaction is given up."""


class Adjustments:
    """Writes adjustments and applies them."""

    def __init__(self, *, mysql: MySQL, sale: Sale, fence: Fence) -> None:
        self._mysql = mysql
        self._sale = sale
        self._fence = fence

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
        place = Place(request.activity_id)
        if request.activity_id > MAX_ACTIVITY_ID:
            raise NotFound("no such activity")
        number = await self._mysql.run(lambda tx: self._write(tx, place, request))
        await self.apply(place)
        row = await store.select_adjustment(self._mysql, place, number)
        if row is None or row["state"] == store.PENDING:
            raise Unavailable("the adjustment is not applied yet", reason="NOT_READY")
        if row["state"] == store.REFUSED:
            raise FailedPrecondition(
                "less than this is left unsold", reason="BELOW_ISSUED", metadata={"least": -max(0, row["left_after"])}
            )
        return flash_sale_pb2.AdjustStockResponse(total=row["total_after"], left=max(0, row["left_after"]))

    async def apply(self, place: Place) -> int:
        """Applies everything that is PENDING, in order; how many were finished.

        Raises Unavailable where Redis does not answer or changes too fast.
        """
        finished = 0
        not_ready = 0
        while not_ready < _ATTEMPTS:
            try:
                if not await self._mysql.run(lambda tx: self._apply_first(tx, place)):
                    return finished
                finished += 1
            except _NotReady:
                not_ready += 1
                if not await self._fence.ensure(place):
                    return finished
        raise Unavailable("the activity is being opened", reason="NOT_READY")

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
            await self._raise_total(tx, place, progress, activity, request.delta)
        return await store.insert_adjustment(
            tx,
            place,
            nonce=secrets.token_bytes(16),
            adjustment_id=request.adjustment_id,
            kind=store.STOCK,
            delta=request.delta,
        )

    async def _raise_total(self, tx: Tx, place: Place, progress: Row, activity: Row, delta: int) -> None:
        """An increase raises MySQL's total before Redis's, and comes out of the template."""
        total = progress["total"] + delta
        if total > MAX_STOCK:
            raise InvalidArgument.of("delta", f"the stock would be {total}, and {MAX_STOCK} is the most")
        # A fence pass leaves a gap as wide as the stock: sixteen passes must still fit after any restock.
        if max(progress["number"], progress["base"]) + 17 * total >= NUMBERS:
            raise FailedPrecondition("the activity has too few win numbers left", reason="ADJUSTMENT_REFUSED")
        template = await activities_store.lock_template(tx, activity["template_id"])
        left = template["total"] - template["issued"] - template["reserved"] if template else 0
        if delta > left:
            raise FailedPrecondition(
                "the template has less left than this", reason="TOTAL_LIMIT", metadata={"left": left}
            )
        await activities_store.move_reserved(tx, activity["template_id"], reserved=delta)
        await store.add_total(tx, place, delta)

    async def _apply_first(self, tx: Tx, place: Place) -> bool:
        progress = await store.lock_progress(tx, place)
        pending = await store.first_pending(tx, place) if progress else None
        if progress is None or pending is None:
            return False
        number = pending["place"]
        before = await store.select_adjustment(tx, place, number - 1) if number > 1 else None
        adjusted = await self._sale.adjust(
            place,
            epoch=progress["epoch"],
            number=number,
            before=before["nonce"].hex() if before else "",
            nonce=pending["nonce"].hex(),
            kind="end" if pending["kind"] == store.END else "stock",
            delta=pending["delta"],
        )
        if adjusted is None:
            raise _NotReady
        await store.finish_adjustment(
            tx,
            place,
            number,
            state=store.APPLIED if adjusted.applied else store.REFUSED,
            applied=adjusted.delta,
            left=adjusted.left,
            total=adjusted.total,
        )
        if adjusted.delta < 0:
            # What Redis gave up goes back to the template.
            configuration = await activities_store.select_configuration(tx, place.activity_id)
            if configuration is None:
                raise CouponryError("an activity without its template")
            ended = -adjusted.delta if pending["kind"] == store.END else 0
            await store.add_total(tx, place, adjusted.delta, returned=ended)
            await activities_store.move_reserved(tx, configuration["template_id"], reserved=adjusted.delta)
        return True
