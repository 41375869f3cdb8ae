"""Without a binlog reader entries are short-lived in L1, L2 is not used, and own writes are read back all the same."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from couponry._core import L1
from couponry.clock import to_ms
from couponry.config import RedisSettings, Settings
from couponry.errors import Unavailable
from couponry.store.layers import Change, LayerLives, Layers, Loaded
from couponry.store.redis import Redis

START = datetime(2026, 6, 15, 8, tzinfo=UTC)
# No jitter, so that ends can be named.
LIVES = LayerLives(short_ms=500, absence_ms=250, jitter_percent=0)
WROTE = Change("row", "k", "written")


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def wait(self, **time: float) -> None:
        self.now += timedelta(**time)


class Table:
    """A loader over a dict that counts its calls, and can be held in mid-read."""

    def __init__(self, **rows: bytes) -> None:
        self.rows = dict(rows)
        self.ends: dict[str, datetime] = {}
        self.calls: list[list[str]] = []
        self.reading = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.broken = False

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, Loaded]:
        self.calls.append(list(keys))
        found = {key: Loaded(self.rows[key], ((1, 1),), self.ends.get(key)) for key in keys if key in self.rows}
        self.reading.set()
        await self.go_on.wait()
        if self.broken:
            raise Unavailable("the database cannot be reached")
        return found


def make(redis: Redis, clock: Clock, table: Table) -> Layers:
    l1 = L1({"row": 1 << 20}, mono_ms=lambda: to_ms(clock()), wall_ms=lambda: to_ms(clock()))
    layers = Layers(l1=l1, redis=redis, clock=clock, lives=LIVES)
    layers.register("row", table)
    return layers


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_row_is_loaded_once_and_then_answered_from_l1(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"v")
    layers = make(redis, clock, table)
    assert [await layers.get("row", "k") for _ in range(3)] == [b"v"] * 3
    assert table.calls == [["k"]]
    stats = layers.stats()["row"]
    assert (stats.l1, stats.l2, stats.l3) == (2, 0, 1)


async def test_l2_is_not_used(redis: Redis, clock: Clock) -> None:
    first, other_table = make(redis, clock, Table(k=b"v")), Table(k=b"v")
    second = make(redis, clock, other_table)
    await first.get("row", "k")
    await first.close()
    assert await second.get("row", "k") == b"v"
    assert other_table.calls == [["k"]]
    assert first.l2_stats().round_trips == second.l2_stats().round_trips == 0


async def test_five_thousand_reads_of_one_cold_key_are_one_load(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"v")
    layers = make(redis, clock, table)
    assert set(await asyncio.gather(*(layers.get("row", "k") for _ in range(5000)))) == {b"v"}
    assert table.calls == [["k"]]


async def test_misses_of_one_tick_are_one_load(redis: Redis, clock: Clock) -> None:
    table = Table(**{f"k{number}": b"v" for number in range(100)})
    layers = make(redis, clock, table)
    assert await layers.get_many("row", [f"k{number}" for number in range(100)]) == [b"v"] * 100
    assert len(table.calls) == 1


async def test_an_absent_row_is_asked_for_once(redis: Redis, clock: Clock) -> None:
    table = Table()
    layers = make(redis, clock, table)
    assert [await layers.get("row", "none") for _ in range(3)] == [None] * 3
    assert table.calls == [["none"]]


async def test_an_entry_is_not_served_past_its_life(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"old")
    layers = make(redis, clock, table)
    await layers.get("row", "k")
    await layers.close()
    table.rows["k"] = b"new"
    clock.wait(milliseconds=499)
    assert await layers.get("row", "k") == b"old"
    clock.wait(milliseconds=1)
    assert await layers.get("row", "k") == b"new"


async def test_an_entry_is_not_served_past_the_time_boundary_of_its_row(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"before")
    table.ends["k"] = START + timedelta(milliseconds=100)
    layers = make(redis, clock, table)
    await layers.get("row", "k")
    await layers.close()
    table.rows["k"] = b"after"
    table.ends.clear()
    clock.wait(milliseconds=99)
    assert await layers.get("row", "k") == b"before"
    clock.wait(milliseconds=1)
    assert await layers.get("row", "k") == b"after"


async def test_the_time_that_a_load_took_counts_for_the_entrys_life(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"old")
    table.go_on.clear()
    layers = make(redis, clock, table)
    load = asyncio.create_task(layers.get("row", "k"))
    await table.reading.wait()
    clock.wait(milliseconds=400)
    table.rows["k"] = b"new"
    table.go_on.set()
    assert await load == b"old"
    clock.wait(milliseconds=99)
    assert await layers.get("row", "k") == b"old"
    clock.wait(milliseconds=1)
    assert await layers.get("row", "k") == b"new"


async def test_a_load_that_read_too_long_ago_is_not_joined(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"old")
    table.go_on.clear()
    layers = make(redis, clock, table)
    early = asyncio.create_task(layers.get("row", "k"))
    await table.reading.wait()
    table.rows["k"] = b"new"
    clock.wait(milliseconds=501)
    late = asyncio.create_task(layers.get("row", "k"))
    await asyncio.sleep(0)
    table.go_on.set()
    assert (await early, await late) == (b"old", b"new")


async def test_an_own_write_is_read_back(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"old")
    layers = make(redis, clock, table)
    await layers.get("row", "k")
    table.rows["k"] = b"new"
    layers.wrote([WROTE])
    assert await layers.get("row", "k") == b"new"


async def test_a_created_row_is_found_although_its_absence_was_cached(redis: Redis, clock: Clock) -> None:
    table = Table()
    layers = make(redis, clock, table)
    assert await layers.get("row", "k") is None
    table.rows["k"] = b"v"
    layers.wrote([WROTE])
    assert await layers.get("row", "k") == b"v"


async def test_a_load_that_began_before_a_write_is_not_stored_and_not_joined_after_it(
    redis: Redis, clock: Clock
) -> None:
    table = Table(k=b"old")
    table.go_on.clear()
    layers = make(redis, clock, table)
    early = asyncio.create_task(layers.get("row", "k"))
    await table.reading.wait()
    table.rows["k"] = b"new"
    layers.wrote([WROTE])
    late = asyncio.create_task(layers.get("row", "k"))
    table.go_on.set()
    assert (await early, await late) == (b"old", b"new")
    await layers.close()
    assert await layers.get("row", "k") == b"new"


async def test_a_caller_that_goes_away_does_not_disturb_the_others(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"v")
    table.go_on.clear()
    layers = make(redis, clock, table)
    leaver, stayer = (asyncio.create_task(layers.get("row", "k")) for _ in range(2))
    await table.reading.wait()
    leaver.cancel()
    table.go_on.set()
    assert await stayer == b"v"


async def test_a_failed_load_is_told_to_its_callers_and_tried_again_by_the_next(redis: Redis, clock: Clock) -> None:
    table = Table(k=b"v")
    table.broken = True
    layers = make(redis, clock, table)
    with pytest.raises(Unavailable):
        await layers.get("row", "k")
    table.broken = False
    assert await layers.get("row", "k") == b"v"


async def test_what_was_read_in_the_millisecond_of_an_own_write_is_answered_and_not_kept(
    redis: Redis, clock: Clock
) -> None:
    table = Table(k=b"v")
    layers = make(redis, clock, table)
    layers.wrote([WROTE])
    assert [await layers.get("row", "k") for _ in range(2)] == [b"v"] * 2
    assert len(table.calls) == 2
    clock.wait(milliseconds=1)
    assert [await layers.get("row", "k") for _ in range(2)] == [b"v"] * 2
    assert len(table.calls) == 3


async def test_a_redis_that_is_not_there_is_not_asked(settings: Settings, clock: Clock) -> None:
    down = Redis("redis://127.0.0.1:1/0", RedisSettings(key_prefix=settings.redis.key_prefix))
    table = Table(k=b"v")
    layers = make(down, clock, table)
    assert [await layers.get("row", "k") for _ in range(2)] == [b"v"] * 2
    assert table.calls == [["k"]]
    assert layers.l2_stats().failures == 0
    await down.close()
