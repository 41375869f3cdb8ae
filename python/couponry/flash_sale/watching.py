"""WatchStock: changes of an activity's stock as they come, at most one every `watch_interval_ms`.

One poll per activity and worker, however many watch it; it runs while somebody does. A watcher holds the newest value
and no other, so one that reads slowly skips what it missed and costs no memory.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import structlog

from couponry.errors import CouponryError, Unavailable
from couponry.flash_sale.stock import Seen, Stock, check_activity_id
from couponry.v1 import flash_sale_pb2

__all__ = ["Watching"]

_log = structlog.get_logger(__name__)

# A store that stays away this long ends the streams: their clients ask again, perhaps another instance.
_PATIENCE_S: Final = 10.0


class _Watcher:
    """The newest value that differs from what its stream was told last, or why there will be no more."""

    def __init__(self) -> None:
        self.newest: flash_sale_pb2.WatchStockResponse | None = None
        self.told: flash_sale_pb2.WatchStockResponse | None = None
        self.error: CouponryError | None = None
        self.news = asyncio.Event()
        self.over = asyncio.Event()

    def tell(self, value: flash_sale_pb2.WatchStockResponse) -> None:
        if self.told is not None and _same(value, self.told):
            # Whatever it was meanwhile, it is again what the stream knows.
            self.newest = None
            return
        self.newest = value
        self.news.set()

    def end(self, error: CouponryError | None) -> None:
        self.error = error
        self.over.set()
        self.news.set()

    def begin(self, value: flash_sale_pb2.WatchStockResponse) -> None:
        """The stream is told what it looked up itself; what a poll saw before is older."""
        self.told, self.newest = value, None

    async def take(self, not_before: float) -> flash_sale_pb2.WatchStockResponse | None:
        """The newest value, at that time of the loop at the earliest; None: there is no more."""
        while True:
            await self.news.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(not_before):
                    await self.over.wait()
            value, self.newest = self.newest, None
            if value is not None:
                self.told = value
                return value
            if self.over.is_set():
                return None
            self.news.clear()


class Watching:
    """The watchers of a worker."""

    def __init__(self, *, stock: Stock, interval_ms: int) -> None:
        self._stock = stock
        self._interval_s = interval_ms / 1000
        self._watchers: dict[int, set[_Watcher]] = {}
        self._polls: dict[int, asyncio.Task[None]] = {}
        self._draining = False

    @property
    def watchers(self) -> int:
        """Streams that are open."""
        return sum(len(each) for each in self._watchers.values())

    @property
    def polls(self) -> int:
        """Activities that are looked at."""
        return len(self._polls)

    async def watch(
        self, request: flash_sale_pb2.WatchStockRequest
    ) -> AsyncGenerator[flash_sale_pb2.WatchStockResponse, None]:
        """The stock as it is, then each change. Ends when the activity is settled, after its last value.

        Raises NotFound; Unavailable / DRAINING when this worker ends, and where a store stays away.
        """
        check_activity_id(request.activity_id)
        if self._draining:
            raise _draining()
        loop = asyncio.get_running_loop()
        # Watched before it is looked up, so that no change falls between the two.
        watcher = _Watcher()
        self._add(request.activity_id, watcher)
        try:
            first = await self._stock.look(request.activity_id)
            value: flash_sale_pb2.WatchStockResponse | None = _response(first)
            watcher.begin(_response(first))
            if first.settled:
                watcher.end(None)
            while value is not None:
                yield value
                value = await watcher.take(loop.time() + self._interval_s)
            if watcher.error is not None:
                raise watcher.error
        finally:
            self._watchers.get(request.activity_id, set()).discard(watcher)

    def _add(self, activity_id: int, watcher: _Watcher) -> None:
        if self._draining:
            watcher.end(_draining())
            return
        self._watchers.setdefault(activity_id, set()).add(watcher)
        if activity_id not in self._polls:
            self._polls[activity_id] = asyncio.get_running_loop().create_task(self._poll(activity_id))

    async def close(self) -> None:
        """Ends every stream: the clients are told to ask again elsewhere."""
        self._draining = True
        for watchers in self._watchers.values():
            self._end(watchers, _draining())
        polls = list(self._polls.values())
        for poll in polls:
            poll.cancel()
        await asyncio.gather(*polls, return_exceptions=True)

    async def _poll(self, activity_id: int) -> None:
        loop = asyncio.get_running_loop()
        watchers = self._watchers[activity_id]
        failing_since: float | None = None
        told: flash_sale_pb2.WatchStockResponse | None = None
        try:
            while watchers:
                next_at = loop.time() + self._interval_s
                try:
                    seen = await self._stock.look(activity_id)
                except CouponryError as error:
                    failing_since = failing_since or loop.time()
                    if not isinstance(error, Unavailable) or loop.time() - failing_since > _PATIENCE_S:
                        self._end(watchers, error)
                        return
                else:
                    failing_since = None
                    value = _response(seen)
                    told = told if told is not None and _same(value, told) else value
                    for watcher in watchers:
                        watcher.tell(told)
                    if seen.settled:
                        self._end(watchers, None)
                        return
                await asyncio.sleep(max(0.0, next_at - loop.time()))
        except Exception:  # noqa: BLE001 - whatever it is, the watchers must not wait for ever
            _log.exception("stock cannot be watched", activity=activity_id)
            self._end(watchers, CouponryError("internal error"))
        finally:
            del self._polls[activity_id]
            if not watchers:
                self._watchers.pop(activity_id, None)

    @staticmethod
    def _end(watchers: set[_Watcher], error: CouponryError | None) -> None:
        for watcher in watchers:
            watcher.end(error)
        watchers.clear()


def _draining() -> Unavailable:
    return Unavailable("the server is ending", reason="DRAINING")


def _response(seen: Seen) -> flash_sale_pb2.WatchStockResponse:
    stock = seen.stock
    return flash_sale_pb2.WatchStockResponse(left=stock.left, total=stock.total, sold=stock.sold, as_of=stock.as_of)


def _same(one: flash_sale_pb2.WatchStockResponse, other: flash_sale_pb2.WatchStockResponse) -> bool:
    return one is other or (one.left, one.total, one.sold) == (other.left, other.total, other.sold)
