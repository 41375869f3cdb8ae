"""A win that a transaction held is cancelled: its unit and its user's place come back, once.

MySQL says so first: the record becomes CANCELLED, `sold` falls, and an adjustment is written that gives the unit back
in Redis, as any increase. So MySQL always has at least the room that Redis sells. The win keeps its number, and its
request id answers CANCELLED from then on.
"""

import secrets
from typing import Final

from couponry.errors import FailedPrecondition, NotFound
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL, Tx

__all__ = ["Cancelling"]

_ATTEMPTS: Final = 3


class Cancelling:
    """Cancels wins of kind TRIED."""

    def __init__(self, *, mysql: MySQL, outbox: Outbox, adjustments: Adjustments) -> None:
        self._mysql = mysql
        self._outbox = outbox
        self._adjustments = adjustments

    async def cancel(self, place: Place, user: bytes, request_hash: bytes) -> int:
        """Returns when claims follow it; the coupon id that nobody gets. A repeat answers the same and changes nothing.

        Raises NotFound where the request has no win; FailedPrecondition where the win is a coupon already, or failed;
        Unavailable where a store does not answer: it is cancelled then or not, and a repeat brings it about.
        """
        for _ in range(_ATTEMPTS):
            # A win of a moment ago is a row only now.
            await self._outbox.drain(place)
            coupon_id = await self._mysql.run(lambda tx: self._write(tx, place, user, request_hash))
            if coupon_id is not None:
                await self._adjustments.apply(place)
                return coupon_id
        raise NotFound("no such win")

    async def _write(self, tx: Tx, place: Place, user: bytes, request_hash: bytes) -> int | None:
        if await store.lock_progress(tx, place) is None:
            raise NotFound("no such activity")
        wins = {row["state"]: row for row in await store.lock_win(tx, place, user, request_hash)}
        tried = wins.get(store.TRIED)
        if tried is not None:
            await store.cancel_record(tx, place, tried)
            await store.insert_adjustment(
                tx, place, nonce=secrets.token_bytes(16), kind=store.CANCEL, delta=1, win=tried
            )
            return int(tried["coupon_id"])
        if store.CANCELLED in wins:
            return int(wins[store.CANCELLED]["coupon_id"])
        known = await store.select_win(tx, place.activity_id, user, request_hash)
        if known is None:
            return None
        if known["record"] == store.FAILED:
            raise FailedPrecondition("the win failed, there is nothing to cancel", reason="ADJUSTMENT_REFUSED")
        raise FailedPrecondition("the win is a coupon already", reason="ADJUSTMENT_REFUSED")
