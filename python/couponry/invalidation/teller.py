"""Tells L2 of every change, by compare-and-set on what each bucket was told (lua/tell.lua).

Any worker may tell at any time; to save work, who told last goes on, and another takes over when told is a second old.
A teller that is refused looks at what is there, and goes on from that or leaves it to whoever was faster. Where the
place that was told cannot be resumed, every bucket begins a new epoch, which nobody had before.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import uuid4

import structlog

from couponry.invalidation.ending import ended
from couponry.store.layers import BUCKETS, L2, Change, Coordinate, Fate, Told

__all__ = ["Stream", "Taken", "Teller", "TellerStats"]

_log = structlog.get_logger(__name__)

# Told is this old at most while somebody tells.
_TAKE_OVER_MS: Final = 1000
# How often whoever does not tell looks whether somebody does.
_LOOK_S: Final = 0.4
# How often whoever tells asks for Redis's time and for the server's place.
_ASK_S: Final = 0.25
# How long coordinates are kept for readers that start, and in which bucket.
TRAIL_MS: Final = 300_000
TRAIL_BUCKET: Final = 0

# Place, mono ms as of which it is the newest, place lost, began (resumed or not); kind, key, fate, row, version of each
# change.
Taken = tuple[tuple[bytes, bytes] | None, int | None, bool, bool | None, Sequence[tuple[str, str, Fate, int, int]]]


class Stream(Protocol):
    """`couponry._core.TellStream`, and what tests put in its place to hold a stream back."""

    def fileno(self) -> int: ...
    def take(self) -> Taken: ...
    def probe(self) -> None: ...
    def stop(self) -> None: ...


@dataclass(slots=True)
class TellerStats:
    """Since the start; and whether this worker tells now."""

    telling: bool = False
    takeovers: int = 0
    tells: int = 0
    changes: int = 0
    refused: int = 0
    epochs: int = 0


@dataclass(eq=False, slots=True)
class _Buckets:
    """What the buckets hold, as the teller believes, and Redis's time when it asked."""

    held: dict[int, Told]
    # Of each bucket: when its answer had come (mono ms), and its server's time in it.
    clocks: dict[int, deque[tuple[int, int]]]
    # Buckets whose next tell begins a new epoch.
    anew: set[int]
    # The newest time told.
    times: dict[int, int]
    # Counts begins and ends of tells: odd while one is under way.
    moves: int = 0

    def are_as_held(self, tolds: Mapping[int, Told]) -> bool:
        return all((told.epoch, told.at) == (self.held[at].epoch, self.held[at].at) for at, told in tolds.items())

    def note_clocks(self, tolds: Mapping[int, Told], mono_ms: int) -> None:
        for bucket, told in tolds.items():
            self.clocks.setdefault(bucket, deque(maxlen=64)).append((mono_ms, told.now_ms))

    def time_before(self, bucket: int, mono_ms: int) -> int | None:
        """The newest time of the bucket's server that was read before a moment; None for one told already."""
        times = [time for at, time in self.clocks.get(bucket, ()) if at <= mono_ms]
        return times[-1] if times and times[-1] > self.times.get(bucket, 0) else None


