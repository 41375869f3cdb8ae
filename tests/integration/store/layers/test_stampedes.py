"""However many ask at once, a cold key is loaded once, and cold keys travel together."""

import asyncio

from couponry.config import Settings
from tests.integration.conftest import connect
from tests.integration.store.layers.conftest import KIND, World


async def test_five_thousand_reads_of_one_cold_key_are_one_statement(world: World) -> None:
    worker = world.worker()
    assert set(await asyncio.gather(*(worker.get("k") for _ in range(5000)))) == {"old"}
    await worker.settled()
    assert worker.loads == [["k"]]
    assert worker.layers.l2_stats().round_trips == 2, "one get, one fill"


async def test_five_thousand_reads_of_an_absent_id_are_one_statement_and_so_are_the_next(world: World) -> None:
    worker = world.worker()
    for _ in range(2):
        assert set(await asyncio.gather(*(worker.get("none") for _ in range(5000)))) == {None}
    await worker.settled()
    assert worker.loads == [["none"]]


async def test_readers_that_come_while_it_is_read_join_the_load(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        first = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        others = [asyncio.create_task(worker.get("k")) for _ in range(1000)]
        await asyncio.sleep(0)
    assert {await first, *await asyncio.gather(*others)} == {"old"}
    assert worker.loads == [["k"]]


async def test_ten_thousand_cold_keys_of_a_tick_are_one_round_trip_and_one_statement(
    settings: Settings, world: World
) -> None:
    owners = [f"o{number}" for number in range(10_000)]
    with connect(settings.mysql.dsn.get_secret_value()) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO shelf VALUES (%s, %s, %s, %s)",
            [(number + 100, owner, 1, "here") for number, owner in enumerate(owners) if number % 2],
        )
    worker = world.worker(capacity=64 << 20)
    found = await asyncio.gather(*(worker.get(owner) for owner in owners))
    assert found == [("here" if number % 2 else None) for number in range(10_000)]
    await worker.settled()
    assert [len(keys) for keys in worker.loads] == [10_000]
    stats = worker.layers.l2_stats()
    assert (stats.round_trips, stats.stored) == (2, 10_000)

    other = world.worker(capacity=64 << 20)
    assert await asyncio.gather(*(other.get(owner) for owner in owners)) == found
    assert other.loads == []
    assert other.layers.l2_stats().round_trips == 1
    assert other.layers.stats()[KIND].l2 == 10_000


async def test_kinds_of_a_tick_are_one_round_trip_and_a_statement_each(world: World) -> None:
    worker = world.worker(kinds=("shelf", "second"))
    layers = worker.layers
    reads = [layers.get(kind, owner) for kind in ("shelf", "second") for owner in ("k", "none")]
    assert await asyncio.gather(*reads) == [b"old", None] * 2
    await worker.settled()
    assert worker.loads == [["k", "none"]] * 2
    assert layers.l2_stats().round_trips == 2, "one get, one fill"


async def test_a_caller_that_goes_away_does_not_disturb_the_others(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        leaver, stayer = (asyncio.create_task(worker.get("k")) for _ in range(2))
        await worker.has_read.wait()
        leaver.cancel()
    assert await stayer == "old"
    assert worker.loads == [["k"]]


async def test_loads_wait_for_their_turn_at_the_database(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_read):
        tasks = []
        for number in range(20):
            tasks.append(asyncio.create_task(worker.get(f"n{number}")))
            # Ticks of their own, so that each is a statement.
            await asyncio.sleep(0.01)
        assert len(worker.loads) == 8
    assert await asyncio.gather(*tasks) == [None] * 20
