"""Ids that Couponry makes: int64 below 2^53, known before the insert, handed out in blocks of the id_blocks table.

An id that was handed out and never used leaves a gap; none is handed out twice.
"""

import asyncio
from typing import Final

from couponry.store.mysql import MySQL

__all__ = ["ACTIVITY", "COUPON", "TEMPLATE", "Ids", "flash_sale_coupon_id", "split_flash_sale_coupon_id"]

TEMPLATE: Final = "template"
COUPON: Final = "coupon"
# Activity ids stay below 2^20, because a flash-sale coupon's id holds one: no block is wasted on them.
ACTIVITY: Final = "activity"
_BLOCK: Final = {TEMPLATE: 16, COUPON: 1024, ACTIVITY: 1}
_LIMIT: Final = {TEMPLATE: 2**52, COUPON: 2**52, ACTIVITY: 2**20}

_TAKE_BLOCK: Final = "UPDATE id_blocks SET next_id = LAST_INSERT_ID(next_id) + %s WHERE name = %s"


def flash_sale_coupon_id(activity_id: int, bucket: int, number: int) -> int:
    """2^52 + activity_id * 2^32 + bucket * 2^28 + win number: the winner is told it with the claim's answer."""
    return (1 << 52) + (activity_id << 32) + (bucket << 28) + number


def split_flash_sale_coupon_id(coupon_id: int) -> tuple[int, int, int] | None:
    """(activity_id, bucket, number) of a flash-sale coupon's id; None for other ids."""
    if not 1 << 52 <= coupon_id < 1 << 53:
        return None
    rest = coupon_id - (1 << 52)
    return rest >> 32, (rest >> 28) & 0xF, rest & 0xFFF_FFFF


class Ids:
    """Hands out ids; one round trip a block."""

    def __init__(self, mysql: MySQL) -> None:
        self._mysql = mysql
        self._left: dict[str, range] = dict.fromkeys(_BLOCK, range(0))
        self._lock = asyncio.Lock()

    async def take(self, name: str, count: int = 1) -> list[int]:
        """`count` new ids of the given name, ascending."""
        async with self._lock:
            left = self._left[name]
            taken = list(left[:count])
            left = left[count:]
            if len(taken) < count:
                missing = count - len(taken)
                size = -(-missing // _BLOCK[name]) * _BLOCK[name]
                async with self._mysql.transaction() as tx:
                    first = await tx.insert_id(_TAKE_BLOCK, (size, name))
                if first == 0 or first + size > _LIMIT[name]:
                    raise OverflowError(f"no {name} ids are left")
                block = range(first, first + size)
                taken += block[:missing]
                left = block[missing:]
            self._left[name] = left
            return taken
