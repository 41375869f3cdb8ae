"""A cancelled win: one unit and the user's place come back, once; its number and its answer stay, whatever dies."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couponry.errors import FailedPrecondition, NotFound
from couponry.flash_sale.wire import CANCELLED, TRIED, WON, Place, from_records, request_hash
from couponry.store import flash_sale as store
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance


async def tried(shop: Instance, activity_id: int, user: str, request_id: str = "t") -> int:
    """A win that a transaction holds; its number."""
    claimed = await shop.parts.sale.claim(Place(activity_id), TRIED, [(user.encode(), request_hash(request_id))])
    assert claimed is not None
    assert claimed.verdicts[0] > 0
    return claimed.verdicts[0]


async def cancel(shop: Instance, activity_id: int, user: str, request_id: str = "t") -> int:
    return await shop.parts.cancelling.cancel(Place(activity_id), user.encode(), request_hash(request_id))


async def records_of(shop: Instance, activity_id: int, user: str) -> list[tuple[int, bytes]]:
    """Number and state of the user's wins in Redis."""
    found: Any = await shop.redis.client.hget(shop.redis.key(Place(activity_id).names()[1]), user)
    return [(win.number, win.kind) for win in from_records(user.encode(), found or b"")]


async def another_replid(shop: Instance, activity_id: int) -> None:
    await shop.redis.client.hset(shop.redis.key(Place(activity_id).names()[0]), "replid", "0" * 40)


async def lose_redis(shop: Instance, activity_id: int) -> None:
    await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))


