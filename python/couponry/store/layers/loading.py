"""What a loader gives, how long it is kept, and what is counted of a kind."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from couponry.store.mysql import Row

__all__ = ["LayerLives", "LayerStats", "Loaded", "Loader", "versions"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a loader found under a key: the payload, (id, version) of every row that it shows, and the time boundary at
    which it stops being right.
    """

    payload: bytes
    rows: tuple[tuple[int, int], ...] = ()
    valid_through: datetime | None = None


Loader = Callable[[Sequence[str]], Awaitable[Mapping[str, Loaded]]]


@dataclass(frozen=True, slots=True)
class LayerLives:
    """How long entries live, in milliseconds; each is cut at random by up to `jitter_percent`.

    `short_ms` is L1's where no binlog reader tells of changes. `max_staleness_ms` and `fail_safe_ms` are L1's.
    """

    l1_ms: int = 300_000
    l2_ms: int = 3_600_000
    absence_ms: int = 10_000
    short_ms: int = 500
    jitter_percent: int = 20
    max_staleness_ms: int = 2000
    fail_safe_ms: int = 60_000


@dataclass(slots=True)
class LayerStats:
    """Keys of one kind answered by each layer since the start, and calls of the loader.

    The front end reads L1 too, so what L1 answered is L1's own count. `stale` were answered while SQL was down.
    """

    l1: int = 0
    l2: int = 0
    l3: int = 0
    stale: int = 0
    loader_calls: int = 0
    refreshes: int = 0


def versions(*rows: Row) -> tuple[tuple[int, int], ...]:
    """(id, version) of rows that have these columns."""
    return tuple((row["id"], row["version"]) for row in rows)
