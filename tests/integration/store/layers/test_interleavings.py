"""Every interleaving of loads, events, tells and faults that once broke a smaller protocol, on real servers.

After each of them the next answer is the newest row, in the worker that was misled and in another one.
"""

import asyncio
from collections.abc import Iterator

import pytest

from couponry.store.layers import L2
from tests.integration.store.layers.conftest import KIND, OpenRedis, World, eventually
from tests.integration.topologies import Replicated


async def answers(world: World, expected: str) -> None:
    """A worker that knows nothing answers this, from L2 or SQL, once its reader and L2 know of everything."""
    await world.teller().tell()
    fresh = world.worker()
    assert await fresh.get("k") == expected
    await fresh.settled()


async def test_a_fill_that_began_before_the_update_and_lands_after_it_is_kept_nowhere(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        early = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        world.shelf.change(1, "k", "new")
        worker.reader.meet()
        await world.teller().tell()
    assert await early == "old", "it asked before the change"
    await worker.settled()
    assert await world.held("k") is None
    assert not worker.holds("k")
    assert await worker.get("k") == "new"
    await answers(world, "new")


async def test_l2_refuses_such_a_fill_even_where_the_workers_own_reader_is_behind(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        early = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        world.shelf.change(1, "k", "new")
        await world.teller().tell()
    assert await early == "old"
    stats = worker.layers.l2_stats()
    await eventually(lambda: stats.refused["behind"])
    # It waits for its reader, looks at its floors again, and does not try with what is too old.
    worker.reader.meet()
    await worker.settled()
    assert (stats.refused["behind"], stats.stored) == (1, 0)
    assert await world.held("k") is None
    assert await worker.get("k") == "new"
    await answers(world, "new")


async def test_a_fill_refused_because_its_reader_is_behind_is_tried_once_more_when_it_is_there(world: World) -> None:
    worker = world.worker()
    world.shelf.change(1, "k", "new")
    await world.teller().tell()
    assert await worker.get("k") == "new"
    stats = worker.layers.l2_stats()
    await eventually(lambda: stats.refused["behind"])
    worker.reader.meet()
    await worker.settled()
    assert stats.stored == 1
    assert await world.held("k") == b"new"
    await answers(world, "new")


async def test_a_fill_that_began_after_the_event_but_read_the_old_row_is_kept_nowhere(world: World) -> None:
    worker = world.worker()
    with world.shelf.changing(1, "k", "new"):
        # The log has it, the reader and L2 were told, and a SELECT does not see it yet.
        worker.reader.meet()
        await world.teller().tell()
        assert await worker.get("k") == "old"
        await worker.settled()
        assert not worker.holds("k")
        assert await world.held("k") is None
    assert await worker.get("k") == "new"
    await worker.settled()
    assert worker.holds("k")
    assert await world.held("k") == b"new"
    await answers(world, "new")


async def test_an_event_told_twice_drops_nothing_that_is_newer(world: World) -> None:
    worker, teller = world.worker(), world.teller()
    world.shelf.change(1, "k", "new")
    await teller.look()
    calls = teller.prepare()
    assert await teller.send(calls) == {True}
    worker.reader.meet()
    assert await worker.get("k") == "new"
    await worker.settled()
    assert await teller.send(calls) == {False}, "told is no longer where it starts"
    assert await world.held("k") == b"new"
    # Told once more from where a snapshot without the last tells stands.
    await teller.look()
    [(_, held)] = [(bucket, held) for bucket, held in teller.held.items() if bucket == L2.bucket((KIND, "k"))]
    place = world.log.at(1).place
    await world.redis.client.hset(L2(world.redis, timeout_s=30).told_key(L2.bucket((KIND, "k"))), "place", place)
    await teller.look()
    assert await teller.send(teller.prepare()) == {True}
    assert held.at == world.log.at()
    assert await world.held("k") == b"new"


async def test_an_older_event_that_is_told_late_is_refused(world: World) -> None:
    late, teller = world.teller(), world.teller()
    world.shelf.change(1, "k", "newer")
    await late.look()
    calls = late.prepare()
    world.shelf.change(1, "k", "newest")
    await teller.tell()
    worker = world.worker()
    assert await worker.get("k") == "newest"
    await worker.settled()
    assert await late.send(calls) == {False}
    assert await world.held("k") == b"newest"
    await late.look()
    assert {held.at for held in late.held.values()} == {world.log.at()}
    await answers(world, "newest")


async def test_l2_filled_ahead_of_our_event_stays_right_when_the_event_comes(world: World) -> None:
    ahead, behind = world.worker(), world.worker()
    world.shelf.change(1, "k", "new")
    ahead.reader.meet()
    assert await ahead.get("k") == "new"
    await ahead.settled()
    assert await world.held("k") == b"new", "L2 takes it: told is not beyond the filler"
    assert await behind.get("k") == "new"
    assert behind.loads == [], "it came from L2"
    assert behind.holds("k")
    behind.reader.meet()
    await world.teller().tell()
    assert await world.held("k") == b"new", "the event finds nothing older"
    assert await behind.get("k") == "new"
    assert behind.loads == []


async def test_two_rows_of_one_list_changed_by_two_writers_are_both_in_what_is_kept(world: World) -> None:
    world.shelf.put(2, "k", "old2")
    await world.teller().tell()
    worker = world.worker()
    with world.shelf.changing(2, "k", "new2"):
        world.shelf.change(1, "k", "new")
        worker.reader.meet()
        assert await worker.get("k") == "new old2", "the second writer's row is not visible yet"
        await worker.settled()
        assert not worker.holds("k")
        assert await world.held("k") is None
    await answers(world, "new new2")
    assert await worker.get("k") == "new new2"


async def test_a_list_in_l2_is_dropped_by_the_event_of_either_row(world: World) -> None:
    world.shelf.put(2, "k", "old2")
    await world.teller().tell()
    for row, expected in ((1, "new old2"), (2, "new new")):
        worker = world.worker()
        await worker.get("k")
        await worker.settled()
        assert await world.held("k") is not None
        world.shelf.change(row, "k", "new")
        await world.teller().tell()
        assert await world.held("k") is None
        await answers(world, expected)


async def test_a_row_that_left_or_was_deleted_is_not_served_again(world: World) -> None:
    world.shelf.put(2, "k", "old2")
    await world.teller().tell()
    worker = world.worker()
    with worker.holding(worker.may_answer):
        early = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        world.shelf.delete(2, "k")
        worker.reader.meet()
        await world.teller().tell()
    assert await early == "old old2"
    await worker.settled()
    assert not worker.holds("k")
    assert await world.held("k") is None
    assert await worker.get("k") == "old"
    await answers(world, "old")


async def test_a_row_that_is_inserted_again_with_a_lower_version_is_not_kept_for_a_floors_life(world: World) -> None:
    worker = world.worker()
    world.shelf.change(1, "k", "old")
    world.shelf.delete(1, "k")
    worker.reader.meet()
    world.shelf.put(1, "k", "again")
    worker.reader.meet()
    assert await worker.get("k") == "again"
    await worker.settled()
    assert not worker.holds("k")
    world.time.pass_ms(30_000)
    worker.reader.freshen()
    # The clock of floors stood still while nothing was fresh.
    world.time.pass_ms(2000)
    worker.reader.freshen()
    assert await worker.get("k") == "again"
    await worker.settled()
    assert not worker.holds("k")
    for _ in range(30):
        world.time.pass_ms(1000)
        worker.reader.freshen()
    assert await worker.get("k") == "again"
    assert worker.holds("k")


async def test_an_epoch_that_changes_under_a_fill_refuses_it(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        load = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        await world.teller().tell(anew=True)
    assert await load == "old"
    await worker.settled()
    assert worker.layers.l2_stats().refused["epoch"] == 1
    assert await world.held("k") is None
    await answers(world, "old")


async def test_an_entry_of_an_earlier_epoch_is_not_served(world: World) -> None:
    worker = world.worker()
    await worker.get("k")
    await worker.settled()
    world.shelf.change(1, "k", "new")
    # The place that was told could not be resumed: nobody told L2 of the change.
    await world.teller().tell(anew=True)
    assert await world.held("k") == b"old", "it is there, of the epoch before"
    other = world.worker()
    assert await other.get("k") == "new"
    assert other.loads == [["k"]]


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with Replicated(tmp_path_factory.mktemp("replicated")) as servers:
        yield servers


async def test_a_promoted_replica_that_missed_the_last_tells_is_told_them(
    world: World, replicated: Replicated, open_redis: OpenRedis
) -> None:
    [replica] = replicated.replicas
    master, promoted = open_redis(replicated.url), open_redis(f"redis://{replica.address}/0")
    teller = world.teller(master)
    await teller.tell()
    filler = world.worker(redis=master)
    assert await filler.get("k") == "old"
    await filler.settled()
    replicated.until_following(1)
    await master.client.execute_command("WAIT", 1, 0)
    replica.ask("REPLICAOF", "NO", "ONE")
    # What the master was told from here on, the replica lacks.
    world.shelf.change(1, "k", "new")
    await teller.tell()
    assert await world.held("k", master) is None
    assert await world.held("k", promoted) == b"old"

    # The old teller does not know that it speaks to another server: what it starts from is not there.
    await teller.look()
    calls = teller.prepare()
    elsewhere = world.teller(promoted)
    assert await elsewhere.send(calls) == {False}
    # Whoever tells goes on from what is there: the cache is not cold, and lacks nothing.
    await elsewhere.tell()
    assert await world.held("k", promoted) is None
    worker = world.worker(redis=promoted)
    assert await worker.get("k") == "new"
    await worker.settled()
    assert await world.held("k", promoted) == b"new"


async def test_a_redis_that_was_emptied_serves_nothing_until_it_is_told_anew(world: World) -> None:
    worker, teller = world.worker(), world.teller()
    await worker.get("k")
    await worker.settled()
    await teller.look()
    calls = teller.prepare()
    keys = await world.redis.client.keys(world.redis.key("l2:*"))
    await world.redis.client.delete(*keys)
    world.shelf.change(1, "k", "new")
    assert await teller.send(calls) == {False}
    other = world.worker()
    assert await other.get("k") == "new"
    await other.settled()
    assert await world.held("k") is None, "a worker does not fill what nobody told"
    await teller.look()
    assert await teller.send(teller.prepare()) == {True}
    await answers(world, "new")
    assert await world.held("k") == b"new"


async def test_a_redis_restored_from_an_old_snapshot_is_told_what_it_lacks(world: World) -> None:
    worker, client = world.worker(), world.redis.client
    await worker.get("k")
    await worker.settled()
    snapshot = {key: await client.dump(key) for key in await client.keys(world.redis.key("l2:*"))}
    world.shelf.change(1, "k", "new")
    worker.reader.meet()
    await world.teller().tell()
    assert await worker.get("k") == "new"
    await worker.settled()
    behind = world.teller()
    await behind.look()
    calls = behind.prepare()
    for key, value in snapshot.items():
        await client.restore(key, 0, value, replace=True)
    assert await world.held("k") == b"old"
    assert await behind.send(calls) == {False}
    await behind.tell()
    assert await world.held("k") is None
    await answers(world, "new")


async def test_an_old_snapshot_is_not_served_while_nobody_tells(world: World) -> None:
    worker, client = world.worker(), world.redis.client
    await worker.get("k")
    await worker.settled()
    told_key = worker.layers.l2.told_key(L2.bucket((KIND, "k")))
    await client.hincrby(told_key, "time", -60_001)
    other = world.worker()
    world.shelf.change(1, "k", "new")
    assert await other.get("k") == "new"
    # A time in the future, as after a failover to a server whose clock is behind, is no age at all.
    await client.hincrby(told_key, "time", 600_000)
    another = world.worker()
    assert await another.get("k") == "new"
    assert another.loads == [["k"]]


async def test_binlog_numbers_that_restart_are_beyond_what_was_told(world: World) -> None:
    worker = world.worker()
    with worker.holding(worker.may_answer):
        load = asyncio.create_task(worker.get("k"))
        await worker.has_read.wait()
        world.log.restart()
        world.shelf.change(1, "k", "new")
        await world.teller().tell(anew=True)
    assert await load == "old"
    await worker.settled()
    assert await world.held("k") is None
    worker.reader.lose()
    worker.reader.start()
    assert await worker.get("k") == "new"
    await answers(world, "new")


async def test_a_worker_of_another_server_fills_and_keeps_nothing_of_this_one(world: World) -> None:
    worker = world.worker()
    await worker.get("k")
    await worker.settled()
    world.log.identity = b"another server"
    moved = world.worker()
    assert await moved.get("k") == "old"
    assert moved.loads == []
    assert not moved.holds("k"), "what the other server's log told says nothing of this reader's"
    assert not await moved.layers.l2.fill({}, {}, world.log.at())


async def test_of_two_tellers_at_once_one_is_refused_and_goes_on_from_what_is_there(world: World) -> None:
    first, second = world.teller(), world.teller()
    world.shelf.change(1, "k", "new")
    await first.look()
    await second.look()
    assert await first.send(first.prepare()) == {True}
    world.shelf.change(1, "k", "newer")
    assert await second.send(second.prepare()) == {False}
    await second.tell()
    await first.look()
    assert {held.at for held in first.held.values()} == {world.log.at()}
    await answers(world, "newer")


async def test_a_teller_that_was_frozen_and_wakes_is_refused_and_moves_no_time(world: World) -> None:
    frozen = world.teller()
    world.shelf.change(1, "k", "new")
    await frozen.look()
    calls = frozen.prepare()
    await world.teller().tell()
    worker = world.worker()
    await worker.get("k")
    await worker.settled()
    before = await world.redis.client.hgetall(worker.layers.l2.told_key(0))
    assert await frozen.send(calls) == {False}
    assert await world.redis.client.hgetall(worker.layers.l2.told_key(0)) == before
    assert await world.held("k") == b"new"


async def test_a_new_epoch_is_refused_where_somebody_told_meanwhile(world: World) -> None:
    frozen = world.teller()
    await frozen.look()
    calls = frozen.prepare(anew=True)
    world.shelf.change(1, "k", "new")
    await world.teller().tell()
    assert await frozen.send(calls) == {False}


async def test_a_transaction_told_in_chunks_moves_the_time_with_the_last(world: World) -> None:
    l2 = L2(world.redis, timeout_s=30)
    bucket = L2.bucket((KIND, "k"))
    worker = world.worker()
    await worker.get("k")
    await worker.settled()
    told_key = l2.told_key(bucket)
    await world.redis.client.hincrby(told_key, "time", -1000)
    before = int(await world.redis.client.hget(told_key, "time"))
    world.shelf.change(1, "k", "new")
    world.shelf.change(1, "k", "newer")
    held = (await l2.told())[bucket]
    first = l2.telling(
        bucket, held, world.log.at(2), world.log.changes[1:2], epoch=held.epoch, time_ms=None, trail_ms=0
    )
    assert await l2.tell([first]) == [True]
    assert int(await world.redis.client.hget(told_key, "time")) == before
    assert await world.held("k") is None
    held = (await l2.told())[bucket]
    assert held.at == world.log.at(2)
    last = l2.telling(
        bucket, held, world.log.at(3), world.log.changes[2:], epoch=held.epoch, time_ms=held.now_ms, trail_ms=0
    )
    assert await l2.tell([last]) == [True]
    assert int(await world.redis.client.hget(told_key, "time")) > before


async def test_the_trail_gives_readers_that_start_a_coordinate_that_is_old_enough(world: World) -> None:
    l2 = L2(world.redis, timeout_s=30)
    first = await l2.trail(0, 0)
    assert first == world.log.at(1)
    assert await l2.trail(0, 30_000) is None, "nothing is that old yet"
    trail = world.redis.key("l2:{b00}:trail")
    await world.redis.client.zincrby(trail, -30_000, first.identity + b" " + first.place)
    world.shelf.change(1, "k", "new")
    await world.teller().tell()
    assert await l2.trail(0, 0) == world.log.at(2)
    assert await l2.trail(0, 30_000) == first