async def test_a_cancelled_win_gives_its_unit_and_its_place_back_once(shop: Instance) -> None:
    activity_id = (await shop.create(stock=1)).activity_id
    number = await tried(shop, activity_id, "ann")
    assert (await shop.claim(activity_id, "ann", "again")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    assert (await shop.claim(activity_id, "bob", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    for _ in range(3):
        assert await cancel(shop, activity_id, "ann") == Place(activity_id).coupon_id(number)
    assert await shop.left(activity_id) == 1
    assert await records_of(shop, activity_id, "ann") == [(number, CANCELLED)]
    # Its request is answered so for ever, and the user may win again, under another number.
    assert (await shop.claim(activity_id, "ann", "t")).status == STATUS.PARTICIPATE_STATUS_CANCELLED
    won = await shop.win(activity_id, "ann", "again")
    assert won != Place(activity_id).coupon_id(number)
    assert (await shop.claim(activity_id, "bob", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    assert await cancel(shop, activity_id, "ann") == Place(activity_id).coupon_id(number)
    await shop.persist()
    assert await shop.coupons(activity_id) == {won: "ann"}
    states = {each.coupon_id: each.state for each in (await shop.records("ann", activity_id)).records}
    assert states == {won: pb.RECORD_STATE_WON, Place(activity_id).coupon_id(number): pb.RECORD_STATE_CANCELLED}
    progress = await shop.progress(activity_id)
    assert (progress["sold"], progress["total"]) == (1, 1)
    await shop.assert_sound(activity_id)


async def test_cancellations_at_once_from_many_instances_are_one(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(3)]
    activity_id = (await instances[0].create(stock=5)).activity_id
    await tried(instances[0], activity_id, "ann")
    found = await asyncio.gather(*(cancel(instances[n % 3], activity_id, "ann") for n in range(9)))
    assert len(set(found)) == 1
    assert await instances[0].left(activity_id) == 5
    await instances[0].assert_sound(activity_id)


async def test_what_is_no_win_of_a_transaction_is_not_cancelled(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    with pytest.raises(NotFound):
        await cancel(shop, activity_id, "nobody")
    with pytest.raises(NotFound):
        await cancel(shop, 99, "nobody")
    await shop.win(activity_id, "ann", "t")
    with pytest.raises(FailedPrecondition, match="coupon already"):
        await cancel(shop, activity_id, "ann")
    await tried(shop, activity_id, "bob")
    await shop.mysql.execute("UPDATE activity_progress SET total = 1")
    with pytest.raises(FailedPrecondition, match="failed"):
        await cancel(shop, activity_id, "bob")


@pytest.mark.parametrize("lost", ["nothing", "replid", "redis"])
async def test_a_rebuild_and_an_adoption_keep_it(shop: Instance, lost: str) -> None:
    activity_id = (await shop.create(stock=3)).activity_id
    number = await tried(shop, activity_id, "ann")
    await cancel(shop, activity_id, "ann")
    held = await tried(shop, activity_id, "bob")
    if lost == "redis":
        await shop.persist()
        await lose_redis(shop, activity_id)
    elif lost == "replid":
        await another_replid(shop, activity_id)
    assert await shop.parts.fence.ensure(Place(activity_id))
    assert await records_of(shop, activity_id, "ann") == [(number, CANCELLED)]
    assert await records_of(shop, activity_id, "bob") == [(held, TRIED)]
    assert await shop.left(activity_id) == 2
    assert (await shop.claim(activity_id, "ann", "t")).status == STATUS.PARTICIPATE_STATUS_CANCELLED
    await cancel(shop, activity_id, "ann")
    assert await shop.left(activity_id) == 2
    await shop.win(activity_id, "ann", "again")
    await shop.persist()
    await shop.assert_sound(activity_id)


class Crash(Exception):
    """Stands for kill -9."""


@pytest.mark.parametrize("then", ["nothing", "replid", "redis"])
@pytest.mark.parametrize("step", ["before redis", "after redis"])
async def test_a_cancellation_that_a_crash_cut_is_finished_once(
    shop: Instance, monkeypatch: pytest.MonkeyPatch, step: str, then: str
) -> None:
    activity_id = (await shop.create(stock=2)).activity_id
    await tried(shop, activity_id, "ann")

    async def die(*_args: object, **_more: object) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        if step == "before redis":
            patch.setattr(shop.parts.sale.__class__, "adjust", die)
        else:
            patch.setattr(store, "finish_adjustment", die)
        with pytest.raises(Crash):
            await cancel(shop, activity_id, "ann")
    if then == "replid":
        await another_replid(shop, activity_id)
    elif then == "redis":
        await lose_redis(shop, activity_id)
    if then != "nothing":
        assert await shop.parts.fence.ensure(Place(activity_id))
        # The unit is still to come; meanwhile nobody sells it.
        assert await shop.left(activity_id) == 1
    assert await shop.parts.upkeep.run_once() >= 1
    assert await shop.left(activity_id) == 2
    assert (await shop.claim(activity_id, "ann", "t")).status == STATUS.PARTICIPATE_STATUS_CANCELLED
    won = {await shop.win(activity_id, user, "r"): user for user in ("ann", "bob")}
    assert (await shop.claim(activity_id, "eve", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.persist()
    assert await shop.coupons(activity_id) == won
    await shop.assert_sound(activity_id)


async def test_a_cancellation_that_mysql_lost_leaves_the_win_and_its_place(shop: Instance) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    await tried(shop, activity_id, "ann")
    await shop.persist()
    saved = await shop.progress(activity_id)
    await cancel(shop, activity_id, "ann")
    await shop.mysql.execute("UPDATE flash_sale_records SET state = %s", (store.TRIED,))
    await shop.mysql.execute("DELETE FROM adjustments")
    await shop.mysql.execute("UPDATE activity_progress SET sold = %s", (saved["sold"],))
    # Redis names an adjustment that MySQL does not know: it is rebuilt, or it would free a place that MySQL holds.
    assert await shop.parts.upkeep.run_once() == 0
    assert await shop.left(activity_id) == 4
    assert (await shop.claim(activity_id, "ann", "r")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    await cancel(shop, activity_id, "ann")
    await shop.win(activity_id, "ann", "r")
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_a_cancelled_win_whose_record_mysql_lost_too_is_restored_from_redis(shop: Instance) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    saved = await shop.progress(activity_id)
    number = await tried(shop, activity_id, "ann")
    await cancel(shop, activity_id, "ann")
    await shop.mysql.execute("DELETE FROM flash_sale_records")
    await shop.mysql.execute("DELETE FROM adjustments")
    await shop.mysql.execute(
        "UPDATE activity_progress SET sold = 0, number = %s, epoch = epoch + 1", (saved["number"],)
    )
    assert await shop.parts.fence.ensure(Place(activity_id))
    assert await records_of(shop, activity_id, "ann") == [(number, CANCELLED)]
    assert (await shop.claim(activity_id, "ann", "t")).status == STATUS.PARTICIPATE_STATUS_CANCELLED
    assert await shop.left(activity_id) == 5
    await shop.assert_sound(activity_id)


async def test_an_activity_settles_when_its_transactions_are_over(shop: Instance) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    await tried(shop, activity_id, "ann")
    await shop.win(activity_id, "bob", "r")
    assert (await shop.end(activity_id)).activity.state == pb.ACTIVITY_STATE_ENDING
    await cancel(shop, activity_id, "ann")
    # The unit that came back after the end is sold to nobody and goes to the template.
    assert (await shop.claim(activity_id, "eve", "r")).status == STATUS.PARTICIPATE_STATUS_ENDED
    ended = await shop.end(activity_id)
    assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 1, 4)
    assert await shop.counters() == (1, 0)
    assert (await shop.claim(activity_id, "ann", "t")).status == STATUS.PARTICIPATE_STATUS_CANCELLED
    await shop.assert_sound(activity_id)


USERS = ["ann", "bob", "eve"]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("try"), st.sampled_from(USERS), st.sampled_from("xyz")),
        st.tuples(st.just("claim"), st.sampled_from(USERS), st.sampled_from("pq")),
        st.tuples(st.just("cancel"), st.sampled_from(USERS), st.sampled_from("xyz")),
        st.tuples(st.just("persist"), st.just(""), st.just("")),
        st.tuples(st.just("replid"), st.just(""), st.just("")),
        st.tuples(st.just("restock"), st.just(""), st.just("")),
    ),
    max_size=25,
)


class Model:
    """What each request is: live or cancelled; in words."""

    def __init__(self, total: int, limit: int) -> None:
        self.total, self.limit = total, limit
        self.state: dict[tuple[str, str], str] = {}

    @property
    def live(self) -> int:
        return sum(each == "live" for each in self.state.values())

    def claim(self, user: str, request: str) -> str:
        """What a claim is told."""
        known = self.state.get((user, request))
        if known is not None:
            return "won" if known == "live" else "cancelled"
        if sum(each == "live" and who == user for (who, _), each in self.state.items()) >= self.limit:
            return "limit reached"
        if self.live >= self.total:
            return "sold out"
        self.state[user, request] = "live"
        return "won"


async def claim(shop: Instance, place: Place, kind: bytes, user: str, request: str) -> str:
    claims = [(user.encode(), request_hash(request))]
    claimed = await shop.parts.sale.claim(place, kind, claims)
    if claimed is None:
        assert await shop.parts.fence.ensure(place)
        claimed = await shop.parts.sale.claim(place, kind, claims)
    assert claimed is not None
    [verdict] = claimed.verdicts
    return "won" if verdict > 0 else {-3: "sold out", -4: "limit reached", -6: "cancelled"}[verdict]


@given(steps=steps, limit=st.integers(1, 3), stock=st.integers(1, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_tries_claims_and_cancellations_in_any_order_follow_the_model(
    shop: Instance, steps: list[tuple[str, str, str]], limit: int, stock: int
) -> None:
    activity_id = (await shop.create(stock=stock, per_user_limit=limit)).activity_id
    place, model = Place(activity_id), Model(stock, limit)
    for name, user, request in steps:
        match name:
            case "try" | "claim":
                kind = TRIED if name == "try" else WON
                assert await claim(shop, place, kind, user, request) == model.claim(user, request)
            case "cancel" if (user, request) in model.state:
                await cancel(shop, activity_id, user, request)
                model.state[user, request] = "cancelled"
            case "cancel":
                with pytest.raises(NotFound):
                    await cancel(shop, activity_id, user, request)
            case "persist":
                await shop.persist()
            case "replid":
                await another_replid(shop, activity_id)
            case "restock":
                model.total += 1
                await shop.adjust(activity_id, 1, f"to {model.total}")
    await shop.persist()
    await shop.parts.fence.ensure(place)
    assert await shop.left(activity_id) == model.total - model.live
    await shop.assert_sound(activity_id)
