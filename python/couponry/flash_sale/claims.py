"""Claims go to Redis in batches: those that arrive in one loop tick travel in one script.

Every verdict comes from Redis: a SOLD_OUT remembered here could lie after a restock, or to a repeat. Under light load a
claim leaves in its own tick; no timer waits. A caller that goes away leaves its claim in the batch: its win is found by
repeating the request.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from couponry.errors import CouponryError, Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import WON, Place

__all__ = [
    "VERDICT_CANCELLED",
    "VERDICT_EMPTY",
    "VERDICT_ENDED",
    "VERDICT_FAILED",
    "VERDICT_LIMIT_REACHED",
    "VERDICT_NOT_STARTED",
    "VERDICT_PAUSED",
    "VERDICT_SOLD_OUT",
    "Claims",
    "Settled",
    "Verdict",
]

_PASSES: Final = 3

# Of lua/claim.lua.
VERDICT_NOT_STARTED = -1
VERDICT_ENDED = -2
VERDICT_SOLD_OUT = -3
VERDICT_LIMIT_REACHED = -4
VERDICT_PAUSED = -5
VERDICT_CANCELLED = -6
VERDICT_FAILED = -7
# Of several buckets: this one has nothing left, another one may.
VERDICT_EMPTY = -8


class Settled(Exception):
    """The activity is settled: MySQL answers for it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What Redis decided about one claim: the number of its win, or one of the constants above."""

    number: int
    left: int
    now_ms: int
    start_ms: int


@dataclass(eq=False, slots=True)
class _Claim:
    user: bytes
    request_hash: bytes
    answer: asyncio.Future[Verdict]


@dataclass(slots=True)
class _Lane:
    """The claims of one bucket that wait, and how many scripts are under way."""

    place: Place
    waiting: deque[_Claim] = field(default_factory=deque)
    in_flight: int = 0
    scheduled: bool = False


class Claims:
    """`per_script` claims a script at most, `in_flight` scripts a bucket at most."""

    def __init__(self, *, sale: Sale, fence: Fence, per_script: int, in_flight: int, retry_after_s: float) -> None:
        self._sale = sale
        self._fence = fence
        self._per_script = per_script
        self._in_flight = in_flight
        self._retry_after_s = retry_after_s
        self._lanes: dict[Place, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def claim(self, place: Place, user: bytes, request_hash: bytes) -> Verdict:
        """Raises Settled, or Unavailable where the activity could not be opened or Redis did not answer.

        A claim that met a Redis which nobody has opened waits for a fence pass, within its caller's deadline.
        """
        loop = asyncio.get_running_loop()
        claim = _Claim(user, request_hash, loop.create_future())
        lane = self._lanes.get(place)
        if lane is None:
            lane = self._lanes[place] = _Lane(place)
        lane.waiting.append(claim)
        if not lane.scheduled and lane.in_flight < self._in_flight:
            lane.scheduled = True
            loop.call_soon(self._depart, lane)
        return await claim.answer

    async def close(self) -> None:
        """Waits for the scripts under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _depart(self, lane: _Lane) -> None:
        lane.scheduled = False
        while lane.waiting and lane.in_flight < self._in_flight:
            batch = [lane.waiting.popleft() for _ in range(min(self._per_script, len(lane.waiting)))]
            lane.in_flight += 1
            task = asyncio.get_running_loop().create_task(self._run(lane, batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not lane.waiting and lane.in_flight == 0:
            self._lanes.pop(lane.place, None)

    async def _run(self, lane: _Lane, batch: list[_Claim]) -> None:
        try:
            await self._decide(lane.place, batch)
        except BaseException as error:
            known = isinstance(error, (CouponryError, Settled))
            told = error if known else Unavailable("the claim could not be decided")
            for claim in batch:
                if not claim.answer.done():
                    claim.answer.set_exception(told)
            if not known:
                raise
        finally:
            lane.in_flight -= 1
            self._depart(lane)

    async def _decide(self, place: Place, batch: list[_Claim]) -> None:
        claims = [(claim.user, claim.request_hash) for claim in batch]
        claimed = await self._sale.claim(place, WON, claims)
        # More than one pass is rare: another instance may have closed the activity again meanwhile.
        for _ in range(_PASSES):
            if claimed is not None:
                break
            if not await self._fence.ensure(place):
                raise Settled
            claimed = await self._sale.claim(place, WON, claims)
        if claimed is None:
            raise Unavailable("the activity is being opened", reason="NOT_READY", retry_after_s=self._retry_after_s)
        for claim, number in zip(batch, claimed.verdicts, strict=True):
            if not claim.answer.done():
                claim.answer.set_result(Verdict(number, claimed.left, claimed.now_ms, claimed.start_ms))
