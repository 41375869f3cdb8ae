"""Answers at ack = MYSQL: a win is told when its own row has been read back.

Wins that wait are looked up together after each step of persisting; what another process commits is found by looking
again after a short while.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from couponry.errors import Unavailable
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL

__all__ = ["Rows"]

_LOOK_AGAIN_S: Final = 0.02


@dataclass(eq=False, slots=True)
class _Waiter:
    coupon_id: int
    user: bytes
    answer: asyncio.Future[bool]


class Rows:
    """Waits for rows of wins, and persists them itself rather than wait for the job."""

    def __init__(self, *, mysql: MySQL, outbox: Outbox, patience_s: float = 10) -> None:
        self._mysql = mysql
        self._outbox = outbox
        self._patience_s = patience_s
        self._waiting: dict[Place, list[_Waiter]] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    async def persisted(self, place: Place, number: int, user: bytes) -> bool:
        """Returns when the win's row is in MySQL: True for a coupon, False for a FAILED record.

        Raises Unavailable / PENDING where that takes too long: a repeat of the request asks again.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(place.coupon_id(number), user, loop.create_future())
        self._waiting.setdefault(place, []).append(waiter)
        if place not in self._tasks:
            self._tasks[place] = loop.create_task(self._look(place))
        try:
            async with asyncio.timeout(self._patience_s):
                return await waiter.answer
        except TimeoutError:
            raise Unavailable("the win is not in the database yet", reason="PENDING") from None

    async def close(self) -> None:
        """Ends the waiting."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, place: Place) -> None:
        waiting = self._waiting[place]
        try:
            while waiting:
                step = await self._outbox.step(place)
                found = await store.select_persisted(self._mysql, [waiter.coupon_id for waiter in waiting])
                for waiter in waiting:
                    failed = found.get((waiter.coupon_id, waiter.user))
                    if failed is not None and not waiter.answer.done():
                        waiter.answer.set_result(not failed)
                # Also those whose callers have gone.
                waiting[:] = [waiter for waiter in waiting if not waiter.answer.done()]
                if waiting and step.persisted == 0:
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except BaseException as error:
            for waiter in waiting:
                if not waiter.answer.done():
                    waiter.answer.set_exception(
                        error if isinstance(error, Exception) else Unavailable("draining", reason="DRAINING")
                    )
            if not isinstance(error, Exception):
                raise
        finally:
            del self._tasks[place], self._waiting[place]
