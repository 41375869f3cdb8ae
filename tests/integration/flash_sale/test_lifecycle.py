"""An activity's life: created, configured, adjusted, ended, settled."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couponry.clock import to_timestamp
from couponry.errors import FailedPrecondition, InvalidArgument, NotFound
from couponry.flash_sale.wire import Place
from couponry.v1 import flash_sale_pb2 as pb
from couponry.v1 import template_pb2
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance, spec


def soon(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


async def pause_template(shop: Instance, state: int = template_pb2.TEMPLATE_STATE_PAUSED) -> None:
    await shop.mysql.execute("UPDATE templates SET state = %s, version = version + 1", (state,))


async def set_free(shop: Instance, *, total: int, issued: int) -> None:
    await shop.mysql.execute("UPDATE templates SET total = %s", (total,))
    await shop.mysql.execute("UPDATE template_counters SET issued = %s", (issued,))


# Created


async def test_stock_is_carved_from_the_template(shop: Instance) -> None:
    await set_free(shop, total=100, issued=30)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.create(stock=71)
    assert (refused.value.reason, refused.value.metadata) == ("TOTAL_LIMIT", {"left": "70"})
    activity_id = (await shop.create(stock=70)).activity_id
    assert await shop.counters() == (30, 70)

    told = {await shop.win(activity_id, f"u{n}", "r"): f"u{n}" for n in range(45)}
    ended = await shop.end(activity_id)
    assert ended.activity.state == pb.ACTIVITY_STATE_SETTLED
    assert (ended.sold, ended.returned) == (45, 25)
    assert await shop.counters() == (75, 0)
    assert await shop.coupons(activity_id) == told
    await shop.assert_sound(activity_id)

    # A pause: no new win, and wins told before become coupons.
    activity_id = (await shop.create(stock=5)).activity_id
    before = await shop.win(activity_id, "before", "r")
    await pause_template(shop)
    await shop.parts.configurator.template_changed(1)
    assert (await shop.claim(activity_id, "after", "r")).status == STATUS.PARTICIPATE_STATUS_PAUSED
    assert await shop.win(activity_id, "before", "r") == before
    await shop.persist()
    assert await shop.coupons(activity_id) == {before: "before"}


async def test_the_same_key_and_spec_is_the_same_activity(shop: Instance) -> None:
    fields = {"key": "noon", "start_at": soon(hours=-1), "end_at": soon(hours=1), "metadata": {"a": "1", "b": "2"}}
    first = await shop.create(**fields)
    assert await shop.create(**fields) == first
    assert await shop.counters() == (0, 10)
    with pytest.raises(FailedPrecondition) as refused:
        await shop.create(**{**fields, "stock": 11})
    assert refused.value.reason == "KEY_TAKEN"
    assert refused.value.metadata == {"activity_id": str(first.activity_id)}
    # Refused and repeated creations use no ids: there are only a million.
    assert (await shop.create()).activity_id == first.activity_id + 1


async def test_a_repeated_creation_reserves_once(shop: Instance) -> None:
    request = pb.CreateActivityRequest(spec=spec(), request_id="q")
    first = await shop.parts.activities.create(request, "admin")
    assert await shop.parts.activities.create(request, "admin") == first
    request.spec.stock = 11
    with pytest.raises(InvalidArgument) as refused:
        await shop.parts.activities.create(request, "admin")
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert await shop.counters() == (0, 10)


async def test_creations_at_once_never_reserve_more_than_there_is(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(2)]
    await set_free(instances[0], total=100, issued=0)
    created = await asyncio.gather(*(instances[n % 2].create(stock=30) for n in range(8)), return_exceptions=True)
    assert sum(isinstance(each, pb.Activity) for each in created) == 3
    assert all(isinstance(each, pb.Activity | FailedPrecondition) for each in created)
    assert await instances[0].counters() == (0, 90)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"stock": 0}, "spec.stock"),
        ({"stock": 10_000_001}, "spec.stock"),
        ({"per_user_limit": 0}, "spec.per_user_limit"),
        ({"per_user_limit": 101}, "spec.per_user_limit"),
        ({"name": ""}, "spec.name"),
        ({"name": "n" * 65}, "spec.name"),
        ({"key": ""}, "spec.key"),
        ({"key": "k" * 65}, "spec.key"),
        ({"template_id": 0}, "spec.template_id"),
        ({"buckets": 0}, "spec.buckets"),
        ({"buckets": 17}, "spec.buckets"),
        ({"metadata": {str(n): "" for n in range(21)}}, "spec.metadata"),
        ({"start_at": None}, "spec.start_at"),
        ({"start_at": soon(hours=2), "end_at": soon(hours=1)}, "spec.end_at"),
        ({"end_at": soon(seconds=-1)}, "spec.end_at"),
        ({"end_at": soon(days=31)}, "spec.end_at"),
    ],
)
async def test_a_limit_passed_is_named(shop: Instance, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.create(**changes)
    assert [each.field for each in refused.value.violations] == [field]
    assert await shop.counters() == (0, 0)


async def test_values_at_the_limits_are_taken(shop: Instance) -> None:
    await set_free(shop, total=20_000_000, issued=0)
    largest = await shop.create(
        stock=10_000_000,
        per_user_limit=100,
        name="名" * 64,
        key="k" * 64,
        metadata={str(n): "v" for n in range(20)},
        buckets=1,
        ack=pb.ACK_MYSQL,
    )
    assert await shop.left(largest.activity_id) == 10_000_000
    assert largest.spec.metadata["19"] == "v"
    assert largest.spec.name == "名" * 64


async def test_an_activity_needs_its_template(shop: Instance) -> None:
    with pytest.raises(NotFound):
        await shop.create(template_id=99)


# Read


async def test_an_activity_is_found_by_id_key_and_version(shop: Instance) -> None:
    activity = await shop.create(key="noon")
    get = shop.parts.activities.get
    assert (await get(pb.GetActivityRequest(activity_id=activity.activity_id))).activity == activity
    assert (await get(pb.GetActivityRequest(key="noon"))).activity == activity
    with pytest.raises(FailedPrecondition) as refused:
        await get(pb.GetActivityRequest(key="noon", min_version=2))
    assert refused.value.reason == "VERSION_NOT_REACHED"
    # By hand, past every cache: the version is asked of SQL.
    await shop.mysql.execute("UPDATE activities SET name = 'by hand'")
    assert (await get(pb.GetActivityRequest(key="noon", min_version=2))).activity.spec.name == "by hand"
    for request in (pb.GetActivityRequest(key="other"), pb.GetActivityRequest(activity_id=77)):
        with pytest.raises(NotFound):
            await get(request)
    with pytest.raises(InvalidArgument):
        await get(pb.GetActivityRequest())


async def test_the_state_of_an_activity_follows_from_time(shop: Instance) -> None:
    scheduled = await shop.create(start_at=soon(minutes=1))
    running = await shop.create()
    assert scheduled.state == pb.ACTIVITY_STATE_SCHEDULED
    assert running.state == pb.ACTIVITY_STATE_RUNNING
    paused = await shop.update(running.activity_id, "paused", paused=True)
    assert paused.state == pb.ACTIVITY_STATE_PAUSED
    await shop.mysql.execute("UPDATE activities SET end_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND")
    request = pb.GetActivityRequest(activity_id=running.activity_id, min_version=3)
    assert (await shop.parts.activities.get(request)).activity.state == pb.ACTIVITY_STATE_ENDING


async def test_lists_are_paged_newest_first_and_by_end(shop: Instance) -> None:
    ids = [(await shop.create(stock=1, end_at=soon(hours=10 - n % 3))).activity_id for n in range(7)]
    await shop.create(start_at=soon(hours=1), end_at=soon(hours=2))
    listed: list[int] = []
    request = pb.ListActivitiesRequest(page_size=3, template_id=1)
    while True:
        page = await shop.parts.activities.page(request)
        listed += [each.activity_id for each in page.activities]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert listed == [ids[-1] + 1, *reversed(ids)]

    active: list[pb.Activity] = []
    running = pb.ListActiveActivitiesRequest(page_size=2)
    while True:
        found = await shop.parts.activities.active_page(running)
        active += found.activities
        running.page_token = found.next_page_token
        if not found.next_page_token:
            break
    assert sorted(each.activity_id for each in active) == ids
    keys = [(each.spec.end_at.ToMilliseconds(), each.activity_id) for each in active]
    assert keys == sorted(keys)
    with pytest.raises(InvalidArgument):
        await shop.parts.activities.page(pb.ListActivitiesRequest(page_token="x"))
    with pytest.raises(InvalidArgument):
        await shop.parts.activities.page(pb.ListActivitiesRequest(page_size=201))


# Changed


async def test_a_change_is_seen_by_the_next_claim_everywhere(open_instance: OpenInstance) -> None:
    one, two = await open_instance(), await open_instance()
    activity_id = (await one.create(per_user_limit=1)).activity_id
    await two.win(activity_id, "a", "1")
    assert (await two.claim(activity_id, "a", "2")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    await one.update(activity_id, "per_user_limit", spec=pb.ActivitySpec(per_user_limit=2))
    await two.win(activity_id, "a", "2")
    await one.update(activity_id, "paused", paused=True)
    assert (await two.claim(activity_id, "b", "1")).status == STATUS.PARTICIPATE_STATUS_PAUSED
    await one.update(activity_id, "paused", "per_user_limit", paused=False, spec=pb.ActivitySpec(per_user_limit=1))
    await two.win(activity_id, "b", "1")
    # The limit was two when the second win was told: it is a coupon.
    await one.persist()
    assert sorted((await one.coupons(activity_id)).values()) == ["a", "a", "b"]
    await one.assert_sound(activity_id)


async def test_a_change_made_by_sql_reaches_redis_with_the_next_upkeep(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await shop.mysql.execute("UPDATE activities SET paused = 1")
    await shop.parts.upkeep.run_once()
    assert (await shop.claim(activity_id, "a", "1")).status == STATUS.PARTICIPATE_STATUS_PAUSED
    await shop.mysql.execute("UPDATE activities SET paused = 0")
    await pause_template(shop)
    await shop.parts.upkeep.run_once()
    assert (await shop.claim(activity_id, "a", "1")).status == STATUS.PARTICIPATE_STATUS_PAUSED
    await pause_template(shop, template_pb2.TEMPLATE_STATE_ACTIVE)
    await shop.parts.upkeep.run_once()
    await shop.win(activity_id, "a", "1")


async def test_what_may_not_change_says_why(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id

    async def refused(*paths: str, **fields: Any) -> str:
        with pytest.raises((FailedPrecondition, InvalidArgument)) as error:
            await shop.update(activity_id, *paths, **fields)
        return error.value.reason

    assert await refused("start_at", spec=pb.ActivitySpec(start_at=to_timestamp(soon(hours=0.5)))) == "ACTIVITY_STARTED"
    assert await refused("end_at", spec=pb.ActivitySpec(end_at=to_timestamp(soon(seconds=-1)))) == "INVALID_FIELD"
    assert await refused("end_at", spec=pb.ActivitySpec(end_at=to_timestamp(soon(days=40)))) == "INVALID_FIELD"
    assert await refused("stock", spec=pb.ActivitySpec(stock=20)) == "INVALID_FIELD"
    assert await refused() == "INVALID_FIELD"
    assert await refused("paused", paused=True, etag=9) == "ETAG_MISMATCH"
    assert (await shop.update(activity_id, "paused", paused=True, etag=1)).version == 2
    await shop.end(activity_id)
    assert await refused("paused", paused=False) == "ACTIVITY_ENDED"
    assert (await shop.update(activity_id, "name", spec=pb.ActivitySpec(name="was noon"))).spec.name == "was noon"
    with pytest.raises(NotFound):
        await shop.update(99, "paused", paused=True)


# Adjusted


async def test_total_below_issued(shop: Instance) -> None:
    activity_id = (await shop.create(stock=50)).activity_id
    for n in range(30):
        await shop.win(activity_id, f"u{n}", "r")
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await shop.adjust(activity_id, -21, "a")
        assert (refused.value.reason, refused.value.metadata) == ("BELOW_ISSUED", {"least": "-20"})
    for _ in range(2):
        answer = await shop.adjust(activity_id, -20, "b")
        assert (answer.total, answer.left) == (30, 0)
    assert (await shop.claim(activity_id, "late", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    assert await shop.counters() == (0, 30)
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_an_adjustment_repeated_a_hundred_times_is_one(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(2)]
    activity_id = (await instances[0].create(stock=5)).activity_id
    answers = await asyncio.gather(*(instances[n % 2].adjust(activity_id, 7, "x") for n in range(20)))
    assert {(each.total, each.left) for each in answers} == {(12, 12)}
    assert await instances[0].counters() == (0, 12)
    with pytest.raises(InvalidArgument) as refused:
        await instances[0].adjust(activity_id, 8, "x")
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    # An answer stays what it was when later ones came.
    await instances[1].adjust(activity_id, -2, "y")
    assert (await instances[0].adjust(activity_id, 7, "x")).total == 12
    await instances[0].assert_sound(activity_id)


async def test_adjustments_while_claims_go_on_are_exact(shop: Instance) -> None:
    activity_id = (await shop.create(stock=500)).activity_id
    changes = [shop.adjust(activity_id, 10 if n % 2 else -5, f"x{n}") for n in range(20)]
    claims = [shop.claim(activity_id, f"u{n}", "r") for n in range(300)]
    results = await asyncio.gather(*changes, *claims)
    await shop.persist()
    stock = 500 + sum(10 if n % 2 else -5 for n in range(20))
    won = sum(isinstance(each, pb.ParticipateResponse) and each.coupon_id > 0 for each in results)
    assert won + await shop.left(activity_id) == stock
    assert len(await shop.coupons(activity_id)) == won
    await shop.assert_sound(activity_id)


@pytest.mark.parametrize("redis_restarts", [False, True])
@pytest.mark.parametrize("delta", [3, -2])
async def test_what_a_crash_left_pending_is_applied_once_by_the_upkeep(
    shop: Instance, monkeypatch: pytest.MonkeyPatch, delta: int, redis_restarts: bool
) -> None:
    activity_id = (await shop.create(stock=5)).activity_id

    class Crash(Exception):
        """Stands for kill -9."""

    async def die(*_args: object, **_more: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        # Redis has applied it, the transaction is gone.
        patch.setattr("couponry.store.flash_sale.finish_adjustment", die)
        with pytest.raises(Crash):
            await shop.adjust(activity_id, delta, "x")
    await shop.win(activity_id, "ann", "r")
    if redis_restarts:
        # The pass reads what MySQL knows: the adjustment is still to come.
        await shop.redis.client.hset(shop.redis.key(Place(activity_id).names()[0]), "replid", "0" * 40)
    assert await shop.parts.upkeep.run_once() == 1
    assert await shop.left(activity_id) == 4 + delta
    assert (await shop.adjust(activity_id, delta, "x")).total == 5 + delta
    assert await shop.parts.upkeep.run_once() == 0
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_a_restock_comes_out_of_the_template(shop: Instance) -> None:
    await set_free(shop, total=12, issued=0)
    activity_id = (await shop.create(stock=10)).activity_id
    with pytest.raises(FailedPrecondition) as refused:
        await shop.adjust(activity_id, 3, "x")
    assert (refused.value.reason, refused.value.metadata) == ("TOTAL_LIMIT", {"left": "2"})
    assert (await shop.adjust(activity_id, 2, "x")).total == 12
    assert await shop.counters() == (0, 12)


@pytest.mark.parametrize(
    ("delta", "name", "field"),
    [(0, "x", "delta"), (10_000_001, "x", "delta"), (1, "", "adjustment_id"), (1, "x" * 65, "adjustment_id")],
)
async def test_an_adjustment_out_of_its_limits_is_named(shop: Instance, delta: int, name: str, field: str) -> None:
    activity_id = (await shop.create()).activity_id
    with pytest.raises(InvalidArgument) as refused:
        await shop.adjust(activity_id, delta, name)
    assert [each.field for each in refused.value.violations] == [field]


async def test_a_stock_above_the_limit_or_without_numbers_is_refused(shop: Instance) -> None:
    await set_free(shop, total=100_000_000, issued=0)
    activity_id = (await shop.create(stock=9_999_999)).activity_id
    with pytest.raises(InvalidArgument):
        await shop.adjust(activity_id, 2, "x")
    await shop.mysql.execute("UPDATE activity_progress SET base = %s", (2**28 - 17 * 10_000_000,))
    with pytest.raises(FailedPrecondition) as refused:
        await shop.adjust(activity_id, 1, "y")
    assert refused.value.reason == "ADJUSTMENT_REFUSED"


# Ended and settled


async def test_after_settling_repeats_are_answered_from_mysql(open_instance: OpenInstance) -> None:
    one, two = await open_instance(), await open_instance()
    activity_id = (await one.create(per_user_limit=2)).activity_id
    told = {name: await one.win(activity_id, "ann", name) for name in ("r1", "r2")}
    for _ in range(2):
        ended = await one.end(activity_id, "q")
        assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 2, 8)
    keys = [one.redis.key(name) for name in Place(activity_id).names()]
    assert all([0 < await one.redis.client.ttl(key) <= 86_400 for key in keys])
    # With and without the keys, and where another instance still believes that it runs.
    for _ in range(2):
        for shop in (one, two):
            for name, coupon_id in told.items():
                assert await shop.win(activity_id, "ann", name) == coupon_id
            assert (await shop.claim(activity_id, "bob", "r")).status == STATUS.PARTICIPATE_STATUS_ENDED
        await one.redis.client.delete(*keys)
    stock = await one.parts.stock.get(pb.GetStockRequest(activity_id=activity_id))
    assert (stock.left, stock.total, stock.sold) == (0, 2, 2)
    states = [each.state for each in (await one.records("ann", activity_id)).records]
    assert states == [pb.RECORD_STATE_WON] * 2
    await one.assert_sound(activity_id)
    assert await one.persist() == 0


async def test_a_settled_activity_is_opened_by_nobody(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await shop.end(activity_id)
    await shop.redis.client.flushall()
    assert not await shop.parts.fence.ensure(Place(activity_id))
    with pytest.raises(FailedPrecondition) as refused:
        await shop.adjust(activity_id, 1, "x")
    assert refused.value.reason == "ACTIVITY_ENDED"


async def test_an_activity_whose_window_is_over_settles_by_itself(shop: Instance) -> None:
    activity = await shop.create(stock=3)
    coupon_id = await shop.win(activity.activity_id, "ann", "r")
    await shop.parts.upkeep.run_once()
    assert await shop.left(activity.activity_id) == 2
    await shop.mysql.execute("UPDATE activities SET end_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND")
    assert await shop.parts.upkeep.run_once() == 1
    assert await shop.coupons(activity.activity_id) == {coupon_id: "ann"}
    assert await shop.counters() == (1, 0)
    await shop.assert_sound(activity.activity_id)


async def test_an_ending_that_a_crash_cut_goes_on(shop: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    coupon_id = await shop.win(activity_id, "ann", "r")

    class Crash(Exception):
        """Stands for kill -9."""

    async def die(*_args: object, **_more: object) -> None:
        raise Crash

    for step in ("couponry.store.flash_sale.finish_adjustment", "couponry.flash_sale.outbox.take"):
        with monkeypatch.context() as patch:
            patch.setattr(step, die)
            with pytest.raises(Crash):
                await shop.end(activity_id)
    assert (await shop.claim(activity_id, "bob", "r")).status == STATUS.PARTICIPATE_STATUS_ENDED
    await shop.parts.upkeep.run_once()
    ended = await shop.end(activity_id)
    assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 1, 4)
    assert await shop.coupons(activity_id) == {coupon_id: "ann"}


async def test_an_activity_that_ends_before_it_begins_settles_too(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(start_at=soon(days=1), end_at=soon(days=2))).activity_id

    async def later(_place: Place) -> bool:
        return False

    with monkeypatch.context() as patch:
        patch.setattr(shop.parts.settlement, "settle", later)
        assert (await shop.end(activity_id)).activity.state == pb.ACTIVITY_STATE_ENDING
    await shop.parts.upkeep.run_once()
    assert (await shop.end(activity_id)).activity.state == pb.ACTIVITY_STATE_SETTLED
    assert await shop.counters() == (0, 0)


async def test_ending_while_claims_go_on_loses_no_win(open_instance: OpenInstance) -> None:
    one, two = await open_instance(), await open_instance()
    activity_id = (await one.create(stock=5000)).activity_id
    claims = [asyncio.create_task(two.claim(activity_id, f"u{n}", "r")) for n in range(2000)]
    await two.claim(activity_id, "first", "r")
    ended = await one.end(activity_id)
    responses = await asyncio.gather(*claims)
    while ended.activity.state != pb.ACTIVITY_STATE_SETTLED:
        ended = await one.end(activity_id)
    won = {each.coupon_id for each in responses if each.coupon_id}
    assert len(await one.coupons(activity_id)) == ended.sold == len(won) + 1
    assert ended.returned == 5000 - ended.sold
    assert await one.counters() == (ended.sold, 0)


async def test_ending_what_does_not_exist_is_not_found(shop: Instance) -> None:
    for activity_id in (7, 2**30):
        with pytest.raises(NotFound):
            await shop.end(activity_id)
