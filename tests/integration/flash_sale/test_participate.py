"""Participate, from the claim to the coupon."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couponry.clock import from_timestamp, to_timestamp
from couponry.errors import InvalidArgument, NotFound
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import Place
from couponry.store.ids import split_flash_sale_coupon_id
from couponry.v1 import coupon_pb2
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance, statuses


async def test_a_win_names_its_coupon_and_becomes_exactly_that_row(shop: Instance) -> None:
    activity = await shop.create(stock=2)
    response = await shop.claim(activity.activity_id, "ann", "r1")
    assert response.status == STATUS.PARTICIPATE_STATUS_WON
    assert response.left == 1
    assert shop.codes.decode(response.code) == response.coupon_id
    parts = split_flash_sale_coupon_id(response.coupon_id)
    assert parts is not None
    assert parts[:2] == (activity.activity_id, 0)

    assert await shop.persist() == 1
    row = await shop.mysql.fetch_one("SELECT * FROM user_coupons")
    assert row is not None
    assert (row["id"], row["user_id"], row["number"]) == (response.coupon_id, b"ann", parts[2])
    assert (row["source"], row["status"]) == (coupon_pb2.COUPON_SOURCE_FLASH_SALE, coupon_pb2.COUPON_STATE_UNUSED)
    assert row["valid_until"] - row["received_at"] == timedelta(days=7)
    assert await shop.counters() == (1, 1)
    await shop.assert_sound(activity.activity_id)


async def test_a_repeated_request_gets_the_same_win_from_any_instance(open_instance: OpenInstance) -> None:
    one, two = await open_instance(), await open_instance()
    activity = await one.create(stock=5)
    won = await one.win(activity.activity_id, "ann", "r1")
    assert await one.win(activity.activity_id, "ann", "r1") == won
    assert await two.win(activity.activity_id, "ann", "r1") == won
    await one.persist()
    assert await two.win(activity.activity_id, "ann", "r1") == won
    assert await one.left(activity.activity_id) == 4


async def test_repeats_within_one_batch_are_one_win(shop: Instance) -> None:
    activity = await shop.create(stock=5, per_user_limit=3)
    responses = await asyncio.gather(*(shop.claim(activity.activity_id, "ann", f"r{n % 2}") for n in range(10)))
    assert len({each.coupon_id for each in responses}) == 2
    assert await shop.left(activity.activity_id) == 3


async def test_without_a_request_id_a_repeat_is_a_new_claim(shop: Instance) -> None:
    activity = await shop.create(per_user_limit=2)
    first, second = await shop.win(activity.activity_id, "ann"), await shop.win(activity.activity_id, "ann")
    assert first != second
    assert (await shop.claim(activity.activity_id, "ann")).status == STATUS.PARTICIPATE_STATUS_LIMIT_REACHED


@pytest.mark.parametrize("limit", [1, 100])
async def test_the_limit_of_a_user_is_exact(shop: Instance, limit: int) -> None:
    activity = await shop.create(stock=300, per_user_limit=limit)
    responses = await asyncio.gather(*(shop.claim(activity.activity_id, "ann") for _ in range(limit + 5)))
    assert statuses(responses) == {"WON": limit, "LIMIT_REACHED": 5}
    assert (await shop.claim(activity.activity_id, "bob")).status == STATUS.PARTICIPATE_STATUS_WON
    await shop.persist()
    await shop.assert_sound(activity.activity_id)


async def test_the_last_coupon_is_sold_and_not_one_more(shop: Instance) -> None:
    activity = await shop.create(stock=1)
    responses = await asyncio.gather(*(shop.claim(activity.activity_id, f"u{n}") for n in range(600)))
    assert statuses(responses) == {"WON": 1, "SOLD_OUT": 599}


async def test_a_claim_before_the_start_is_told_when_to_come(shop: Instance) -> None:
    start = datetime.now(UTC) + timedelta(minutes=10)
    activity = await shop.create(start_at=start)
    response = await shop.claim(activity.activity_id, "ann", "r")
    assert response.status == STATUS.PARTICIPATE_STATUS_NOT_STARTED
    assert 590 < response.retry_after.seconds <= 600
    await shop.update(activity.activity_id, "start_at", spec=pb.ActivitySpec(start_at=to_timestamp(datetime.now(UTC))))
    assert (await shop.claim(activity.activity_id, "ann", "r")).status == STATUS.PARTICIPATE_STATUS_WON


async def test_after_the_end_only_wins_told_before_are_answered(shop: Instance) -> None:
    activity = await shop.create()
    won = await shop.win(activity.activity_id, "ann", "r")
    place = Place(activity.activity_id)
    # The window in Redis is moved, not the clock.
    await shop.redis.client.hset(shop.redis.key(place.names()[0]), "end", 1)
    assert (await shop.claim(activity.activity_id, "bob")).status == STATUS.PARTICIPATE_STATUS_ENDED
    assert await shop.win(activity.activity_id, "ann", "r") == won


async def test_refusals_are_not_pinned(shop: Instance) -> None:
    activity = await shop.create(stock=1)
    first = await shop.win(activity.activity_id, "1", "a")
    assert (await shop.claim(activity.activity_id, "2", "b")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    await shop.adjust(activity.activity_id, 1, "x")
    second = await shop.win(activity.activity_id, "2", "b")
    assert await shop.win(activity.activity_id, "2", "b") == second
    await shop.persist()
    assert await shop.coupons(activity.activity_id) == {first: "1", second: "2"}


async def test_winner_pays_at_once(shop: Instance) -> None:
    activity = await shop.create()
    coupon_id = await shop.win(activity.activity_id, "ann", "r")
    assert await shop.parts.pending.find("bob", [coupon_id]) == {}
    [coupon] = (await shop.parts.pending.find("ann", [coupon_id, coupon_id + 1, 7])).values()
    assert (coupon.coupon_id, coupon.state) == (coupon_id, coupon_pb2.COUPON_STATE_PENDING)
    assert (coupon.template_id, coupon.activity_id) == (1, activity.activity_id)
    received, ends = from_timestamp(coupon.received_at), from_timestamp(coupon.valid_until)
    assert ends - received == timedelta(days=7)
    await shop.persist()
    row = await shop.mysql.fetch_one("SELECT * FROM user_coupons WHERE id = %s", (coupon_id,))
    assert row is not None
    # What the owner was shown is what was written.
    assert row["received_at"].replace(tzinfo=UTC) == received
    assert row["valid_until"].replace(tzinfo=UTC) == ends


async def test_with_ack_mysql_a_win_is_told_when_its_row_is_there(shop: Instance) -> None:
    activity = await shop.create(stock=300, ack=pb.ACK_MYSQL)
    responses = await asyncio.gather(*(shop.claim(activity.activity_id, f"u{n}", "r") for n in range(400)))
    won = {each.coupon_id for each in responses if each.coupon_id}
    assert set(await shop.coupons(activity.activity_id)) == won
    assert len(won) == 300
    # A repeat waits for the row, too, and finds it.
    assert (await shop.claim(activity.activity_id, "u0", "r")).coupon_id == responses[0].coupon_id


async def test_a_caller_that_went_away_finds_its_win_by_repeating(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity = await shop.create()
    real = Sale.claim

    async def claim(sale: Sale, *args: Any) -> Any:
        call.cancel()
        return await real(sale, *args)

    monkeypatch.setattr(Sale, "claim", claim)
    call = asyncio.create_task(shop.claim(activity.activity_id, "ann", "r"))
    other = asyncio.create_task(shop.claim(activity.activity_id, "bob", "r"))
    assert (await other).status == STATUS.PARTICIPATE_STATUS_WON
    with pytest.raises(asyncio.CancelledError):
        await call
    assert (await shop.claim(activity.activity_id, "ann", "r")).status == STATUS.PARTICIPATE_STATUS_WON
    assert await shop.left(activity.activity_id) == 8


async def test_claims_of_one_tick_travel_in_few_scripts(shop: Instance) -> None:
    activity = await shop.create(stock=10_000)
    await shop.claim(activity.activity_id, "first")
    client = shop.redis.client
    await client.config_resetstat()
    await asyncio.gather(*(shop.claim(activity.activity_id, f"u{n}") for n in range(1000)))
    calls = (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    # Four of 256; a few more where the activity's entry in L1 ended in the midst of them.
    assert 4 <= calls <= 10


async def test_thirty_thousand_claims_sell_a_thousand_coupons(shop: Instance) -> None:
    activity = await shop.create(stock=1000)
    claims = [(f"u{n % 20_000}", f"r{n % 25_000}") for n in range(30_000)]
    responses: list[pb.ParticipateResponse] = []
    for at in range(0, len(claims), 3000):
        responses += await asyncio.gather(
            *(shop.claim(activity.activity_id, user, request) for user, request in claims[at : at + 3000])
        )
        await shop.persister.run_once()
    assert len({each.coupon_id for each in responses if each.coupon_id}) == 1000
    by_request: dict[tuple[str, str], set[int]] = {}
    for claim, response in zip(claims, responses, strict=True):
        if response.coupon_id:
            by_request.setdefault(claim, set()).add(response.coupon_id)
    assert all(len(coupons) == 1 for coupons in by_request.values())
    await shop.persist()
    coupons = await shop.coupons(activity.activity_id)
    assert len(coupons) == len(set(coupons.values())) == 1000
    await shop.assert_sound(activity.activity_id)


async def test_nobody_is_told_sold_out_while_stock_is_left(open_instance: OpenInstance) -> None:
    one, two = await open_instance(), await open_instance()
    activity = await one.create(stock=500)
    responses = await asyncio.gather(
        *(shop.claim(activity.activity_id, str(uuid.uuid4())) for _ in range(250) for shop in (one, two))
    )
    assert statuses(responses) == {"WON": 500}


@pytest.mark.parametrize("activity_id", [12345, 2**20, 2**53 - 1])
async def test_an_activity_that_does_not_exist_is_not_found(shop: Instance, activity_id: int) -> None:
    with pytest.raises(NotFound):
        await shop.claim(activity_id, "ann")


async def test_every_wrong_field_of_a_claim_is_named(shop: Instance) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.claim(0, "u" * 65, "r" * 65)
    assert [each.field for each in refused.value.violations] == ["activity_id", "user_id", "request_id"]
    activity = await shop.create()
    assert await shop.win(activity.activity_id, "u" * 64, "r" * 64)
    with pytest.raises(InvalidArgument):
        await shop.claim(activity.activity_id, "")


async def test_ids_of_users_are_bytes_of_any_kind(shop: Instance) -> None:
    activity = await shop.create()
    users = ["'; DROP", "a ", "a", "A", '😀"\\', "\x01\n"]
    won = {await shop.win(activity.activity_id, user, "r"): user for user in users}
    await shop.persist()
    assert await shop.coupons(activity.activity_id) == won
