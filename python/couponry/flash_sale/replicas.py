"""Answers at ack = REPLICA: a win is told when the configured number of replicas have it.

Wins of an activity that wait are confirmed together: one script that looks them up and writes, and a WAIT behind it on
the same connection. A repeat waits like the first time. Where too few replicas follow, the win stays and is found by
repeating.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from couponry.errors import Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import TRIED, WON, Place

__all__ = ["Replicas", "Told"]

_WINS_A_SCRIPT: Final = 256
_PASSES: Final = 3
_LIVE: Final = frozenset({WON, TRIED})


@dataclass(frozen=True, slots=True)
class Told:
    """A win as claim.lua told it."""

    user: bytes
    request_hash: bytes
    number: int


@dataclass(eq=False, slots=True)
class _Waiter:
    win: Told
    answer: asyncio.Future[bool]


class Replicas:
    """Waits for `count` replicas, `timeout_ms` at most."""

    def __init__(self, *, sale: Sale, fence: Fence, count: int, timeout_ms: int, retry_after_s: float) -> None:
        self._sale = sale
        self._fence = fence
        self._count = count
        self._timeout_ms = timeout_ms
        self._retry_after_s = retry_after_s
        self._waiting: dict[Place, list[_Waiter]] = {}
        self._tasks: dict[Place, asyncio.Task[None]] = {}

    async def reached(self, place: Place, win: Told) -> bool:
        """Returns when enough replicas have the win: True; False: it is a win no more, it failed or was cancelled.

        Raises Unavailable where that takes too long or Redis has lost the win: a repeat of the request asks again.
        """
        loop = asyncio.get_running_loop()
        waiter = _Waiter(win, loop.create_future())
        self._waiting.setdefault(place, []).append(waiter)
        if place not in self._tasks:
            self._tasks[place] = loop.create_task(self._work(place))
        return await waiter.answer

    async def confirm(self, place: Place, wins: Sequence[Told]) -> list[bool | None]:
        """The same for a whole batch of at most 256, with one WAIT; None: this Redis does not have the win (any more).

        Raises Unavailable where too few replicas follow in time.
        """
        for _ in range(_PASSES):
            confirmed = await self._sale.confirm(
                place,
                [(win.user, win.request_hash, win.number) for win in wins],
                replicas=self._count,
                timeout_ms=self._timeout_ms,
            )
            if confirmed is not None:
                break
            if not await self._fence.ensure(place):
                raise self._unavailable("the activity is being settled")
        else:
            raise self._unavailable("the activity is being opened", reason="NOT_READY")
        if confirmed.replicas < self._count:
            raise self._unavailable("the win has not reached enough replicas yet", reason="PENDING")
        return [state in _LIVE if state else None for state in confirmed.states]

    async def close(self) -> None:
        """Waits for the scripts under way."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _unavailable(self, text: str, reason: str | None = None) -> Unavailable:
        return Unavailable(text, reason=reason, retry_after_s=self._retry_after_s)

    async def _work(self, place: Place) -> None:
        waiting = self._waiting[place]
        try:
            while waiting:
                batch = waiting[:_WINS_A_SCRIPT]
                del waiting[:_WINS_A_SCRIPT]
                await self._answer(place, batch)
        finally:
            del self._tasks[place], self._waiting[place]

    async def _answer(self, place: Place, batch: list[_Waiter]) -> None:
        try:
            confirmed = await self.confirm(place, [waiter.win for waiter in batch])
        except BaseException as error:
            told = error if isinstance(error, Unavailable) else self._unavailable("the win could not be confirmed")
            for waiter in batch:
                if not waiter.answer.done():
                    waiter.answer.set_exception(told)
            if not isinstance(error, Unavailable):
                raise
            return
        for waiter, live in zip(batch, confirmed, strict=True):
            if waiter.answer.done():
                continue
            if live is None:
                waiter.answer.set_exception(self._unavailable("the win was lost with its server", reason="NOT_READY"))
            else:
                waiter.answer.set_result(live)
