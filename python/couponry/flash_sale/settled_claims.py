"""Claims on an activity that is settled: MySQL answers, and only requests that have won get anything but ENDED."""

import asyncio
from collections.abc import Sequence
from typing import Final

from couponry.coupons.codes import Codes
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2

__all__ = ["SettledClaims"]

# Look-ups of one batch under way: the pool has other users.
_AT_ONCE: Final = 4

_RECORD_STATUS: Final = {
    0: flash_sale_pb2.PARTICIPATE_STATUS_WON,
    store.TRIED: flash_sale_pb2.PARTICIPATE_STATUS_WON,
    store.CANCELLED: flash_sale_pb2.PARTICIPATE_STATUS_CANCELLED,
    store.FAILED: flash_sale_pb2.PARTICIPATE_STATUS_FAILED,
}


class SettledClaims:
    """Finds wins by user and request."""

    def __init__(self, *, mysql: MySQL, codes: Codes) -> None:
        self._mysql = mysql
        self._codes = codes

    async def answers(self, activity_id: int, claims: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """A serialized ParticipateResponse for each (user, request hash)."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def answer(user: bytes, request_hash: bytes) -> bytes:
            async with gate:
                return await self._answer(activity_id, user, request_hash)

        return list(await asyncio.gather(*(answer(*claim) for claim in claims)))

    async def _answer(self, activity_id: int, user: bytes, request_hash: bytes) -> bytes:
        row = await store.select_win(self._mysql, activity_id, user, request_hash)
        status = _RECORD_STATUS[row["record"]] if row else flash_sale_pb2.PARTICIPATE_STATUS_ENDED
        response = flash_sale_pb2.ParticipateResponse(status=status)
        if row is not None and status == flash_sale_pb2.PARTICIPATE_STATUS_WON:
            response.coupon_id = row["coupon_id"]
            response.code = self._codes.encode(row["coupon_id"])
        return response.SerializeToString()
