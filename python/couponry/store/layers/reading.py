"""`Layers`: the one way in which cached rows are read, and told of local commits.

Misses of one loop tick travel together: one pipelined round trip to L2, one loader call a kind, one fill. Each key is
loaded once at a time; a caller who finds that load too old, or detached by a change, begins another.
"""

import asyncio
import random
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from couponry._core import L1, Fill
from couponry.clock import Clock, to_ms
from couponry.errors import Unavailable
from couponry.store.layers.feed import Change, Coordinate, Feed, NoFeed
from couponry.store.layers.l2 import L2, Entry, Key, L2Stats, Told
from couponry.store.layers.loading import LayerLives, LayerStats, Loaded, Loader
from couponry.store.layers.trace import current_trace
from couponry.store.redis import Redis

__all__ = ["Layers"]

_log = structlog.get_logger(__name__)

# How often hot entries that are about to end are looked for.
_REFRESH_S: Final = 0.05
# How long a fill that L2 refused because the reader is behind waits for the reader.
_CATCH_UP_S: Final = 1.0
# How long SQL is left alone, by those who have a stale answer, after it failed.
_SQL_BREAK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a load came to: the payload (None: there is nothing), and which layer said so."""

    payload: bytes | None
    layer: int
    stale: bool = False


@dataclass(eq=False, slots=True)
class _Flight:
    """One load of one key for any number of callers.

    `as_of_ms`: when its answer was true; None: it has not read. `epoch`: of L2's bucket when it missed there.
    """

    key: Key
    fill: Fill
    answer: asyncio.Future[_Answer]
    sql_only: bool = False
    departed: bool = False
    as_of_ms: int | None = None
    epoch: bytes = b""


class Layers:
    """Reads by kind and key, for one event loop."""

    def __init__(
        self,
        *,
        l1: L1,
        redis: Redis | None,
        clock: Clock,
        lives: LayerLives,
        sql_loads: int = 8,
        l2_timeout_s: float = 0.25,
    ) -> None:
        """With `sql_loads` loader calls at once at most; Redis is waited for `l2_timeout_s` at most, None: no L2."""
        self._l1 = l1
        self._l2 = None if redis is None else L2(redis, timeout_s=l2_timeout_s)
        self._clock = clock
        self._lives = lives
        self._feed: Feed = NoFeed()
        self._loaders: dict[str, Loader] = {}
        self._stats: dict[str, LayerStats] = {}
        self._flights: dict[Key, _Flight] = {}
        self._queued: list[_Flight] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._sql_slots = asyncio.Semaphore(sql_loads)
        self._sql_rests_until = 0.0
        self._refresher: asyncio.Task[None] | None = None

    def register(self, kind: str, loader: Loader) -> None:
        """Names the loader of a kind: it reads MySQL; a key that is not in its answer does not exist."""
        self._loaders[kind] = loader
        self._stats[kind] = LayerStats()

    def follow(self, feed: Feed) -> None:
        """Names the binlog reader that raises L1's floors. Without one, entries are short-lived and L2 is not used."""
        self._feed = feed

    def start(self) -> None:
        """Begins to refresh hot entries before they end."""
        self._refresher = asyncio.get_running_loop().create_task(self._refresh())

    async def close(self) -> None:
        """Waits for the loads under way."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.gather(self._refresher, return_exceptions=True)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def l1(self) -> L1:
        """The layer in this process."""
        return self._l1

    @property
    def l2(self) -> L2:
        """The layer in Redis. ValueError where there is none."""
        if self._l2 is None:
            raise ValueError("these layers have no L2")
        return self._l2

    @property
    def kinds(self) -> list[str]:
        """The kinds that can be read."""
        return list(self._loaders)

    def stats(self) -> dict[str, LayerStats]:
        """By kind, as of now."""
        held = self._l1.stats()
        for kind, stats in self._stats.items():
            stats.l1 = held[kind]["hits"] + held[kind]["absent_hits"]
        return dict(self._stats)

    def l2_stats(self) -> L2Stats:
        """What L2 did."""
        return L2Stats() if self._l2 is None else self._l2.stats

    def _answering_l2(self) -> L2 | None:
        return self._l2 if self._l2 is not None and self._l2.answers else None

    async def get(self, kind: str, key: str, *, min_version: int = 0, stale: bool = False) -> bytes | None:
        """The payload, or None where the row does not exist.

        With a `min_version` (of an entry of one row) what is older in L1 is not given, and SQL is asked: what it says
        may still be older. While SQL is down a stale answer is given to a traced call, which says so, and where `stale`
        says that it may be. Raises Unavailable where no layer can answer.
        """
        held = self._l1.get(kind, key, min_version)
        trace = current_trace()
        if held is not None:
            if trace is not None:
                trace.note(1)
            return None if held is False else held
        flight = self._flight((kind, key), sql_only=min_version > 0)
        answer = await asyncio.shield(flight.answer)
        if trace is not None:
            trace.note(answer.layer, stale=answer.stale)
        elif answer.stale and not stale:
            raise Unavailable("the database cannot be reached")
        return answer.payload

    async def get_many(self, kind: str, keys: Sequence[str]) -> list[bytes | None]:
        """The payloads in the order of `keys`; all misses travel together."""
        return list(await asyncio.gather(*(self.get(kind, key) for key in keys)))

    def wrote(self, changes: Iterable[Change]) -> None:
        """Tells L1 of a local commit, before it is answered: what this process reads from now on is not older."""
        for change in changes:
            self._l1.changed(change.kind, change.key, change.row, change.fate, change.version)

    # Loads

    def _flight(self, key: Key, *, sql_only: bool = False) -> _Flight:
        """The load of a key that a caller may join, or a new one."""
        flight = self._flights.get(key)
        if flight is not None and self._is_joinable(flight, sql_only):
            flight.sql_only |= sql_only
            return flight
        loop = asyncio.get_running_loop()
        flight = _Flight(key, self._l1.begin(*key), loop.create_future(), sql_only)
        # A flight whose callers have all gone away must not report its failure to nobody.
        flight.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())
        self._flights[key] = flight
        if not self._queued:
            loop.call_soon(self._depart)
        self._queued.append(flight)
        return flight

    def _is_joinable(self, flight: _Flight, sql_only: bool) -> bool:
        if flight.fill.detached:
            return False
        if flight.as_of_ms is None:
            # Whoever asks past L2 may join while it has not been asked.
            return flight.sql_only or not sql_only or not flight.departed
        oldest_ms = self._lives.max_staleness_ms if self._l1.measured else self._lives.short_ms
        return not sql_only and self._l1.now_ms - flight.as_of_ms <= oldest_ms

    def _depart(self) -> None:
        flights, self._queued = self._queued, []
        for flight in flights:
            flight.departed = True
        self._spawn(self._land(flights))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _land(self, flights: list[_Flight]) -> None:
        by_kind: dict[str, list[_Flight]] = {}
        try:
            for flight in await self._ask_l2(flights):
                by_kind.setdefault(flight.key[0], []).append(flight)
            loads = await asyncio.gather(*(self._ask_l3(kind, group) for kind, group in by_kind.items()))
            await self._fill_l2([fill for fills in loads for fill in fills], again=True)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            for flight in flights:
                self._fail(flight, error)
        finally:
            # Nobody waits for ever: the loop is about to end.
            for flight in flights:
                self._fail(flight, Unavailable("draining"))

    async def _ask_l2(self, flights: list[_Flight]) -> list[_Flight]:
        """Answers what L2 may answer; the flights that are left."""
        l2 = self._answering_l2()
        if l2 is None or not self._l1.measured:
            return flights
        sent_ms = self._l1.now_ms
        asked = {flight.key: flight for flight in flights if not flight.sql_only}
        found, tolds = await l2.get(asked, self._lives.max_staleness_ms)
        for key, flight in asked.items():
            told = tolds.get(L2.bucket(key))
            if told is None:
                continue
            flight.epoch = told.epoch
            entry = found.get(key)
            if entry is not None and not flight.sql_only and self._may_answer(flight, entry):
                flight.as_of_ms = sent_ms - told.age_ms
                self._stats[key[0]].l2 += 1
                self._settle(flight, entry, _Answer(entry.payload, 2), since_first=self._is_since_first(told))
        return [flight for flight in flights if not flight.answer.done()]

    def _may_answer(self, flight: _Flight, entry: Entry) -> bool:
        over = entry.valid_through_ms is not None and entry.valid_through_ms <= to_ms(self._clock())
        return not over and flight.fill.refusal(list(entry.rows)) is None

    def _is_since_first(self, told: Told) -> bool:
        first = self._feed.first()
        return first is not None and told.at.is_at(first)

    async def _ask_l3(self, kind: str, flights: list[_Flight]) -> "list[tuple[_Flight, Entry]]":
        """Answers what SQL says; what there is to fill."""
        if asyncio.get_running_loop().time() < self._sql_rests_until:
            flights = await self._answer_stale(flights)
        if not flights:
            return []
        stats = self._stats[kind]
        try:
            async with self._sql_slots:
                sent_ms = self._l1.now_ms
                for flight in flights:
                    flight.as_of_ms = sent_ms
                stats.loader_calls += 1
                found = await self._loaders[kind]([flight.key[1] for flight in flights])
        except Unavailable as error:
            self._sql_rests_until = asyncio.get_running_loop().time() + _SQL_BREAK_S
            for flight in await self._answer_stale(flights):
                self._fail(flight, error)
            return []
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            for flight in flights:
                self._fail(flight, error)
            return []
        stats.l3 += len(flights)
        fills = []
        for flight in flights:
            entry = _entry_of(found.get(flight.key[1]))
            self._settle(flight, entry, _Answer(entry.payload, 3), sent_ms=sent_ms)
            fills.append((flight, entry))
        return fills

    async def _answer_stale(self, flights: list[_Flight]) -> list[_Flight]:
        """While SQL does not answer: from L1 as it was while it was fresh, or from L2 if it was told as far as this
        worker's reader has come. The flights that are left.
        """
        for flight in flights:
            held = None if flight.sql_only else self._l1.get_stale(*flight.key)
            if held is not None:
                self._answer_one_stale(flight, None if held is False else held, 1)
        left = {flight.key: flight for flight in flights if not flight.answer.done() and not flight.sql_only}
        passed = self._feed.passed()
        l2 = self._answering_l2()
        if left and passed is not None and l2 is not None:
            found, tolds = await l2.get(left, self._lives.max_staleness_ms + self._lives.fail_safe_ms)
            for key, entry in found.items():
                if tolds[L2.bucket(key)].at.is_at(passed) and self._may_answer(left[key], entry):
                    self._answer_one_stale(left[key], entry.payload, 2)
        return [flight for flight in flights if not flight.answer.done()]

    def _answer_one_stale(self, flight: _Flight, payload: bytes | None, layer: int) -> None:
        self._leave(flight)
        if not flight.answer.done():
            self._stats[flight.key[0]].stale += 1
            flight.answer.set_result(_Answer(payload, layer, stale=True))

    def _settle(
        self, flight: _Flight, entry: Entry, answer: _Answer, *, sent_ms: int | None = None, since_first: bool = False
    ) -> None:
        """Answers the callers and fills L1."""
        self._leave(flight)
        if not flight.answer.done():
            flight.answer.set_result(answer)
        longest_ms = self._lives.absence_ms if entry.payload is None else self._lives.l1_ms
        life_ms = self._life(longest_ms)
        if not self._l1.measured and sent_ms is not None:
            # Nobody tells: an answer is at most this old, the time it took to load counted.
            life_ms = self._life(min(longest_ms, self._lives.short_ms)) - (self._l1.now_ms - sent_ms)
        flight.fill.store(
            entry.payload,
            list(entry.rows),
            life_ms=life_ms,
            valid_through_ms=entry.valid_through_ms,
            sent_ms=sent_ms,
            since_first=since_first,
        )

    async def _fill_l2(self, loads: "list[tuple[_Flight, Entry]]", *, again: bool) -> None:
        """Sends L2 what passes this worker's floors; once more what came before its reader was there, if `again`."""
        # In this order: what is checked below is checked against every event before this.
        passed = self._feed.passed()
        l2 = self._answering_l2()
        if l2 is None or passed is None or not self._l1.measured or self._l1.starting:
            return
        now_ms = to_ms(self._clock())
        sent: dict[Key, _Flight] = {}
        fills: dict[Key, tuple[Entry, int]] = {}
        for flight, entry in loads:
            longest_ms = self._lives.absence_ms if entry.payload is None else self._lives.l2_ms
            life_ms = self._life(longest_ms)
            if entry.valid_through_ms is not None:
                life_ms = min(life_ms, entry.valid_through_ms - now_ms)
            rows = list(entry.rows)
            if flight.epoch and life_ms > 0 and flight.fill.refusal(rows, sent_ms=flight.as_of_ms) is None:
                sent[flight.key] = flight
                fills[flight.key] = (entry, life_ms)
        behind = await l2.fill(fills, {L2.bucket(key): flight.epoch for key, flight in sent.items()}, passed)
        if behind and again:
            late = [(flight, fills[key][0]) for key, flight in sent.items() if L2.bucket(key) in behind]
            self._spawn(self._fill_later(late, max(behind.values(), key=lambda each: each.place)))

    async def _fill_later(self, loads: "list[tuple[_Flight, Entry]]", told: Coordinate) -> None:
        if await self._feed.reached(told, _CATCH_UP_S):
            await self._fill_l2(loads, again=False)

    def _fail(self, flight: _Flight, error: Exception) -> None:
        self._leave(flight)
        if not flight.answer.done():
            flight.answer.set_exception(error)

    def _leave(self, flight: _Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _life(self, longest_ms: int) -> int:
        cut = longest_ms * self._lives.jitter_percent // 100
        return longest_ms - random.randint(0, cut)  # noqa: S311 - spreads ends, guards nothing

    async def _refresh(self) -> None:
        """Loads hot entries that are about to end, each once."""
        while True:
            for kind, key in self._l1.take_due():
                if kind in self._loaders:
                    self._stats[kind].refreshes += 1
                    self._flight((kind, key))
            await asyncio.sleep(_REFRESH_S)


def _entry_of(loaded: Loaded | None) -> Entry:
    if loaded is None:
        return Entry(None, ())
    ends = None if loaded.valid_through is None else to_ms(loaded.valid_through)
    return Entry(loaded.payload, loaded.rows, ends)
