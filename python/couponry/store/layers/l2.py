"""L2: entries in Redis. Each of a few buckets was told of all changes up to a coordinate, at a time of Redis's clock.

The rules are in lua/get.lua, fill.lua and tell.lua. Calls never raise for a Redis that fails: L2 is left alone for a
second, and nobody is answered by it.
"""

import asyncio
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from couponry.errors import Unavailable
from couponry.store.layers.feed import Change, Coordinate
from couponry.store.redis import Redis

__all__ = ["BUCKETS", "L2", "Entry", "L2Stats", "Told"]

_log = structlog.get_logger(__name__)

Key = tuple[str, str]
Rows = tuple[tuple[int, int], ...]

BUCKETS: Final = 16
# A datum: when the entry ends by what it says (wall ms), whether there is anything, then the payload.
_HEADER: Final = struct.Struct(">q?")
_NO_END: Final = 2**62
# How long Redis is left alone after it failed to answer.
_BREAK_S: Final = 1.0
_TAKEN: Final = 1
_BEHIND: Final = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """What L2 holds under a key. Payload None: there is known to be nothing."""

    payload: bytes | None
    rows: Rows
    valid_through_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a bucket was told: of everything before `at`, `age_ms` ago. `epoch` is empty where nobody has told."""

    epoch: bytes
    at: Coordinate
    age_ms: int
    now_ms: int


@dataclass(slots=True)
class L2Stats:
    """Round trips, and what became of fills, since the start; and how old the last told was."""

    round_trips: int = 0
    failures: int = 0
    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    told_age_ms: int | None = None


class L2:
    """Entries by (kind, key)."""

    def __init__(self, redis: Redis, *, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._rests_until = 0.0
        self.stats = L2Stats()

    @property
    def answers(self) -> bool:
        """False while it is left alone."""
        return asyncio.get_running_loop().time() >= self._rests_until

    @staticmethod
    def bucket(key: Key) -> int:
        """The bucket of a key, the same in every process."""
        return zlib.crc32(f"{key[0]}:{key[1]}".encode()) % BUCKETS

    def entry_key(self, key: Key) -> str:
        """Where an entry is."""
        return self._redis.key(f"l2:{{b{self.bucket(key):02}}}:{key[0]}:{key[1]}")

    def told_key(self, bucket: int) -> str:
        """Where it stands what a bucket was told."""
        return self._redis.key(f"l2:{{b{bucket:02}}}:told")

    def trail_key(self, bucket: int) -> str:
        """Where coordinates of the last minutes are, by Redis's time."""
        return self._redis.key(f"l2:{{b{bucket:02}}}:trail")

    async def get(self, keys: Iterable[Key], oldest_ms: int) -> tuple[dict[Key, Entry], dict[int, Told]]:
        """The entries that may be served while told is at most `oldest_ms` old, and what their buckets were told.

        One pipelined round trip. Empty where Redis does not answer.
        """
        by_bucket: dict[int, list[Key]] = {}
        for key in keys:
            by_bucket.setdefault(self.bucket(key), []).append(key)
        calls = [
            ([self.told_key(bucket), *map(self.entry_key, wanted)], [oldest_ms]) for bucket, wanted in by_bucket.items()
        ]
        replies = await self._run("get", calls)
        found: dict[Key, Entry] = {}
        tolds: dict[int, Told] = {}
        for (bucket, wanted), reply in zip(by_bucket.items(), replies, strict=False):
            epoch, identity, place, age_ms, now_ms, *held = reply
            tolds[bucket] = Told(epoch, Coordinate(identity, place), age_ms, now_ms)
            found |= {key: _decoded(*each) for key, each in zip(wanted, held, strict=True) if each is not None}
        if tolds:
            self.stats.told_age_ms = max(told.age_ms for told in tolds.values())
        return found, tolds

    async def fill(
        self, fills: Mapping[Key, tuple[Entry, int]], epochs: Mapping[int, bytes], passed: Coordinate
    ) -> dict[int, Coordinate]:
        """Stores entries, each with its life in ms, for a worker whose reader had passed a coordinate before it checked
        them against its floors. The buckets that were told beyond that coordinate, with how far.

        One pipelined round trip.
        """
        by_bucket: dict[int, list[Key]] = {}
        for key in fills:
            by_bucket.setdefault(self.bucket(key), []).append(key)
        calls: list[tuple[list[str], list[str | int | bytes]]] = []
        for bucket, keys in by_bucket.items():
            args: list[str | int | bytes] = [epochs[bucket], passed.identity, passed.place]
            for key in keys:
                entry, life_ms = fills[key]
                args += [*_encoded(entry), life_ms]
            calls.append(([self.told_key(bucket), *map(self.entry_key, keys)], args))
        behind: dict[int, Coordinate] = {}
        for (bucket, keys), reply in zip(by_bucket.items(), await self._run("fill", calls), strict=False):
            verdict, identity, place, *stored = reply
            self.stats.stored += sum(stored)
            if verdict == _TAKEN:
                self.stats.refused["newer"] += len(stored) - sum(stored)
            elif verdict == _BEHIND:
                behind[bucket] = Coordinate(identity, place)
                self.stats.refused["behind"] += len(keys)
            else:
                self.stats.refused["epoch"] += len(keys)
        return behind

    async def told(self) -> dict[int, Told]:
        """What every bucket was told. Empty where Redis does not answer."""
        replies = await self._run("get", [([self.told_key(bucket)], [0]) for bucket in range(BUCKETS)])
        return {
            bucket: Told(epoch, Coordinate(identity, place), age_ms, now_ms)
            for bucket, (epoch, identity, place, age_ms, now_ms) in enumerate(replies)
        }

    def telling(
        self,
        bucket: int,
        held: Told,
        to: Coordinate,
        changes: Sequence[Change],
        *,
        epoch: bytes,
        time_ms: int | None,
        trail_ms: int = 0,
    ) -> tuple[list[str], list[str | int | bytes]]:
        """Keys and arguments of lua/tell.lua: the changes of this bucket from where it holds up to `to`.

        `epoch` is the one held, or a new one. `time_ms` is Redis's time read before the server was asked for `to`; None
        where more of it follows. `trail_ms`: how long coordinates are kept, where this bucket keeps the trail.
        """
        places: dict[str, int] = {}
        events: list[str | int | bytes] = []
        for change in changes:
            place = places.setdefault(self.entry_key((change.kind, change.key)), len(places) + 3)
            events += [place, change.row, change.fate, change.version]
        head: list[str | int | bytes] = [
            held.epoch,
            held.at.identity,
            held.at.place,
            epoch,
            to.identity,
            to.place,
            "" if time_ms is None else time_ms,
            trail_ms,
        ]
        return [self.told_key(bucket), self.trail_key(bucket), *places], head + events

    async def tell(self, calls: Sequence[tuple[list[str], list[str | int | bytes]]]) -> list[bool] | None:
        """Runs `telling` of several buckets in one round trip: which were taken. None where Redis does not answer."""
        replies = await self._run("tell", calls)
        return [bool(reply[0]) for reply in replies] if replies or not calls else None

    async def trail(self, bucket: int, before_ms: int) -> Coordinate | None:
        """The newest coordinate that was told of at least that long ago by Redis's clock."""
        told = await self._run("get", [([self.told_key(bucket)], [0])])
        if not told:
            return None
        try:
            with self._redis.guarded():
                found: list[Any] = await self._redis.client.zrevrangebyscore(
                    self.trail_key(bucket), told[0][4] - before_ms, "-inf", start=0, num=1
                )
        except Unavailable:
            return None
        if not found:
            return None
        identity, _, place = found[0].rpartition(b" ")
        return Coordinate(identity, place)

    async def flush(self) -> int:
        """Removes every entry; what the buckets were told stays. The number removed. Raises Unavailable."""
        removed = 0
        with self._redis.guarded():
            async for key in self._redis.client.scan_iter(match=self._redis.key("l2:{b*}:*:*"), count=1000):
                removed += await self._redis.client.unlink(key)
        return removed

    async def _run(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int | bytes]]]) -> list[Any]:
        """The replies; none where Redis does not answer in time."""
        if not calls:
            return []
        self.stats.round_trips += 1
        loop = asyncio.get_running_loop()
        resting = self._rests_until > 0
        if resting:
            # One tries whether it is back; the others go on without it meanwhile.
            self._rests_until = loop.time() + self._timeout_s
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._redis.run_scripts(name, calls)
        except (Unavailable, TimeoutError) as error:
            self.stats.failures += 1
            self._rests_until = loop.time() + _BREAK_S
            _log.warning("L2 is left alone", seconds=_BREAK_S, error=type(error).__name__)
            return []
        self._rests_until = 0.0
        return replies


def _encoded(entry: Entry) -> tuple[bytes, str]:
    end_ms = _NO_END if entry.valid_through_ms is None else entry.valid_through_ms
    data = _HEADER.pack(end_ms, entry.payload is not None) + (entry.payload or b"")
    return data, ",".join(f"{row}:{version}" for row, version in entry.rows)


def _decoded(data: bytes, versions: bytes) -> Entry:
    end_ms, exists = _HEADER.unpack_from(data)
    rows = tuple((int(row), int(version)) for row, version in _pairs(versions))
    return Entry(data[_HEADER.size :] if exists else None, rows, None if end_ms == _NO_END else end_ms)


def _pairs(versions: bytes) -> Iterable[list[bytes]]:
    return (pair.split(b":") for pair in versions.split(b",") if pair)
