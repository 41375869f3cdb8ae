"""Redis or MySQL does not answer: what goes on, what is flagged stale, and that own writes are never undone."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import pytest

from couponry.errors import Unavailable
from couponry.store.layers import Change, Loaded, traced
from tests.integration.store.layers.conftest import KIND, OpenRedis, Time, Worker, World, eventually
from tests.integration.topologies import Replicated


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with Replicated(tmp_path_factory.mktemp("redis"), replicas=0) as started:
        yield started


async def test_a_frozen_redis_costs_one_wait_and_then_reads_go_past_it(
    world: World, servers: Replicated, open_redis: OpenRedis
) -> None:
    redis = open_redis(servers.url)
    await world.teller(redis).tell()
    worker = world.worker(redis=redis, l2_timeout_s=0.25)
    assert await worker.get("k") == "old"
    await worker.settled()
    loop = asyncio.get_running_loop()
    servers.master.pause()
    began = loop.time()
    try:
        for number in range(100):
            assert await worker.get(f"n{number}") is None
        assert await worker.get("k") == "old"
        # Not each read waits: one, and then one a second.
        assert worker.layers.l2_stats().failures <= 2 + (loop.time() - began)
    finally:
        servers.master.resume()
    await eventually(lambda: worker.layers.l2.answers)
    await world.teller(redis).tell()
    other = world.worker(redis=redis)
    assert await other.get("k") == "old"
    assert other.loads == []


async def test_after_redis_was_killed_and_started_reads_and_fills_go_on(
    world: World, servers: Replicated, open_redis: OpenRedis
) -> None:
    redis = open_redis(servers.url)
    worker = world.worker(redis=redis)
    servers.master.kill()
    assert await worker.get("k") == "old"
    assert worker.layers.l2_stats().failures == 1
    servers.master.start()
    await eventually(lambda: worker.layers.l2.answers)
    # The server has no script any longer.
    await world.teller(redis).tell()
    world.shelf.change(1, "k", "new")
    worker.reader.meet()
    assert await worker.get("k") == "new"
    await worker.settled()
    assert await world.held("k", redis) == b"new"


class Outage:
    """A worker whose database can go away."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.down = False
        self.tries = 0
        worker.layers.register(KIND, self._load)

    async def _load(self, owners: Sequence[str]) -> Mapping[str, Loaded]:
        self.tries += 1
        if self.down:
            raise Unavailable("the database cannot be reached")
        return await self.worker._load(owners)


@pytest.fixture
async def outage(world: World) -> Outage:
    worker = world.worker()
    outage = Outage(worker)
    assert await worker.get("k") == "old"
    await worker.settled()
    outage.down = True
    # L2 has not been told for so long that it answers nothing, stale or not.
    await world.age_l2(150_000)
    return outage


async def test_while_mysql_is_down_a_traced_read_is_answered_stale_for_as_long_as_fail_safe_says(
    outage: Outage, time: Time
) -> None:
    time.pass_ms(2001)
    with traced() as trace:
        assert await outage.worker.get("k") == "old"
    assert trace.stale
    assert outage.worker.layers.stats()[KIND].stale == 1
    time.pass_ms(59_999)
    with traced():
        assert await outage.worker.get("k") == "old"
    time.pass_ms(1)
    with traced(), pytest.raises(Unavailable):
        await outage.worker.get("k")


async def test_a_read_that_cannot_say_that_it_is_stale_fails(outage: Outage, time: Time) -> None:
    time.pass_ms(2001)
    with pytest.raises(Unavailable):
        await outage.worker.get("k")
    assert await outage.worker.layers.get(KIND, "k", stale=True) == b"old", "whoever may be given one says so"


async def test_mysql_is_left_alone_for_a_while_by_reads_that_have_a_stale_answer(outage: Outage, time: Time) -> None:
    time.pass_ms(2001)
    loop = asyncio.get_running_loop()
    began = loop.time()
    with traced():
        for _ in range(100):
            await outage.worker.get("k")
    assert outage.tries <= 2 + (loop.time() - began), "the first load of all, and one a second"


async def test_while_mysql_is_down_l2_answers_what_it_was_told_as_far_as_this_reader_is(
    world: World, time: Time
) -> None:
    filler, worker = world.worker(), world.worker()
    await filler.get("k")
    await filler.settled()
    outage = Outage(worker)
    outage.down = True
    await world.age_l2(60_001)
    time.pass_ms(2001)
    with traced() as trace:
        assert await worker.get("k") == "old"
    assert (trace.stale, trace.layer) == (True, 2)
    # A reader that is beyond what L2 was told of knows of changes that L2 may lack.
    world.shelf.put(7, "other", "x")
    worker.reader.meet()
    time.pass_ms(2001)
    with traced(), pytest.raises(Unavailable):
        await worker.get("k")


async def test_stale_answers_are_never_older_than_an_own_write(world: World, outage: Outage, time: Time) -> None:
    world.shelf.change(1, "k", "mine")
    outage.worker.layers.wrote([Change(KIND, "k", "present", 1, 2)])
    time.pass_ms(2001)
    with traced(), pytest.raises(Unavailable):
        await outage.worker.get("k")
    # While nothing is fresh, floors do not age.
    time.pass_ms(40_000)
    with traced(), pytest.raises(Unavailable):
        await outage.worker.get("k")


async def test_a_failed_load_is_told_to_its_callers_and_tried_again_by_the_next(outage: Outage) -> None:
    for _ in range(2):
        with pytest.raises(Unavailable):
            await outage.worker.get("none")
    outage.down = False
    assert await outage.worker.get("none") is None
