"""An activity of several buckets: stock moves to where it is asked for, and SOLD_OUT is said when all are empty.

Users are chosen by their bucket, so that a test knows which one it empties.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import grpc
import grpc.aio
import pytest

from couponry.errors import FailedPrecondition, InvalidArgument, Unavailable
from couponry.flash_sale.messages import split_stock
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import TRIED, WON, Place, request_hash
from couponry.frontend.hot import answer_claims
from couponry.frontend.native import NativeServer
from couponry.store import flash_sale as store
from couponry.v1 import coupon_pb2
from couponry.v1 import flash_sale_pb2 as pb
from couponry.v1.flash_sale_pb2_grpc import FlashSaleServiceStub, add_FlashSaleServiceServicer_to_server
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance, statuses


def users_of(bucket: int, buckets: int, prefix: str = "u") -> Iterator[str]:
    """Users whose claims that bucket decides."""
    return (user for n in range(10**9) if Place.of(1, buckets, (user := f"{prefix}{n}").encode()).bucket == bucket)


async def lefts(shop: Instance, activity_id: int, buckets: int) -> list[int]:
    return [(await shop.parts.sale.look(Place(activity_id, bucket))).number("left") for bucket in range(buckets)]


async def rows(shop: Instance, activity_id: int) -> list[dict[str, Any]]:
    return await store.select_all_progress(shop.mysql, activity_id)


async def restart_bucket(shop: Instance, place: Place) -> None:
    """m carries the replication id of another server, as after a failover."""
    await shop.redis.client.hset(shop.redis.key(place.names()[0]), "replid", "0" * 40)


async def lose_bucket(shop: Instance, place: Place) -> None:
    await shop.redis.client.delete(*(shop.redis.key(name) for name in place.names()))


@pytest.mark.parametrize(("stock", "buckets"), [(10, 1), (10, 3), (2, 16), (1000, 16)])
async def test_the_stock_is_split_and_counted_as_one(shop: Instance, stock: int, buckets: int) -> None:
    activity = await shop.create(stock=stock, buckets=buckets)
    assert activity.spec.buckets == buckets
    assert await lefts(shop, activity.activity_id, buckets) == split_stock(stock, buckets)
    seen = await shop.parts.stock.get(pb.GetStockRequest(activity_id=activity.activity_id))
    assert (seen.left, seen.total, seen.sold) == (stock, stock, 0)
    assert await shop.counters() == (0, stock)
    await shop.assert_sound(activity.activity_id)


async def test_every_user_is_decided_by_one_bucket_and_the_limit_is_exact(shop: Instance) -> None:
    activity_id = (await shop.create(stock=500, buckets=4, per_user_limit=3)).activity_id
    claims = [(f"u{n % 50}", f"r{n // 50}") for n in range(250)]
    responses = await asyncio.gather(*(shop.claim(activity_id, user, request) for user, request in claims))
    assert statuses(responses) == {"WON": 150, "LIMIT_REACHED": 100}
    again = await asyncio.gather(*(shop.claim(activity_id, user, request) for user, request in claims))
    for (user, _), first, second in zip(claims, responses, again, strict=True):
        if first.coupon_id:
            assert second.coupon_id == first.coupon_id
            assert (first.coupon_id >> 28) & 15 == Place.of(activity_id, 4, user.encode()).bucket
    await shop.persist()
    assert len(await shop.coupons(activity_id)) == 150
    records = (await shop.records("u7", activity_id)).records
    assert [each.state for each in records] == [pb.RECORD_STATE_WON] * 3
    await shop.assert_sound(activity_id)


async def test_a_bucket_that_runs_dry_gets_stock_from_the_fullest(shop: Instance) -> None:
    activity_id = (await shop.create(stock=40, buckets=4)).activity_id
    mine = users_of(0, 4)
    # All of it is sold to users of one bucket.
    won = {await shop.win(activity_id, next(mine), "r") for _ in range(40)}
    assert len(won) == 40
    for bucket in range(4):
        late = await shop.claim(activity_id, next(users_of(bucket, 4, "late")), "r")
        assert late.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    totals = [row["total"] for row in await rows(shop, activity_id)]
    assert totals == [40, 0, 0, 0]
    await shop.persist()
    assert set(await shop.coupons(activity_id)) == won
    await shop.assert_sound(activity_id)


async def test_claims_that_never_see_python_get_to_the_bucket_of_their_user(
    shop: Instance, tmp_path_factory: pytest.TempPathFactory
) -> None:
    activity_id = (await shop.create(stock=200, buckets=16)).activity_id
    socket = tmp_path_factory.mktemp("s") / "s"
    server = NativeServer()
    add_FlashSaleServiceServicer_to_server(shop.parts.servicer(), server)
    answer_claims(server, shop.parts.claims)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    told: dict[str, int] = {}

    async def client(number: int) -> None:
        for n in range(12):
            user = f"c{number}-{n}"
            while True:
                try:
                    response = await stub.Participate(
                        pb.ParticipateRequest(activity_id=activity_id, user_id=user, request_id="r")
                    )
                except grpc.aio.AioRpcError as error:
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        raise
                    continue
                break
            if response.coupon_id:
                told[user] = response.coupon_id
            else:
                assert response.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT

    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = FlashSaleServiceStub(channel)
        await asyncio.gather(*(client(number) for number in range(20)))
        # The other path finds the same win.
        for user in list(told)[:20]:
            assert await shop.win(activity_id, user, "r") == told[user]
    await server.stop(None)
    assert len(told) == 200
    for user, coupon_id in told.items():
        assert (coupon_id >> 28) & 15 == Place.of(activity_id, 16, user.encode()).bucket
    await shop.persist()
    assert await shop.coupons(activity_id) == {coupon_id: user for user, coupon_id in told.items()}
    await shop.assert_sound(activity_id)


async def test_sold_out_is_said_only_when_every_bucket_is_empty(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(2)]
    activity_id = (await instances[0].create(stock=200, buckets=8)).activity_id
    sold_out_at: list[int] = []
    won: set[int] = set()

    async def client(number: int) -> None:
        shop = instances[number % 2]
        for n in range(40):
            while True:
                try:
                    response = await shop.claim(activity_id, f"c{number}-{n}", "r")
                except Unavailable as error:
                    await asyncio.sleep(error.retry_after_s or 0)
                    continue
                break
            if response.coupon_id:
                won.add(response.coupon_id)
            else:
                assert response.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
                # Whoever wins after this was decided before it.
                sold_out_at.append(sum(await lefts(shop, activity_id, 8)))

    await asyncio.gather(*(client(number) for number in range(20)))
    assert len(won) == 200
    assert set(sold_out_at) == {0}
    await instances[0].persist()
    assert set(await instances[0].coupons(activity_id)) == won
    await instances[0].assert_sound(activity_id)


async def test_an_empty_bucket_is_unavailable_while_stock_is_on_its_way(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=2, buckets=2)).activity_id
    ours, theirs = users_of(0, 2), users_of(1, 2)
    await shop.win(activity_id, next(ours), "r")

    async def nothing(_place: Place) -> None:
        return None

    with monkeypatch.context() as patch:
        patch.setattr(shop.parts.balance, "fill", nothing)
        with pytest.raises(Unavailable) as told:
            await shop.claim(activity_id, next(ours), "r")
    assert told.value.retry_after_s
    await shop.win(activity_id, next(theirs), "r")
    assert (await shop.claim(activity_id, next(ours), "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT


class Crash(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("then", ["nothing", "donor fenced", "dry fenced", "donor lost", "dry lost"])
@pytest.mark.parametrize(
    "step",
    ["written", "taken", "finished", "arrived"],
)
async def test_a_move_may_die_at_any_step(
    shop: Instance, monkeypatch: pytest.MonkeyPatch, step: str, then: str
) -> None:
    activity_id = (await shop.create(stock=20, buckets=2)).activity_id
    ours, theirs = users_of(0, 2), users_of(1, 2)
    won = {await shop.win(activity_id, next(ours), "r") for _ in range(10)}
    won |= {await shop.win(activity_id, next(theirs), "r")}
    await shop.persist()
    donor, dry = Place(activity_id, 1), Place(activity_id, 0)
    calls: list[str] = []
    real_adjust, real_finish = Sale.adjust, store.finish_adjustment

    async def adjust(sale: Sale, place: Place, **kwargs: Any) -> Any:
        calls.append(kwargs["kind"])
        if (step, kwargs["kind"]) in {("written", "take"), ("finished", "stock")}:
            raise Crash
        return await real_adjust(sale, place, **kwargs)

    async def finish(*args: Any, **kwargs: Any) -> None:
        if (step == "taken" and calls == ["take"]) or (step == "arrived" and calls == ["take", "stock"]):
            raise Crash
        await real_finish(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Sale, "adjust", adjust)
        patch.setattr(store, "finish_adjustment", finish)
        with pytest.raises(Crash):
            await shop.parts.balance.fill(dry)
    place = donor if "donor" in then else dry
    if "fenced" in then:
        await restart_bucket(shop, place)
    elif "lost" in then:
        await lose_bucket(shop, place)
    # Whoever comes next finds all of it.
    while True:
        try:
            response = await shop.claim(activity_id, next(ours), "r")
        except Unavailable:
            continue
        if not response.coupon_id:
            break
        won.add(response.coupon_id)
    assert response.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    assert len(won) == 20
    await shop.persist()
    assert set(await shop.coupons(activity_id)) == won
    assert sum(row["total"] for row in await rows(shop, activity_id)) == 20
    await shop.assert_sound(activity_id)


async def test_what_a_crash_left_of_a_move_is_finished_by_the_upkeep(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=10, buckets=2)).activity_id
    ours = users_of(0, 2)
    for _ in range(5):
        await shop.win(activity_id, next(ours), "r")

    async def die(*_args: object, **_more: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(store, "finish_adjustment", die)
        with pytest.raises(Crash):
            await shop.parts.balance.fill(Place(activity_id, 0))
    assert await lefts(shop, activity_id, 2) == [0, 2]
    await shop.parts.upkeep.run_once()
    await shop.parts.upkeep.run_once()
    assert await lefts(shop, activity_id, 2) == [3, 2]
    await shop.persist()
    await shop.assert_sound(activity_id)


async def sell_out(shop: Instance, activity_id: int, buckets: int, units: int) -> set[int]:
    """Sells `units`, until every bucket says SOLD_OUT."""
    won = set()
    for n in range(10**9):
        response = await shop.claim(activity_id, f"s{n}", "r")
        if response.coupon_id:
            won.add(response.coupon_id)
        elif len(won) == units:
            break
    for bucket in range(buckets):
        response = await shop.claim(activity_id, next(users_of(bucket, buckets, "none")), "r")
        assert response.status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    return won


async def test_a_restock_of_a_sold_out_activity_is_sold_to_users_of_any_bucket(shop: Instance) -> None:
    activity_id = (await shop.create(stock=6, buckets=3)).activity_id
    won = await sell_out(shop, activity_id, 3, 6)
    answer = await shop.adjust(activity_id, 2, "x")
    assert (answer.total, answer.left) == (8, 2)
    # The buckets that got nothing of it do not say SOLD_OUT any more.
    third = users_of(2, 3, "again")
    won |= {await shop.win(activity_id, next(third), "r") for _ in range(2)}
    assert (await shop.claim(activity_id, next(third), "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.persist()
    assert set(await shop.coupons(activity_id)) == won
    await shop.assert_sound(activity_id)


async def test_a_bucket_that_finds_stock_in_a_fence_pass_tells_the_others(shop: Instance) -> None:
    activity_id = (await shop.create(stock=4, buckets=2)).activity_id
    theirs = users_of(1, 2)
    await shop.win(activity_id, next(theirs), "r")
    await shop.persist()
    await sell_out(shop, activity_id, 2, 3)
    # Bucket 0 loses wins that were not persisted: their stock is sold again, also to users of bucket 1.
    await lose_bucket(shop, Place(activity_id, 0))
    assert await shop.parts.fence.ensure(Place(activity_id, 0))
    [left, _] = await lefts(shop, activity_id, 2)
    assert left > 0
    for _ in range(left):
        await shop.win(activity_id, next(theirs), "r")
    assert (await shop.claim(activity_id, next(theirs), "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_a_bucket_that_was_not_told_of_stock_is_told_by_the_upkeep(shop: Instance) -> None:
    activity_id = (await shop.create(stock=4, buckets=2)).activity_id
    await sell_out(shop, activity_id, 2, 4)
    # As if the telling had found the other bucket's server cut off.
    await shop.redis.client.hincrby(shop.redis.key(Place(activity_id, 0).names()[0]), "left", 1)
    theirs = users_of(1, 2)
    assert (await shop.claim(activity_id, next(theirs), "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.parts.upkeep.run_once()
    await shop.win(activity_id, next(theirs), "r")


async def test_a_cancelled_win_of_a_sold_out_activity_is_sold_again_from_any_bucket(shop: Instance) -> None:
    activity_id = (await shop.create(stock=2, buckets=2)).activity_id
    place = Place(activity_id, 0)
    user = next(users_of(0, 2, "t")).encode()
    assert await shop.parts.sale.claim(place, TRIED, [(user, request_hash("t"))]) is not None
    await sell_out(shop, activity_id, 2, 1)
    await shop.parts.cancelling.cancel(place, user, request_hash("t"))
    await shop.win(activity_id, next(users_of(1, 2)), "r")
    await shop.persist()
    await shop.assert_sound(activity_id)


# Changed


async def test_a_decrease_takes_from_all_buckets_and_is_refused_below_what_is_sold(shop: Instance) -> None:
    activity_id = (await shop.create(stock=40, buckets=4)).activity_id
    ours = users_of(3, 4)
    for _ in range(5):
        await shop.win(activity_id, next(ours), "r")
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await shop.adjust(activity_id, -36, "a")
        assert (refused.value.reason, refused.value.metadata) == ("BELOW_ISSUED", {"least": "-35"})
    assert sum(await lefts(shop, activity_id, 4)) == 35
    for _ in range(2):
        answer = await shop.adjust(activity_id, -34, "b")
        assert (answer.total, answer.left) == (6, 1)
    assert await shop.counters() == (0, 6)
    # One unit is left somewhere: anybody gets it.
    await shop.win(activity_id, next(ours), "r")
    assert (await shop.claim(activity_id, next(ours), "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    with pytest.raises(InvalidArgument) as mismatch:
        await shop.adjust(activity_id, -1, "b")
    assert mismatch.value.reason == "IDEMPOTENCY_MISMATCH"
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_a_decrease_that_claims_overtake_takes_the_rest_elsewhere_or_gives_all_back(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=20, buckets=2)).activity_id
    real = Sale.adjust
    buyers = {bucket: users_of(bucket, 2) for bucket in range(2)}
    to_sell: list[int] = []

    async def adjust(sale: Sale, place: Place, **kwargs: Any) -> Any:
        if kwargs["kind"] == "take" and to_sell:
            # Between the plan and the taking, so much of this bucket is sold.
            claims = [(next(buyers[place.bucket]).encode(), request_hash("r")) for _ in range(to_sell.pop())]
            claimed = await sale.claim(place, WON, claims)
            assert claimed is not None
            assert min(claimed.verdicts) > 0
        return await real(sale, place, **kwargs)

    monkeypatch.setattr(Sale, "adjust", adjust)
    to_sell.append(9)
    answer = await shop.adjust(activity_id, -10, "a")
    assert (answer.total, answer.left) == (10, 1)
    await shop.adjust(activity_id, 9, "b")
    before, counters = await lefts(shop, activity_id, 2), await shop.counters()
    assert sum(before) == 10
    # One is sold of each while the decrease is under way: ten are not there any more.
    to_sell.extend([1, 1])
    with pytest.raises(FailedPrecondition) as refused:
        await shop.adjust(activity_id, -10, "c")
    assert refused.value.metadata == {"least": "-8"}
    assert sum(await lefts(shop, activity_id, 2)) == 8
    assert await shop.counters() == counters
    await shop.persist()
    await shop.assert_sound(activity_id)


@pytest.mark.parametrize("delta", [7, -7])
@pytest.mark.parametrize("at", range(4))
async def test_a_change_that_a_crash_cut_is_finished_once(
    shop: Instance, monkeypatch: pytest.MonkeyPatch, delta: int, at: int
) -> None:
    activity_id = (await shop.create(stock=30, buckets=3)).activity_id
    real = store.finish_adjustment
    finished: list[int] = []

    async def finish(*args: Any, **kwargs: Any) -> None:
        if len(finished) == at:
            raise Crash
        finished.append(1)
        await real(*args, **kwargs)

    async def die(*_args: object, **_more: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(store, "finish_adjustment", finish)
        if at == 3:
            patch.setattr(store, "finish_change", die)
        with pytest.raises(Crash):
            await shop.adjust(activity_id, delta, "x")
    for _ in range(3):
        await shop.parts.upkeep.run_once()
    assert sum(await lefts(shop, activity_id, 3)) == 30 + delta
    assert (await shop.adjust(activity_id, delta, "x")).total == 30 + delta
    assert await shop.counters() == (0, 30 + delta)
    await shop.assert_sound(activity_id)


async def again(work: Callable[[], Awaitable[Any]]) -> Any:
    """Repeats what was UNAVAILABLE."""
    while True:
        try:
            return await work()
        except Unavailable:
            await asyncio.sleep(0.01)


async def look_after(shop: Instance, over: asyncio.Event) -> None:
    """What the jobs of a worker do."""
    while not over.is_set():
        with contextlib.suppress(Unavailable):
            await shop.persister.run_once()
            await shop.parts.upkeep.run_once()


async def test_changes_moves_claims_and_restarts_at_once_are_exact(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(2)]
    activity_id = (await instances[0].create(stock=300, buckets=4)).activity_id
    told: dict[str, set[int]] = {}
    deltas = [5 if n % 2 else -4 for n in range(12)]
    chance = random.Random(7)

    async def claim(number: int) -> None:
        # Most users are of one bucket.
        user = next(users_of(0 if number % 4 else number % 3 + 1, 4, f"c{number}-"))
        for _ in range(2):
            response = await again(lambda: instances[number % 2].claim(activity_id, user, "r"))
            if response.coupon_id:
                told.setdefault(user, set()).add(response.coupon_id)

    async def restart() -> None:
        for _ in range(6):
            await asyncio.sleep(0.02)
            await restart_bucket(instances[0], Place(activity_id, chance.randrange(4)))

    changes = [
        again(partial(instances[number % 2].adjust, activity_id, delta, f"x{number}"))
        for number, delta in enumerate(deltas)
    ]
    over = asyncio.Event()
    jobs = asyncio.create_task(look_after(instances[1], over))
    await asyncio.gather(*(claim(n) for n in range(400)), *changes, restart())
    over.set()
    await jobs
    await instances[0].persist()
    stock = 300 + sum(deltas)
    coupons = await instances[0].coupons(activity_id)
    assert {user: {coupon_id} for coupon_id, user in coupons.items()} == told
    assert len(coupons) == stock
    assert sum(row["total"] for row in await rows(instances[0], activity_id)) == stock
    await instances[0].assert_sound(activity_id)


async def test_settings_reach_every_bucket(shop: Instance) -> None:
    activity_id = (await shop.create(stock=30, buckets=3)).activity_id
    users = [next(users_of(bucket, 3)) for bucket in range(3)]
    for user in users:
        await shop.win(activity_id, user, "r")
        assert (await shop.claim(activity_id, user, "s")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    await shop.update(activity_id, "per_user_limit", spec=pb.ActivitySpec(per_user_limit=2))
    for user in users:
        await shop.win(activity_id, user, "s")
    await shop.update(activity_id, "paused", paused=True)
    for user in users:
        assert (await shop.claim(activity_id, user, "t")).status == STATUS.PARTICIPATE_STATUS_PAUSED
    await shop.persist()
    assert len(await shop.coupons(activity_id)) == 6
    await shop.assert_sound(activity_id)


async def test_all_buckets_end_and_settle_together(shop: Instance) -> None:
    activity_id = (await shop.create(stock=30, buckets=3)).activity_id
    told = {await shop.win(activity_id, f"u{n}", "r"): f"u{n}" for n in range(12)}
    ended = await shop.end(activity_id)
    assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 12, 18)
    assert await shop.counters() == (12, 0)
    assert await shop.coupons(activity_id) == told
    for coupon_id, user in told.items():
        assert await shop.win(activity_id, user, "r") == coupon_id
    assert (await shop.claim(activity_id, "late", "r")).status == STATUS.PARTICIPATE_STATUS_ENDED
    await shop.assert_sound(activity_id)


async def test_an_activity_of_buckets_ends_by_time(shop: Instance) -> None:
    activity_id = (await shop.create(stock=30, buckets=3)).activity_id
    await shop.win(activity_id, "ann", "r")
    await shop.mysql.execute("UPDATE activities SET end_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND")
    # The first round tells Redis of the new end, the next one sees that it has passed.
    settled = 0
    for _ in range(3):
        settled += await shop.parts.upkeep.run_once()
    assert settled == 1
    assert await shop.counters() == (1, 0)
    await shop.assert_sound(activity_id)


async def test_an_end_that_finds_stock_on_its_way_gives_it_back(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=10, buckets=2)).activity_id
    ours = users_of(0, 2)
    for _ in range(5):
        await shop.win(activity_id, next(ours), "r")
    real = Sale.adjust

    async def adjust(sale: Sale, place: Place, **kwargs: Any) -> Any:
        if kwargs["kind"] == "stock":
            raise Crash
        return await real(sale, place, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Sale, "adjust", adjust)
        with pytest.raises(Crash):
            await shop.parts.balance.fill(Place(activity_id, 0))
    ended = await shop.end(activity_id)
    assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 5, 5)
    assert await shop.counters() == (5, 0)
    await shop.assert_sound(activity_id)


async def test_a_winner_of_any_bucket_pays_at_once(shop: Instance) -> None:
    activity_id = (await shop.create(stock=100, buckets=16)).activity_id
    for n in range(10):
        coupon_id = await shop.win(activity_id, f"u{n}", "r")
        [coupon] = (await shop.parts.pending.find(f"u{n}", [coupon_id])).values()
        assert coupon.state == coupon_pb2.COUPON_STATE_PENDING
        assert list(await shop.parts.pending.of_user(f"u{n}")) == [coupon_id]
        [record] = (await shop.records(f"u{n}", activity_id)).records
        assert (record.coupon_id, record.state) == (coupon_id, pb.RECORD_STATE_PENDING)


async def test_the_audit_names_the_bucket_that_is_wrong(shop: Instance) -> None:
    activity_id = (await shop.create(stock=30, buckets=3)).activity_id
    for n in range(12):
        await shop.win(activity_id, f"u{n}", "r")
    await shop.persist()
    await shop.assert_sound(activity_id)
    await shop.mysql.execute("UPDATE activity_progress SET failed = 1 WHERE bucket = 2")
    wrong = [each.name for each in await shop.parts.audit.audit(activity_id) if not each.holds]
    assert wrong == ["failed = FAILED records [bucket 2]"]