class Teller:
    """`open_stream` begins a stream at a place, or where the log is now."""

    def __init__(
        self,
        *,
        l2: L2,
        open_stream: Callable[[Coordinate | None], Stream],
        mono_ms: Callable[[], int],
        on_changes: Callable[[Sequence[Change]], None],
    ) -> None:
        self._l2 = l2
        self._open_stream = open_stream
        self._mono_ms = mono_ms
        self._on_changes = on_changes
        self.stats = TellerStats()

    async def run(self) -> None:
        """Tells while nobody else does, until it is cancelled."""
        while True:
            tolds = await self._l2.told()
            if len(tolds) < BUCKETS or _is_told_lately(tolds):
                # Not all at once: the others see that one was faster.
                await asyncio.sleep(_LOOK_S * random.uniform(0.5, 1.0))  # noqa: S311 - spreads, guards nothing
                continue
            try:
                await self._tell(tolds)
            except OSError as error:
                _log.warning("L2 is not told", error=type(error).__name__)
                await asyncio.sleep(_LOOK_S)

    async def _tell(self, tolds: dict[int, Told]) -> None:
        """Tells until it is refused, or Redis does not answer."""
        self.stats.takeovers += 1
        buckets = _Buckets(held=tolds, clocks={}, anew=set(), times={})
        async with self._opened(_start(tolds)) as (stream, bell):
            self.stats.telling = True
            try:
                asking = asyncio.get_running_loop().create_task(self._ask(stream, buckets))
                try:
                    while not asking.done():
                        rings = asyncio.ensure_future(bell.wait())
                        await asyncio.wait((rings, asking), return_when=asyncio.FIRST_COMPLETED)
                        rings.cancel()
                        bell.clear()
                        if not asking.done() and not await self._pass_on(stream, buckets):
                            return
                finally:
                    await ended(asking)
            finally:
                self.stats.telling = False

    async def _ask(self, stream: Stream, buckets: _Buckets) -> None:
        """Reads Redis's time, then has the server asked for its place. Ends where another told, or Redis is gone."""
        while True:
            moves = buckets.moves
            tolds = await self._l2.told()
            if len(tolds) < BUCKETS:
                return
            # A tell between makes either right; it is refused or not by itself.
            if moves == buckets.moves and moves % 2 == 0 and not buckets.are_as_held(tolds):
                return
            buckets.note_clocks(tolds, self._mono_ms())
            stream.probe()
            await asyncio.sleep(_ASK_S)

    async def _pass_on(self, stream: Stream, buckets: _Buckets) -> bool:
        """Tells what the stream has. False where it was refused, or Redis does not answer."""
        place, fresh_ms, lost, began, taken = stream.take()
        changes = [Change(kind, key, fate, row, version) for kind, key, fate, row, version in taken]
        if changes:
            self._on_changes(changes)
        if lost:
            buckets.anew = set(range(BUCKETS))
        if place is None:
            return True
        to = Coordinate(*place)
        if began is not None:
            buckets.anew |= {
                bucket
                for bucket, told in buckets.held.items()
                if not began or not told.epoch or told.at.identity != to.identity
            }
        by_bucket: dict[int, list[Change]] = {}
        for change in changes:
            by_bucket.setdefault(L2.bucket((change.kind, change.key)), []).append(change)
        due = set(range(BUCKETS)) if fresh_ms is not None else by_bucket.keys() | buckets.anew
        return await self._move(buckets, sorted(due), to, by_bucket, fresh_ms)

    async def _move(
        self,
        buckets: _Buckets,
        due: Sequence[int],
        to: Coordinate,
        by_bucket: Mapping[int, Sequence[Change]],
        fresh_ms: int | None,
    ) -> bool:
        moved: dict[int, Told] = {}
        times: dict[int, int] = {}
        calls = []
        epoch = uuid4().hex.encode()
        for bucket in due:
            held = buckets.held[bucket]
            if bucket not in buckets.anew and not to.is_at(held.at):
                # It was told further than this, by another.
                continue
            time_ms = None if fresh_ms is None else buckets.time_before(bucket, fresh_ms)
            if time_ms is not None:
                times[bucket] = time_ms
            moved[bucket] = replace(held, epoch=epoch if bucket in buckets.anew else held.epoch, at=to)
            calls.append(
                self._l2.telling(
                    bucket,
                    held,
                    to,
                    by_bucket.get(bucket, ()),
                    epoch=moved[bucket].epoch,
                    time_ms=time_ms,
                    trail_ms=TRAIL_MS if bucket == TRAIL_BUCKET else 0,
                )
            )
        buckets.moves += 1
        taken = await self._l2.tell(calls)
        buckets.moves += 1
        if taken is None:
            return False
        begun = buckets.anew & moved.keys()
        if not all(taken):
            self.stats.refused += 1
            return False
        if begun:
            self.stats.epochs += 1
            _log.info("L2 begins a new epoch", buckets=len(begun))
        buckets.held |= moved
        buckets.times |= times
        buckets.anew -= begun
        self.stats.tells += 1
        self.stats.changes += sum(map(len, by_bucket.values()))
        return True

    @asynccontextmanager
    async def _opened(self, start: Coordinate | None) -> AsyncIterator[tuple[Stream, asyncio.Event]]:
        """A stream, and what is set when it has something."""
        bell = asyncio.Event()
        stream = self._open_stream(start)
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(stream.fileno(), bell.set)
            try:
                yield stream, bell
            finally:
                loop.remove_reader(stream.fileno())
        finally:
            await asyncio.to_thread(stream.stop)


def _is_told_lately(tolds: Mapping[int, Told]) -> bool:
    """Whether somebody tells. A time in the future is nobody's."""
    return any(told.epoch and 0 <= told.age_ms <= _TAKE_OVER_MS for told in tolds.values())


def _start(tolds: Mapping[int, Told]) -> Coordinate | None:
    """The oldest place that was told, of the server that was told of last; None where nobody has told."""
    told = [each for each in tolds.values() if each.epoch]
    if not told:
        return None
    last = min(told, key=lambda each: each.age_ms if each.age_ms >= 0 else 1 << 62)
    same = [each.at for each in told if each.at.identity == last.at.identity]
    return min(same, key=lambda at: at.place)
