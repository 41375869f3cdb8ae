"""L1 steps aside where it was not told lately, a worker that starts is careful, and own writes are read back."""

import asyncio
from collections.abc import Sequence

import pytest

from couponry.store.layers import Change, Layers, Loaded, traced
from tests.integration.store.layers.conftest import KIND, LIVES, START_MS, Time, World, eventually


async def test_an_answer_of_sql_is_kept_in_both_layers_and_another_worker_has_it_from_l2(world: World) -> None:
    worker, other = world.worker(), world.worker()
    with traced() as first:
        assert await worker.get("k") == "old"
    await worker.settled()
    with traced() as second:
        assert await worker.get("k") == "old"
    with traced() as third:
        assert await other.get("k") == "old"
    assert (first.layer, second.layer, third.layer) == (3, 1, 2)
    assert other.loads == []
    stats, others = worker.layers.stats()[KIND], other.layers.stats()[KIND]
    assert (stats.l1, stats.l3, others.l2) == (1, 1, 1)
    assert other.holds("k"), "told reaches to its reader's first coordinate"


async def test_an_absence_is_kept_in_both_layers_until_the_row_is_there(world: World) -> None:
    worker, other = world.worker(), world.worker()
    assert await worker.get("none") is None
    await worker.settled()
    assert await other.get("none") is None
    assert other.loads == []
    world.shelf.put(9, "none", "here")
    await world.teller().tell()
    for each in (worker, other):
        each.reader.meet()
        assert await each.get("none") == "here"


async def test_l1_is_bypassed_while_it_is_not_fresh_and_serves_again_when_it_has_caught_up(
    world: World, time: Time
) -> None:
    worker = world.worker()
    await worker.get("k")
    await worker.settled()
    world.shelf.change(1, "k", "new")
    await world.teller().tell()
    time.pass_ms(2000)
    assert worker.holds("k"), "within the promise"
    time.pass_ms(1)
    assert await worker.get("k") == "new"
    assert worker.l1.stats()[KIND]["missed_unfresh"] == 1
    worker.reader.meet()
    assert await worker.get("k") == "new"
    await worker.settled()
    assert worker.holds("k")


async def test_what_l2_was_told_before_a_readers_first_coordinate_is_answered_and_not_kept(world: World) -> None:
    filler = world.worker()
    await filler.get("k")
    await filler.settled()
    world.shelf.put(5, "other", "x")
    starting = world.worker()
    assert await starting.get("k") == "old"
    assert starting.loads == []
    assert not starting.holds("k")
    await world.teller().tell()
    assert await starting.get("k") == "old"
    assert starting.holds("k")


async def test_a_worker_whose_first_coordinate_is_young_keeps_sql_answers_briefly_and_fills_no_l2(
    world: World, time: Time
) -> None:
    worker = world.worker(replayed=False)
    with world.shelf.changing(1, "k", "new"):
        # The event lies before the first coordinate, and the row is not visible yet: nothing will ever tell.
        worker.reader.start(replayed=False)
        assert await worker.get("k") == "old"
        assert worker.holds("k")
    await worker.settled()
    assert await world.held("k") is None
    time.pass_ms(1999)
    worker.reader.freshen()
    assert worker.holds("k")
    time.pass_ms(1)
    assert not worker.holds("k")
    assert await worker.get("k") == "new"
    while worker.l1.starting:
        time.pass_ms(1000)
        worker.reader.freshen()
    assert await worker.get("k") == "new"
    await worker.settled()
    assert await world.held("k") == b"new"


async def test_a_reader_that_lost_its_place_empties_l1_and_what_was_loading_is_not_kept(world: World) -> None:
    worker = world.worker()
    await worker.get("k")
    world.shelf.put(5, "other", "x")
    worker.reader.meet()
    with worker.holding(worker.may_answer):
        worker.has_read.clear()
        load = asyncio.create_task(worker.get("other"))
        await worker.has_read.wait()
        worker.reader.lose()
        world.shelf.change(5, "other", "y")
        worker.reader.start()
    assert await load == "x"
    await worker.settled()
    assert not worker.holds("k")
    assert not worker.holds("other")
    assert worker.l1.stats()[KIND]["refused_cleared"] == 1
    assert await world.held("other") is None
    assert await worker.get("other") == "y"


