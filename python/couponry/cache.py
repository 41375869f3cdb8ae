"""`Cache`: rows read through L1, never older than what this process was told of. For other programs than the service.

Whoever changes a row says so with `changed` or `wrote`; from then on nothing older is kept or given, whatever loads are
under way (docs/cache.md).
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from couponry._core import L1
from couponry.clock import system_clock
from couponry.store.layers import Change, Fate, LayerLives, Layers, Loaded, Loader

__all__ = ["Cache", "Fate", "Loaded", "Loader"]

_KIND: Final = "entry"


class Cache:
    """Entries by key, each made of rows with versions that rise. Use it as `async with Cache(load) as cache`.

    `load` reads the truth: many keys in, a `Loaded` of each that exists out. Of however many callers, one loads a key;
    keys that are asked for in one turn of the loop are one call. What does not exist is remembered too.

    Until `measure` is called, an answer is at most `life_ms` old unless it was changed through this object. After it
    entries live `told_life_ms`, and are given only while `passed` was called for a moment at most `max_staleness_ms`
    ago: for programs that follow a stream of all changes.
    """

    def __init__(
        self,
        load: Loader,
        *,
        capacity_bytes: int = 64 << 20,
        absent_bytes: int = 1 << 20,
        floors: int = 65_536,
        life_ms: int = 500,
        told_life_ms: int = 300_000,
        absence_ms: int = 10_000,
        max_staleness_ms: int = 2000,
        loads: int = 8,
    ) -> None:
        """With `loads` calls of `load` at once at most. `floors` changed rows are remembered, for 30 s each."""
        self._l1 = L1(
            {_KIND: capacity_bytes},
            absent_bytes=absent_bytes,
            floors=floors,
            max_staleness_ms=max_staleness_ms,
            fail_safe_ms=0,
        )
        lives = LayerLives(
            l1_ms=told_life_ms,
            absence_ms=absence_ms,
            short_ms=life_ms,
            max_staleness_ms=max_staleness_ms,
            fail_safe_ms=0,
        )
        self._layers = Layers(l1=self._l1, redis=None, clock=system_clock, lives=lives, sql_loads=loads)
        self._layers.register(_KIND, load)

    async def __aenter__(self) -> Self:
        self._layers.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._layers.close()

    async def get(self, key: str, *, min_version: int = 0) -> bytes | None:
        """The payload, or None where there is nothing.

        With a `min_version` (of an entry of one row) what is older in memory is passed by; what `load` says may still
        be older. Whatever `load` raises is raised to every caller who waits for it.
        """
        return await self._layers.get(_KIND, key, min_version=min_version)

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """The payloads in the order of `keys`; all that is missing is one call of `load`."""
        return await self._layers.get_many(_KIND, keys)

    def changed(self, key: str, row: int, version: int, fate: Fate = "present") -> None:
        """A row of an entry now has this version; or as `fate` says it was `inserted`, `left` the entry, was `touched`
        in a way that does not tell, or is `gone` (then the version is the one that it had).
        """
        self._layers.wrote([Change(_KIND, key, fate, row, version)])

    def wrote(self, key: str) -> None:
        """An entry was changed by a commit whose versions are not known: only what is read from now on is kept."""
        self._layers.wrote([Change(_KIND, key, "written")])

    def clear(self) -> None:
        """Removes every entry; loads under way are not kept."""
        self._l1.clear()

    def stats(self) -> dict[str, int]:
        """Counters since the start, misses and refused loads by cause; and what is held: entries, bytes, floors."""
        loads = self._layers.stats()[_KIND].loader_calls
        return {**self._l1.stats()[_KIND], "loader_calls": loads}

    # For a reader of all changes, on any thread

    def measure(self) -> None:
        """A reader is about to start: from now on entries are given only as far as they are known to be fresh."""
        self._l1.measure()

    def started(self, *, replayed: bool) -> None:
        """The reader has its place, and everything before is removed. `replayed`: the place lies 30 s back or more."""
        self._l1.started(replayed)

    def passed(self, as_of_ms: int) -> None:
        """Every change up to this moment of `now_ms` was told."""
        self._l1.passed(as_of_ms)

    def lost(self) -> None:
        """The reader lost its place: everything is removed, and nothing is kept for long until `started`."""
        self._l1.lost()

    @property
    def now_ms(self) -> int:
        """The clock of `passed`: monotonic milliseconds."""
        return self._l1.now_ms
