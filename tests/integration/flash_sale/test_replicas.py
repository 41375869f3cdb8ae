"""ack = REPLICA: a win is told when enough replicas have it; where they do not follow, it stays and is found again."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from couponry.errors import Unavailable
from couponry.flash_sale.replicas import Told
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place, from_records, request_hash
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance, statuses
from tests.integration.topologies import Replicated

WAIT_MS = 300


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    with Replicated(tmp_path_factory.mktemp("replicated"), replicas=2) as servers:
        yield servers


@pytest.fixture
async def shop(open_instance: OpenInstance, installation: Replicated) -> Instance:
    return await open_instance(installation.url, replicas=2, replica_timeout_ms=WAIT_MS)


def replica_has(installation: Replicated, shop: Instance, activity_id: int, user: str) -> list[bool]:
    """Of each replica: whether it has a win of the user now."""
    key = shop.redis.key(Place.of(activity_id, 1, user.encode()).names()[1])
    found = []
    for replica in installation.replicas:
        with replica.client() as client:
            found.append(bool(client.hexists(key, user)))
    return found


async def test_a_win_that_was_told_is_on_every_replica_that_was_asked_for(
    shop: Instance, installation: Replicated
) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA, stock=100)).activity_id
    for n in range(20):
        await shop.win(activity_id, f"u{n}", "r")
        assert replica_has(installation, shop, activity_id, f"u{n}") == [True, True]
    await shop.persist()
    await shop.assert_sound(activity_id)


async def test_a_win_that_too_few_replicas_have_is_unavailable_and_stays(
    shop: Instance, installation: Replicated
) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA)).activity_id
    await shop.win(activity_id, "before", "r")
    installation.replicas[1].pause()
    try:
        with pytest.raises(Unavailable) as told:
            await shop.claim(activity_id, "ann", "r")
        assert (told.value.reason, bool(told.value.retry_after_s)) == ("PENDING", True)
        assert await shop.left(activity_id) == 8
        # A repeat waits too: without a write of its own WAIT would answer at once, and prove nothing.
        with pytest.raises(Unavailable):
            await shop.claim(activity_id, "ann", "r")
        with pytest.raises(Unavailable):
            await shop.claim(activity_id, "before", "r")
        # Refusals are of the moment and wait for nobody.
        assert (await shop.claim(activity_id, "ann", "other")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED
    finally:
        installation.replicas[1].resume()
    await asyncio.to_thread(installation.until_following, 2)
    found = await shop.win(activity_id, "ann", "r")
    assert replica_has(installation, shop, activity_id, "ann") == [True, True]
    assert await shop.left(activity_id) == 8
    await shop.persist()
    assert (await shop.coupons(activity_id))[found] == "ann"
    await shop.assert_sound(activity_id)


async def test_wins_of_one_batch_share_a_wait(shop: Instance) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA, stock=1000)).activity_id
    await shop.win(activity_id, "first")
    await shop.redis.client.config_resetstat()
    responses = await asyncio.gather(*(shop.claim(activity_id, f"u{n}", "r") for n in range(600)))
    assert statuses(responses) == {"WON": 600}
    waits = (await shop.redis.client.info("commandstats"))["cmdstat_wait"]["calls"]
    assert 1 <= waits <= 12


async def test_a_win_of_a_master_that_was_replaced_without_it_is_not_told(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA)).activity_id
    place = Place(activity_id)
    real = Sale.confirm

    async def confirm(sale: Sale, *args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        # Between the claim and its proof the server comes back without its data.
        await shop.redis.client.delete(*(shop.redis.key(name) for name in place.names()))
        return await real(sale, *args, **kwargs)

    monkeypatch.setattr(Sale, "confirm", confirm)
    with pytest.raises(Unavailable):
        await shop.claim(activity_id, "ann", "r")
    won = await shop.win(activity_id, "ann", "r")
    await shop.persist()
    assert await shop.coupons(activity_id) == {won: "ann"}
    await shop.assert_sound(activity_id)


async def test_a_win_that_failed_meanwhile_is_told_so(shop: Instance) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA)).activity_id
    place = Place(activity_id)
    claimed = await shop.parts.sale.claim(place, b"W", [(b"ann", request_hash("r")), (b"bob", request_hash("r"))])
    assert claimed is not None
    wins = [
        Told(user, request_hash("r"), number) for user, number in zip((b"ann", b"bob"), claimed.verdicts, strict=True)
    ]
    absent = Told(b"eve", request_hash("r"), 5)
    assert await shop.parts.replicas.confirm(place, [*wins, absent]) == [True, True, None]
    records: Any = await shop.redis.client.hget(shop.redis.key(place.names()[1]), "ann")
    [win] = from_records(b"ann", records)
    await shop.parts.sale.fail(place, (await shop.progress(activity_id))["epoch"], [win])
    assert await shop.parts.replicas.confirm(place, wins) == [False, True]


async def test_a_caller_that_went_away_leaves_its_win(shop: Instance, installation: Replicated) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA)).activity_id
    await shop.win(activity_id, "first")
    installation.replicas[0].pause()
    try:
        call = asyncio.create_task(shop.claim(activity_id, "ann", "r"))
        while await shop.left(activity_id) == 9:
            pass
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    finally:
        installation.replicas[0].resume()
    await asyncio.to_thread(installation.until_following, 2)
    await shop.win(activity_id, "ann", "r")
    assert await shop.left(activity_id) == 8


async def test_a_redis_that_forgot_the_script_is_told_it_again(shop: Instance) -> None:
    activity_id = (await shop.create(ack=pb.ACK_REPLICA)).activity_id
    await shop.win(activity_id, "ann", "r")
    await shop.redis.client.script_flush()
    await shop.win(activity_id, "bob", "r")