async def test_an_own_write_is_not_undone_by_l2_nor_by_a_load_under_way(world: World) -> None:
    worker, filler = world.worker(), world.worker()
    await filler.get("k")
    await filler.settled()
    with worker.holding(worker.may_answer):
        world.shelf.change(1, "k", "mine")
        worker.layers.wrote([Change(KIND, "k", "present", 1, 2)])
        assert await world.held("k") == b"old", "nobody told L2 yet"
        late = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
    assert await late == "mine"
    assert worker.loads == [["k"]]
    await worker.settled()
    assert worker.holds("k")


async def test_an_own_write_without_versions_asks_sql_and_keeps_only_what_was_read_after_it(
    world: World, time: Time
) -> None:
    worker, filler = world.worker(), world.worker()
    await filler.get("k")
    await filler.settled()
    with worker.holding(worker.may_answer):
        # L2 holds it too; this load began before anything was there.
        early = asyncio.create_task(worker.layers.get(KIND, "k", min_version=1))
        await worker.has_read.wait()
        time.pass_ms(1)
        world.shelf.change(1, "k", "mine")
        worker.layers.wrote([Change(KIND, "k", "written")])
        late = asyncio.create_task(worker.get("k"))
        time.pass_ms(1)
    assert (await early, await late) == (b"old", "mine")
    await worker.settled()
    assert await worker.get("k") == "mine"


async def test_a_min_version_is_never_answered_with_less_while_sql_has_it(world: World) -> None:
    worker, filler = world.worker(), world.worker()
    await filler.get("k")
    await filler.settled()
    assert await worker.get("k") == "old"
    world.shelf.change(1, "k", "new")
    assert await worker.get("k") == "old", "neither the reader nor L2 was told"
    assert await worker.layers.get(KIND, "k", min_version=2) == b"new"
    assert worker.loads == [["k"]]
    assert await worker.layers.get(KIND, "k", min_version=2) == b"new"
    assert worker.loads == [["k"]], "L1 has it now"


async def test_readers_with_a_min_version_share_a_load_and_join_none_that_asked_l2(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        plain = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        demanding = [asyncio.create_task(worker.layers.get(KIND, "k", min_version=1)) for _ in range(50)]
        await asyncio.sleep(0)
    assert await plain == "old"
    assert set(await asyncio.gather(*demanding)) == {b"old"}
    assert worker.loads == [["k"], ["k"]]


async def test_a_hot_entry_is_loaded_once_before_it_ends(world: World, time: Time) -> None:
    worker = world.worker()
    worker.layers.start()
    await worker.get("k")
    for _ in range(10):
        await worker.get("k")
    assert worker.layers.stats()[KIND].refreshes == 0
    while time.ms < START_MS + LIVES.l1_ms - LIVES.l1_ms // 10:
        time.pass_ms(2000)
        worker.reader.freshen()
    await asyncio.gather(*(worker.get("k") for _ in range(20)))
    await eventually(lambda: worker.layers.stats()[KIND].refreshes)
    await worker.settled()
    assert worker.layers.stats()[KIND].refreshes == 1
    while time.ms <= START_MS + LIVES.l1_ms:
        time.pass_ms(2000)
        worker.reader.freshen()
    assert worker.holds("k"), "the refresh gave it a life of its own"


async def test_an_entry_is_not_kept_or_served_by_any_layer_past_its_time_boundary(world: World, time: Time) -> None:
    ends = time.now()
    worker = world.worker()
    calls: list[str] = []

    async def load(keys: Sequence[str]) -> dict[str, Loaded]:
        calls.extend(keys)
        return {key: Loaded(b"until then", ((1, 1),), ends) for key in keys}

    layers = Layers(l1=worker.l1, redis=world.redis, clock=time.now, lives=LIVES)
    layers.follow(worker.reader)
    layers.register(KIND, load)
    for _ in range(2):
        assert await layers.get(KIND, "k") == b"until then"
    assert len(calls) == 2
    await layers.close()
    assert await world.held("k") is None


@pytest.mark.parametrize("faults", ["reader", "nothing"])
async def test_a_fill_that_took_too_long_is_answered_and_not_kept(world: World, time: Time, faults: str) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        load = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        time.pass_ms(5001)
        if faults == "nothing":
            worker.reader.freshen()
    assert await load == "old"
    await worker.settled()
    assert worker.l1.stats()[KIND]["refused_slow"] == 1
    assert await world.held("k") is None
