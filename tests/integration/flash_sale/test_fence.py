"""The fence: whichever Redis answers, with whatever history, nothing is oversold and no number is told twice."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from couponry.devstack import DevStack
from couponry.errors import Unavailable
from couponry.flash_sale.outbox import StepKind
from couponry.flash_sale.sale import PassGone, Sale
from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance


@pytest.fixture
async def mortal(open_instance: OpenInstance, mortal_redis: DevStack) -> Instance:
    """An instance on a Redis that the test may kill."""
    return await open_instance(mortal_redis.redis_url)


async def keys_of(shop: Instance, activity_id: int) -> dict[str, bytes]:
    """A copy of the activity's keys, as a replica or a backup has them."""
    names = [shop.redis.key(name) for name in Place(activity_id).names()]
    dumps = {name: await shop.redis.client.dump(name) for name in names}
    return {name: dump for name, dump in dumps.items() if dump is not None}


async def restore(shop: Instance, activity_id: int, keys: dict[str, bytes]) -> None:
    """Puts a copy in the place of what is there."""
    await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))
    for name, dump in keys.items():
        await shop.redis.client.restore(name, 0, dump)


async def another_replid(shop: Instance, activity_id: int) -> None:
    """What a restart does to m: its replid is no longer the server's."""
    await shop.redis.client.hset(shop.redis.key(Place(activity_id).names()[0]), "replid", "0" * 40)


def restart(stack: DevStack) -> None:
    stack.kill_redis()
    stack.start_redis()


async def test_a_claim_after_a_restart_of_redis_waits_for_the_fence_and_is_answered(
    mortal: Instance, mortal_redis: DevStack
) -> None:
    activity_id = (await mortal.create(stock=10)).activity_id
    told = {user: await mortal.win(activity_id, user, "r") for user in "abc"}
    await mortal.persist()
    told |= {user: await mortal.win(activity_id, user, "r") for user in "de"}
    epoch = (await mortal.progress(activity_id))["epoch"]

    restart(mortal_redis)
    told["f"] = await mortal.win(activity_id, "f", "r")
    for user, coupon_id in told.items():
        assert await mortal.win(activity_id, user, "r") == coupon_id
    assert (await mortal.progress(activity_id))["epoch"] > epoch
    await mortal.persist()
    assert await mortal.coupons(activity_id) == {coupon_id: user for user, coupon_id in told.items()}
    assert await mortal.left(activity_id) == 4
    await mortal.assert_sound(activity_id)


