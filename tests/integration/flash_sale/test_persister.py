"""The persister: every answered win is one row, whoever dies in between."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from couponry.errors import Unavailable
from couponry.flash_sale.outbox import StepKind
from couponry.flash_sale.wire import TRIED, WON, Place, request_hash
from couponry.jobs.persister import Persister, Trimmer
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance


class Crash(Exception):
    """Stands for kill -9."""


async def test_killed_before_the_commit_nothing_is_written_and_nothing_is_lost(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create()).activity_id
    told = {await shop.win(activity_id, user, "r"): user for user in "abc"}
    with monkeypatch.context() as patch:

        async def die(*_args: object, **_more: object) -> None:
            raise Crash

        # The last statement of the transaction: rows and cursor are written, the commit does not come.
        patch.setattr(activities_store, "move_reserved", die)
        with pytest.raises(Crash):
            await shop.parts.outbox.step(Place(activity_id))
    assert await shop.coupons(activity_id) == {}
    assert await shop.counters() == (0, 10)
    assert await shop.persist() == 3
    assert await shop.coupons(activity_id) == told


async def test_killed_after_the_commit_another_one_goes_on_behind_it(open_instance: OpenInstance) -> None:
    one, two = await open_instance(persist_batch=2), await open_instance(persist_batch=2)
    activity_id = (await one.create()).activity_id
    told = {await one.win(activity_id, user, "r"): user for user in "abcde"}
    assert (await one.parts.outbox.step(Place(activity_id))).persisted == 2
    assert await two.persist() == 3
    assert await two.coupons(activity_id) == told
    await two.assert_sound(activity_id)


async def test_a_cursor_in_the_middle_of_an_entry_goes_on_there(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await asyncio.gather(*(shop.win(activity_id, user, "r") for user in "abcde"))
    base = (await shop.progress(activity_id))["base"]
    # As if an instance with another batch size had persisted the first two.
    await shop.mysql.execute("UPDATE activity_progress SET number = %s", (base + 2,))
    assert await shop.persist() == 3


async def test_many_persisters_at_once_write_every_win_once(open_instance: OpenInstance) -> None:
    instances = [await open_instance(persist_batch=20) for _ in range(3)]
    activity_id = (await instances[0].create(stock=1500)).activity_id
    claims = [instances[n % 3].claim(activity_id, f"u{n}", "r") for n in range(2000)]

    async def persist(shop: Instance, done: asyncio.Event) -> None:
        while not done.is_set():
            await shop.persister.run_once()

    done = asyncio.Event()
    persisters = [asyncio.create_task(persist(shop, done)) for shop in instances]
    responses = await asyncio.gather(*claims)
    done.set()
    await asyncio.gather(*persisters)
    await instances[0].persist()
    told = {each.coupon_id for each in responses if each.coupon_id}
    assert len(told) == 1500
    assert set(await instances[0].coupons(activity_id)) == told
    await instances[0].assert_sound(activity_id)


async def test_a_row_that_somebody_holds_is_left_to_them(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await shop.win(activity_id, "a", "r")
    async with shop.mysql.transaction() as tx:
        await store.lock_progress(tx, (activity_id, 0))
        assert (await shop.parts.outbox.step(Place(activity_id))).kind is StepKind.BUSY
    assert await shop.persist() == 1


async def test_a_win_that_cannot_become_a_coupon_is_recorded_and_the_rest_goes_on(shop: Instance) -> None:
    activity_id = (await shop.create(stock=3)).activity_id
    for user in "abc":
        await shop.win(activity_id, user, "r")
    # A stock that somebody lowered by hand: the last guard holds.
    await shop.mysql.execute("UPDATE activity_progress SET total = 2")
    assert await shop.persist() == 3
    assert sorted((await shop.coupons(activity_id)).values()) == ["a", "b"]
    assert (await shop.claim(activity_id, "c", "r")).status == STATUS.PARTICIPATE_STATUS_FAILED
    [record] = (await shop.records("c", activity_id)).records
    assert record.state == pb.RECORD_STATE_FAILED
    progress = await shop.progress(activity_id)
    assert (progress["sold"], progress["failed"]) == (2, 1)


async def test_with_ack_mysql_a_win_that_failed_is_never_told_won(shop: Instance) -> None:
    activity_id = (await shop.create(stock=3, ack=pb.ACK_MYSQL)).activity_id
    await shop.mysql.execute("UPDATE activity_progress SET total = 0")
    assert (await shop.claim(activity_id, "a", "r")).status == STATUS.PARTICIPATE_STATUS_FAILED


async def test_tried_wins_are_records_that_hold_stock_and_are_no_coupons(shop: Instance) -> None:
    activity_id = (await shop.create(stock=3)).activity_id
    place = Place(activity_id)
    claimed = await shop.parts.sale.claim(place, TRIED, [(b"a", request_hash("t"))])
    assert claimed is not None
    await shop.persist()
    assert await shop.coupons(activity_id) == {}
    [record] = (await shop.records("a", activity_id)).records
    assert record.state == pb.RECORD_STATE_TRIED
    # A rebuild knows it: the limit and the repeat hold.
    await shop.redis.client.delete(*(shop.redis.key(name) for name in place.names()))
    assert await shop.parts.fence.ensure(place)
    assert (await shop.claim(activity_id, "a", "other")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    again = await shop.parts.sale.claim(place, WON, [(b"a", request_hash("t"))])
    assert again is not None
    assert again.verdicts == claimed.verdicts
    await shop.assert_sound(activity_id)


async def test_nudges_name_the_activity_and_wake_the_job_once(shop: Instance) -> None:
    woken: list[int] = []
    persister = Persister(
        mysql=shop.mysql, outbox=shop.parts.outbox, fence=shop.parts.fence, wake=lambda: woken.append(1)
    )
    activity_id = (await shop.create()).activity_id
    for user in "ab":
        await shop.win(activity_id, user, "r")
    assert shop.wins_told == [Place(activity_id)] * 2
    for place in shop.wins_told:
        persister.nudge(place)
    assert woken == [1]
    assert await persister.run_once() == 2
    assert await persister.run_once() == 0


async def test_activities_that_are_settled_or_far_ahead_are_not_looked_at(shop: Instance) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    running = await shop.create()
    await shop.create(start_at=later, end_at=later + timedelta(hours=1))
    ended = await shop.create()
    await shop.end(ended.activity_id)
    rows = await activities_store.select_unsettled(shop.mysql)
    assert [row["activity_id"] for row in rows] == [running.activity_id]


async def test_only_what_was_committed_long_ago_is_trimmed(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    place = Place(activity_id)
    stream = shop.redis.key(place.names()[2])
    trimmer = Trimmer(mysql=shop.mysql, sale=shop.parts.sale, after_s=600)

    async def ten_minutes_pass() -> None:
        await shop.mysql.execute("UPDATE activity_progress SET marked_at = marked_at - INTERVAL 600 SECOND")

    await shop.win(activity_id, "a", "r")
    await shop.persist()
    assert await trimmer.run_once() == 0
    await ten_minutes_pass()
    assert await trimmer.run_once() == 0
    # The first win was committed before this mark; the second one is not in it.
    await shop.win(activity_id, "b", "r")
    await shop.persist()
    assert await shop.redis.client.xlen(stream) == 2
    await ten_minutes_pass()
    assert await trimmer.run_once() == 1
    assert await shop.redis.client.xlen(stream) == 1
    await ten_minutes_pass()
    assert await trimmer.run_once() == 1
    await shop.assert_sound(activity_id)


async def test_a_win_whose_row_does_not_come_says_so(shop: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    activity_id = (await shop.create(ack=pb.ACK_MYSQL)).activity_id
    async with shop.mysql.transaction() as tx:
        await store.lock_progress(tx, (activity_id, 0))
        with monkeypatch.context() as patch:
            patch.setattr(shop.parts.rows, "_patience_s", 0.05)
            with pytest.raises(Unavailable) as told:
                await shop.claim(activity_id, "a", "r")
    assert told.value.reason == "PENDING"
    assert (await shop.claim(activity_id, "a", "r")).status == STATUS.PARTICIPATE_STATUS_WON
