"""Answers at ack = MYSQL: a win is told when its own row has been read back.

The wins of a batch wait as one. All that wait are looked up together after each step of persisting; what another
process commits is found by looking again after a short while.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from couponry.errors import Unavailable
from couponry.flash_sale.outbox import Outbox
from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL

__all__ = ["Rows"]

_LOOK_AGAIN_S: Final = 0.02
_LOOKED_UP_AT_ONCE: Final = 2000

_Win = tuple[int, bytes]


@dataclass(eq=False, slots=True)
class _Waiter:
    """The wins of one batch as (coupon id, user), and of those that were found whether they are coupons."""

    missing: set[_Win]
    answer: asyncio.Future[None]
    found: dict[_Win, bool] = field(default_factory=dict)


class Rows:
    """Waits for rows of wins, and persists them itself rather than wait for the job."""

    def __init__(self, *, mysql: MySQL, outbox: Outbox, patience_s: float = 10) -> None:
        self._mysql = mysql
        self._outbox = outbox
        self._patience_s = patience_s
        self._waiting: dict[Place, list[_Waiter]] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    async def persisted(self, place: Place, wins: Sequence[_Win]) -> list[bool | None]:
        """For each (number, user), once its row is in MySQL: True for a coupon, False for a FAILED record. None where
        that takes too long. Raises Unavailable where a store does not answer.
        """
        loop = asyncio.get_running_loop()
        asked = [(place.coupon_id(number), user) for number, user in wins]
        waiter = _Waiter(set(asked), loop.create_future())
        self._waiting.setdefault(place, []).append(waiter)
        if place not in self._tasks:
            self._tasks[place] = loop.create_task(self._look(place))
        try:
            async with asyncio.timeout(self._patience_s):
                await waiter.answer
        except TimeoutError:
            pass
        return [waiter.found.get(win) for win in asked]

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
                # Those whose callers have gone, or lost patience, are over, too.
                waiting[:] = [waiter for waiter in waiting if not waiter.answer.done()]
                await self._look_up(waiting)
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

    async def _look_up(self, waiters: Sequence[_Waiter]) -> None:
        """Answers the waiters whose wins are all found."""
        waiters = tuple(waiters)
        ids = sorted({coupon_id for waiter in waiters for coupon_id, _ in waiter.missing})
        found: dict[_Win, bool] = {}
        for at in range(0, len(ids), _LOOKED_UP_AT_ONCE):
            found |= await store.select_persisted(self._mysql, ids[at : at + _LOOKED_UP_AT_ONCE])
        for waiter in waiters:
            here = waiter.missing & found.keys()
            waiter.found.update((win, not found[win]) for win in here)
            waiter.missing -= here
            if not waiter.missing and not waiter.answer.done():
                waiter.answer.set_result(None)