async def test_an_empty_redis_is_rebuilt_from_mysql(mortal: Instance, mortal_redis: DevStack) -> None:
    activity_id = (await mortal.create(stock=5)).activity_id
    told = {user: await mortal.win(activity_id, user, "r") for user in "abc"}
    await mortal.persist()
    lost = await mortal.win(activity_id, "lost", "r")
    await mortal.redis.client.flushall()
    restart(mortal_redis)

    for user, coupon_id in told.items():
        assert await mortal.win(activity_id, user, "r") == coupon_id
    # What Redis lost before MySQL had it is sold again, under a number that nobody was told.
    again = [await mortal.win(activity_id, user, "r") for user in ("lost", "new")]
    assert lost not in again
    assert (await mortal.claim(activity_id, "late", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await mortal.persist()
    assert len(await mortal.coupons(activity_id)) == 5
    await mortal.assert_sound(activity_id)


async def test_an_old_snapshot_behind_mysql_is_rebuilt(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    first = await shop.win(activity_id, "a", "r")
    old = await keys_of(shop, activity_id)
    second = await shop.win(activity_id, "b", "r")
    await shop.persist()
    await restore(shop, activity_id, old)
    await another_replid(shop, activity_id)

    assert await shop.win(activity_id, "b", "r") == second
    assert await shop.win(activity_id, "a", "r") == first
    assert await shop.left(activity_id) == 8
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_numbers_that_a_truncated_tail_told_are_told_to_nobody_else(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    kept = await shop.win(activity_id, "a", "r")
    old = await keys_of(shop, activity_id)
    gone = {await shop.win(activity_id, f"gone{n}", "r") for n in range(3)}
    await restore(shop, activity_id, old)
    await another_replid(shop, activity_id)

    # Nothing of this was persisted, so the old data are adopted, and the numbers go on beyond all that was possible.
    later = {await shop.win(activity_id, f"later{n}", "r") for n in range(9)}
    assert not later & gone
    assert await shop.win(activity_id, "a", "r") == kept
    assert (await shop.claim(activity_id, "last", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.persist()
    assert set(await shop.coupons(activity_id)) == later | {kept}
    await shop.assert_sound(activity_id)


async def test_an_old_masters_wins_of_an_older_epoch_are_offered_and_never_just_taken(
    open_instance: OpenInstance, mortal_redis: DevStack
) -> None:
    old, new = await open_instance(), await open_instance(mortal_redis.redis_url)
    activity_id = (await old.create(stock=4)).activity_id
    place = Place(activity_id)
    before = await old.win(activity_id, "before", "r")
    # The replica is promoted while the old master goes on: both sell.
    await restore(new, activity_id, await keys_of(old, activity_id))
    told = {before: "before"}
    for user in ("n1", "n2"):
        told[await new.win(activity_id, user, "r")] = user
    split = {await old.win(activity_id, user, "r"): user for user in ("o1", "o2", "n1")}
    assert not set(split) & set(told)

    await new.persist()
    assert (await old.parts.outbox.step(place)).kind is StepKind.FENCE
    assert await old.coupons(activity_id) == told
    # A pass on the old one offers its wins: one fits, the others fail, the limit of n1 holds.
    assert await old.parts.fence.ensure(place)
    coupons = await old.coupons(activity_id)
    assert len(coupons) == 4
    assert set(told) < set(coupons)
    progress = await old.progress(activity_id)
    assert (progress["sold"], progress["failed"]) == (4, 2)
    # The persister on the new one sees the row's epoch and fences it: sold out, and its own wins are as they were.
    await new.persist()
    assert (await new.claim(activity_id, "late", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await new.persist()
    for coupon_id, user in told.items():
        assert await new.win(activity_id, user, "r") == coupon_id
    await new.assert_sound(activity_id)


async def test_commits_that_mysql_lost_are_restored_from_redis(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    first = await shop.win(activity_id, "a", "r")
    await shop.persist()
    saved = await shop.progress(activity_id)
    counters = await shop.counters()
    told = {first: "a"} | {await shop.win(activity_id, user, "r"): user for user in "bc"}
    await shop.persist()
    await another_replid(shop, activity_id)
    told[await shop.win(activity_id, "d", "r")] = "d"
    assert len(await shop.coupons(activity_id)) == 3

    # The commits of two wins, and that of the fence pass, are gone; Redis's epoch is ahead of the row's.
    await forget_commits(shop, activity_id, saved, counters, first)
    await shop.persist()
    assert await shop.coupons(activity_id) == told
    for coupon_id, user in told.items():
        assert await shop.win(activity_id, user, "r") == coupon_id
    assert await shop.counters() == (4, 6)
    await shop.assert_sound(activity_id)


async def forget_commits(
    shop: Instance, activity_id: int, saved: dict[str, Any], counters: tuple[int, int], kept: int
) -> None:
    await shop.mysql.execute("DELETE FROM user_coupons WHERE activity_id = %s AND id <> %s", (activity_id, kept))
    columns = ", ".join(f"{name} = %s" for name in saved)
    await shop.mysql.execute(
        f"UPDATE activity_progress SET {columns} WHERE activity_id = %s", (*saved.values(), activity_id)
    )
    await shop.mysql.execute("UPDATE template_counters SET issued = %s, reserved = %s", counters)


async def test_wins_that_the_outbox_lacks_come_from_the_winners_hash(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    told = {await shop.win(activity_id, user, "r"): user for user in "abc"}
    stream = shop.redis.key(Place(activity_id).names()[2])
    entries: Any = await shop.redis.client.xrange(stream)
    [_, (middle, _), _] = entries
    await shop.redis.client.xdel(stream, middle)
    await shop.persist()
    assert await shop.coupons(activity_id) == told
    await shop.assert_sound(activity_id)


async def test_an_emptied_outbox_is_noticed_too(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    told = {await shop.win(activity_id, user, "r"): user for user in "abc"}
    await shop.redis.client.xtrim(shop.redis.key(Place(activity_id).names()[2]), maxlen=0, approximate=False)
    await shop.persist()
    assert await shop.coupons(activity_id) == told
    await shop.assert_sound(activity_id)


class Crash(Exception):
    """Stands for kill -9."""


Step = Callable[..., Awaitable[Any]]


def crash_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, after: bool) -> None:
    """The next call of a step is the last thing that the process does, before or after its effect."""
    real: Step = getattr(owner, name)
    crashed: list[bool] = []

    async def step(*args: Any, **kwargs: Any) -> Any:
        if crashed:
            return await real(*args, **kwargs)
        crashed.append(True)
        if after:
            await real(*args, **kwargs)
        raise Crash

    monkeypatch.setattr(owner, name, step)


@pytest.mark.parametrize("history", ["same", "behind", "empty"])
@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (Sale, "close", False),
        (Sale, "close", True),
        (store, "new_epoch", False),
        (store, "new_epoch", True),
        (Sale, "open", False),
        (Sale, "open", True),
    ],
)
async def test_a_pass_may_die_at_any_step(
    shop: Instance, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, after: bool, history: str
) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    told = {await shop.win(activity_id, "a", "r"): "a"}
    old = {} if history == "empty" else await keys_of(shop, activity_id)
    told[await shop.win(activity_id, "b", "r")] = "b"
    if history != "same":
        await shop.persist()
        await restore(shop, activity_id, old)
    if history != "empty":
        await another_replid(shop, activity_id)

    with monkeypatch.context() as patch:
        crash_once(patch, owner, name, after=after)
        with pytest.raises(Crash):
            await shop.parts.fence.ensure(Place(activity_id))
    for coupon_id, user in told.items():
        assert await shop.win(activity_id, user, "r") == coupon_id
    told |= {await shop.win(activity_id, user, "r"): user for user in "cde"}
    assert len(told) == 5
    assert (await shop.claim(activity_id, "f", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.persist()
    assert await shop.coupons(activity_id) == told
    await shop.assert_sound(activity_id)


async def test_a_pass_that_another_one_overtook_changes_nothing(
    shop: Instance, open_instance: OpenInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    await shop.win(activity_id, "a", "r")
    await another_replid(shop, activity_id)
    place = Place(activity_id)
    overtaken: list[bool] = []
    real = Sale.read_outbox

    async def read(sale: Sale, *args: Any) -> Any:
        if not overtaken:
            overtaken.append(True)
            await sale.close(place, "another pass")
        return await real(sale, *args)

    monkeypatch.setattr(Sale, "read_outbox", read)
    with pytest.raises(PassGone):
        await shop.parts.sale.read_outbox(place, "not mine", "x", 0, 0)
    assert await shop.parts.fence.ensure(place)
    assert overtaken
    assert (await shop.progress(activity_id))["sold"] == 1
    await shop.assert_sound(activity_id)


async def test_passes_of_many_instances_at_once_end_with_one_open_activity(open_instance: OpenInstance) -> None:
    instances = [await open_instance() for _ in range(4)]
    activity_id = (await instances[0].create(stock=50)).activity_id
    await instances[0].win(activity_id, "a", "r")
    before = await instances[0].progress(activity_id)
    await another_replid(instances[0], activity_id)
    responses = await asyncio.gather(
        *(shop.claim(activity_id, f"u{n}{m}", "r") for m, shop in enumerate(instances) for n in range(12))
    )
    assert {each.status for each in responses} == {STATUS.PARTICIPATE_STATUS_WON}
    assert len({each.coupon_id for each in responses}) == 48
    # The first pass was enough for all: the epoch, and so the gap of numbers, is one.
    progress = await instances[0].progress(activity_id)
    assert progress["base"] <= before["base"] + 1 + 50
    assert progress["epoch"] > before["epoch"]
    await instances[0].persist()
    await instances[0].assert_sound(activity_id)


async def test_a_pass_refuses_when_no_numbers_are_left(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    await shop.mysql.execute("UPDATE activity_progress SET base = %s", (2**28 - 15,))
    await another_replid(shop, activity_id)
    epoch = (await shop.progress(activity_id))["epoch"]
    with pytest.raises(OverflowError):
        await shop.parts.fence.ensure(Place(activity_id))
    assert (await shop.progress(activity_id))["epoch"] == epoch


async def test_a_redis_that_is_down_is_unavailable_and_nothing_is_lost(
    mortal: Instance, mortal_redis: DevStack
) -> None:
    activity_id = (await mortal.create(stock=5)).activity_id
    won = await mortal.win(activity_id, "a", "r")
    mortal_redis.kill_redis()
    with pytest.raises(Unavailable):
        await mortal.claim(activity_id, "b", "r")
    assert await mortal.persister.run_once() == 0
    mortal_redis.start_redis()
    assert await mortal.win(activity_id, "a", "r") == won
    await mortal.win(activity_id, "b", "r")
    await mortal.persist()
    assert len(await mortal.coupons(activity_id)) == 2
