"""A flash-sale win that is not in MySQL yet: priced, and never NOT_FOUND to its owner."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from couponry.clock import system_clock, to_timestamp
from couponry.errors import FailedPrecondition, Unavailable
from couponry.flash_sale.pending import PendingWins
from couponry.jobs.persister import Persister
from couponry.v1 import coupon_pb2, flash_sale_pb2
from tests.integration.orders.desk import Desk, goods


@pytest.fixture
async def win(desk: Desk) -> int:
    """The coupon id that user "u" was told; the persister has not run. Redis has its own clock, so time is real."""
    now = desk.clock.now = system_clock()
    template = await desk.template(valid_from=to_timestamp(now), valid_until=to_timestamp(now + timedelta(days=30)))
    spec = flash_sale_pb2.ActivitySpec(
        name="noon",
        template_id=template.template_id,
        stock=10,
        per_user_limit=1,
        start_at=to_timestamp(now - timedelta(minutes=1)),
        end_at=to_timestamp(now + timedelta(hours=1)),
    )
    sale = desk.flash_sale
    activity = (await sale.activities.create(flash_sale_pb2.CreateActivityRequest(spec=spec), "admin")).activity
    claim = flash_sale_pb2.ParticipateRequest(activity_id=activity.activity_id, user_id="u")
    won = await sale.participation.participate(claim)
    assert won.status == flash_sale_pb2.PARTICIPATE_STATUS_WON
    # A coupon is valid from its claim on, and the claim's millisecond is Redis's.
    desk.clock.now = system_clock() + timedelta(seconds=1)
    return won.coupon_id


async def persist(desk: Desk) -> None:
    persister = Persister(mysql=desk.mysql, outbox=desk.flash_sale.outbox, fence=desk.flash_sale.fence)
    while await persister.run_once():
        pass


async def test_winner_pays_at_once(desk: Desk, win: int) -> None:
    priced = await desk.calculate(win)
    assert [(applied.discount, applied.pending) for applied in priced.applied] == [(1000, True)]
    with pytest.raises(Unavailable) as waiting:
        await desk.lock("O", win)
    assert waiting.value.reason == "PENDING"
    assert waiting.value.retry_after_s
    with pytest.raises(Unavailable):
        await desk.use("O", win)

    await persist(desk)

    assert (await desk.lock("O", win)).decision.discount == 1000
    assert (await desk.use("O")).ledger_left == 1000


async def test_a_win_of_another_user_is_not_found(desk: Desk, win: int) -> None:
    for number in range(2):
        with pytest.raises(FailedPrecondition) as refused:
            await desk.lock(f"O{number}", win, user="somebody")
        assert refused.value.reason == "NOT_FOUND"
        await persist(desk)


async def test_a_win_nobody_was_told_is_not_found(desk: Desk, win: int) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        await desk.lock("O", win + 1)
    assert refused.value.reason == "NOT_FOUND"


async def test_a_pending_win_beside_other_coupons_locks_none_of_them(desk: Desk, win: int) -> None:
    now = desk.clock.now
    other = await desk.coupon(valid_from=to_timestamp(now), valid_until=to_timestamp(now + timedelta(days=1)))
    with pytest.raises(Unavailable):
        await desk.lock("O", other, win, cart=goods((10_000, 1)))
    assert await desk.status(other) == "UNUSED"
    assert (await desk.calculate(other)).discount == 1000


class PersistedMeanwhile(PendingWins):
    """The persister runs after the first look into MySQL, before the look into Redis."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def find(self, user_id: str, coupon_ids: Sequence[int]) -> dict[int, coupon_pb2.Coupon]:
        await persist(self._desk)
        return await self._desk.flash_sale.pending.find(user_id, coupon_ids)


async def test_a_win_that_arrives_between_two_looks_is_locked(desk: Desk, win: int) -> None:
    desk.orders._pending_wins = PersistedMeanwhile(desk)
    assert (await desk.lock("O", win)).decision.discount == 1000


async def test_a_persisted_win_is_locked_whatever_redis_still_says(desk: Desk, win: int) -> None:
    await persist(desk)
    assert win in await desk.flash_sale.pending.find("u", [win])
    await desk.lock("O", win)
    with pytest.raises(FailedPrecondition) as held:
        await desk.lock("P", win)
    assert held.value.reason == "LOCKED"
