"""Reads through three layers: L1 in the extension, L2 in Redis, L3 in MySQL.

Until the binlog tells the caches of every change, coherence rests on short lives: an entry lives at most half a second
in L1 and half a second in L2, so no answer is more than a second old; and on `forget`, which a local write calls after
its commit, so that this process reads its own writes.

Misses of one loop tick go out together: one MGET for all of them, then one loader call a kind for what is left.
"""

import asyncio
import random
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import structlog

from couponry._core import L1, Fill
from couponry.clock import Clock, to_ms
from couponry.errors import Unavailable
from couponry.store.redis import Redis

__all__ = ["LayerLives", "LayerStats", "Layers", "Loaded", "Loader"]

_log = structlog.get_logger(__name__)

_Key = tuple[str, str]

# An L2 value: when the entry ends (milliseconds since 1970), whether the row exists, then the payload.
_HEADER: Final = struct.Struct(">q?")
_NO_END: Final = 2**62
# How long Redis is left alone after it failed to answer.
_BREAK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader found under a key: the payload, and the time boundary at which it stops being right."""

    payload: bytes
    valid_through: datetime | None = None


Loader = Callable[[Sequence[str]], Awaitable[Mapping[str, Loaded]]]


@dataclass(frozen=True, slots=True)
class LayerLives:
    """How long entries live, in milliseconds; each is cut at random by up to `jitter_percent`."""

    l1_ms: int = 500
    l2_ms: int = 500
    absence_ms: int = 250
    jitter_percent: int = 20


@dataclass(slots=True)
class LayerStats:
    """Keys of one kind answered by each layer since the start, and calls of the loader.

    The front end reads L1 too, so what L1 answered is L1's own count.
    """

    l1: int = 0
    l2: int = 0
    l3: int = 0
    loader_calls: int = 0


@dataclass(eq=False, slots=True)
class _Flight:
    """One load of one key for any number of callers. A detached one still answers them, and stores nothing."""

    key: _Key
    answer: asyncio.Future[bytes | None]
    fill: Fill


class Layers:
    """The one way in which cached rows are read."""

    def __init__(self, *, l1: L1, redis: Redis, clock: Clock, lives: LayerLives) -> None:
        self._l1 = l1
        self._redis = redis
        self._clock = clock
        self._lives = lives
        self._loaders: dict[str, Loader] = {}
        self._stats: dict[str, LayerStats] = {}
        self._flights: dict[_Key, _Flight] = {}
        self._queued: list[_Flight] = []
        self._tasks: set[asyncio.Task[None]] = set()
        # Keys written here lately, with the loop time: L2 may hold what another process read before that.
        self._written: OrderedDict[_Key, float] = OrderedDict()
        self._redis_rests_until = 0.0

    def register(self, kind: str, loader: Loader) -> None:
        """Names the loader of a kind: it reads MySQL; a key that is not in its answer does not exist."""
        self._loaders[kind] = loader
        self._stats[kind] = LayerStats()

    def stats(self) -> dict[str, LayerStats]:
        """By kind, as of now."""
        held = self._l1.stats()
        return {
            kind: replace(stats, l1=held[kind]["hits"] + held[kind]["absent_hits"])
            for kind, stats in self._stats.items()
        }

    async def get(self, kind: str, key: str) -> bytes | None:
        """The payload, or None where the row does not exist. Raises Unavailable where no layer can answer."""
        payload = self._l1.get(kind, key)
        if payload is not None:
            return payload or (None if payload is False else b"")
        return await asyncio.shield(self._flight((kind, key)).answer)

    async def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """The payloads in the order of `keys`; all misses travel together."""
        return list(await asyncio.gather(*(self.get(kind, key) for key in keys)))

    async def forget(self, entries: Iterable[tuple[str, str]]) -> None:
        """Drops entries after a local commit: what this process reads from now on is not older than it."""
        dropped = list(entries)
        now = asyncio.get_running_loop().time()
        for kind, key in dropped:
            self._l1.changed(kind, key, 0, "written", 0)
            self._flights.pop((kind, key), None)
            self._written[(kind, key)] = now
            self._written.move_to_end((kind, key))
        if dropped and self._redis_answers():
            try:
                with self._redis.guarded():
                    await self._redis.client.delete(*(self._l2_key(entry) for entry in dropped))
            except Unavailable:
                self._rest_redis()

    async def close(self) -> None:
        """Waits for the loads under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flight(self, key: _Key) -> _Flight:
        flight = self._flights.get(key)
        if flight is None:
            loop = asyncio.get_running_loop()
            flight = _Flight(key, loop.create_future(), self._l1.begin(*key))
            # A flight whose callers have all gone away must not report its failure to nobody.
            flight.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
            self._flights[key] = flight
            if not self._queued:
                loop.call_soon(self._depart)
            self._queued.append(flight)
        return flight

    def _depart(self) -> None:
        flights, self._queued = self._queued, []
        task = asyncio.get_running_loop().create_task(self._land(flights))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _land(self, flights: list[_Flight]) -> None:
        missing = await self._ask_l2(flights)
        by_kind: dict[str, list[_Flight]] = {}
        for flight in missing:
            by_kind.setdefault(flight.key[0], []).append(flight)
        await asyncio.gather(*(self._ask_l3(kind, group) for kind, group in by_kind.items()))

    async def _ask_l2(self, flights: list[_Flight]) -> list[_Flight]:
        """Answers what L2 has; the flights that it could not answer."""
        self._forget_old_writes()
        asked = [flight for flight in flights if flight.key not in self._written] if self._redis_answers() else []
        if not asked:
            return flights
        try:
            with self._redis.guarded():
                values: list[Any] = await self._redis.client.mget([self._l2_key(flight.key) for flight in asked])
        except Unavailable:
            self._rest_redis()
            return flights
        now_ms = to_ms(self._clock())
        answered = set()
        for flight, value in zip(asked, values, strict=True):
            if value is None:
                continue
            end_ms, exists = _HEADER.unpack_from(value)
            if end_ms > now_ms:
                self._stats[flight.key[0]].l2 += 1
                self._settle(flight, value[_HEADER.size :] if exists else None, end_ms, None)
                answered.add(flight)
        return [flight for flight in flights if flight not in answered]

    async def _ask_l3(self, kind: str, flights: list[_Flight]) -> None:
        try:
            stats = self._stats[kind]
            stats.loader_calls += 1
            sent_ms = self._l1.now_ms
            stats.l3 += len(flights)
            found = await self._loaders[kind]([flight.key[1] for flight in flights])
        except BaseException as error:
            for flight in flights:
                self._leave(flight)
                if not flight.answer.done():
                    flight.answer.set_exception(error if isinstance(error, Exception) else Unavailable("draining"))
            if not isinstance(error, Exception):
                raise
            return
        fills: list[tuple[_Key, bytes | None, int]] = []
        for flight in flights:
            loaded = found.get(flight.key[1])
            end_ms = _NO_END
            if loaded is not None and loaded.valid_through is not None:
                end_ms = to_ms(loaded.valid_through)
            payload = None if loaded is None else loaded.payload
            if not flight.fill.detached:
                fills.append((flight.key, payload, end_ms))
            self._settle(flight, payload, end_ms, sent_ms)
        await self._fill_l2(fills)

    def _settle(self, flight: _Flight, payload: bytes | None, end_ms: int, sent_ms: int | None) -> None:
        """Answers the callers and fills L1."""
        self._leave(flight)
        if not flight.answer.done():
            flight.answer.set_result(payload)
        life_ms = self._life(self._lives.absence_ms if payload is None else self._lives.l1_ms)
        flight.fill.store(payload, [], life_ms=life_ms, valid_through_ms=end_ms, sent_ms=sent_ms, since_first=True)

    async def _fill_l2(self, fills: list[tuple[_Key, bytes | None, int]]) -> None:
        if not fills or not self._redis_answers():
            return
        now_ms = to_ms(self._clock())
        try:
            with self._redis.guarded():
                pipeline = self._redis.client.pipeline(transaction=False)
                for key, payload, end_ms in fills:
                    longest = self._lives.absence_ms if payload is None else self._lives.l2_ms
                    life_ms = min(end_ms - now_ms, self._life(longest))
                    if life_ms > 0:
                        value = _HEADER.pack(end_ms, payload is not None) + (payload or b"")
                        # On a pipeline the call only queues the command.
                        _ = pipeline.set(self._l2_key(key), value, px=life_ms)
                await pipeline.execute()
        except Unavailable:
            self._rest_redis()

    def _leave(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _life(self, longest_ms: int) -> int:
        cut = longest_ms * self._lives.jitter_percent // 100
        return longest_ms - random.randint(0, cut)  # noqa: S311 - spreads ends, guards nothing

    def _l2_key(self, key: _Key) -> str:
        return self._redis.key(f"l2:{key[0]}:{key[1]}")

    def _forget_old_writes(self) -> None:
        oldest = asyncio.get_running_loop().time() - self._lives.l2_ms / 1000
        while self._written:
            key, at = next(iter(self._written.items()))
            if at > oldest:
                return
            del self._written[key]

    def _redis_answers(self) -> bool:
        return asyncio.get_running_loop().time() >= self._redis_rests_until

    def _rest_redis(self) -> None:
        self._redis_rests_until = asyncio.get_running_loop().time() + _BREAK_S
        _log.warning("L2 is left alone", seconds=_BREAK_S)
