"""Calls that race for one order or one coupon: exactly one outcome, whichever instance they go through."""

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

from couponry.errors import FailedPrecondition
from couponry.v1 import order_pb2
from tests.integration.orders.conftest import OpenDesk
from tests.integration.orders.desk import Desk, goods


def reasons(answers: Iterable[Any]) -> Counter[str]:
    """How many answers were given, and how many refusals for each reason; anything else is raised."""
    counts: Counter[str] = Counter()
    for answer in answers:
        if isinstance(answer, FailedPrecondition):
            counts[answer.reason] += 1
        elif isinstance(answer, BaseException):
            raise answer
        else:
            counts["OK"] += 1
    return counts


async def test_of_many_orders_racing_for_one_coupon_one_gets_it(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    coupon = await desks[0].coupon()
    answers = await asyncio.gather(
        *(desks[number % 2].lock(f"O{number}", coupon) for number in range(20)), return_exceptions=True
    )
    assert reasons(answers) == {"OK": 1, "LOCKED": 19}
    (winner,) = [answer for answer in answers if isinstance(answer, order_pb2.OrderCoupons)]
    assert (await desks[0].row(coupon))["order_id"] == winner.order_id.encode()


async def test_of_two_orders_racing_for_crossing_coupons_one_gets_both(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    first, second = await desks[0].coupon(), await desks[0].coupon()
    for round_ in range(10):
        answers = await asyncio.gather(
            desks[0].lock(f"O{round_}", first, second),
            desks[1].lock(f"P{round_}", second, first),
            return_exceptions=True,
        )
        assert reasons(answers) == {"OK": 1, "LOCKED": 1}
        rows = [await desks[0].row(coupon) for coupon in (first, second)]
        (holder,) = {row["order_id"] for row in rows}
        await desks[0].release(holder.decode())


async def test_of_orders_racing_for_a_lapsed_coupon_one_takes_it_and_its_budget(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    desk = desks[0]
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)

    answers = await asyncio.gather(
        desk.lock("O", coupon),
        *(desks[number % 2].lock(f"P{number}", coupon) for number in range(8)),
        desk.release("O"),
        *(each.expirer.run_once() for each in desks),
        return_exceptions=True,
    )

    counts = reasons(answers)
    # Two rounds of the expirer and the release, or the order's own second lock instead of the latter.
    assert sum(counts.values()) == 12
    assert set(counts) <= {"OK", "LOCKED", "ATTEMPT_RELEASED"}
    live = await desk.mysql.fetch_one(
        "SELECT COUNT(*) AS n FROM user_coupons WHERE status = 2 AND locked_until > %s",
        (desk.clock.now.replace(tzinfo=None),),
    )
    reserved, spent = await desk.budget(template)
    assert live is not None
    assert (reserved, spent) == (1000 * live["n"], 0)


async def test_the_same_lock_fifty_times_at_once_is_one_lock(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    template = await desks[0].template(budget=1000)
    coupon = await desks[0].receive(template)
    answers = await asyncio.gather(*(desks[number % 2].lock("O", coupon) for number in range(50)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await desks[0].budget(template) == (1000, 0)
    assert len((await desks[0].get("O")).ledger) == 1


async def test_fifty_uses_and_releases_of_one_order_have_one_outcome(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    desk = desks[0]
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)

    answers = await asyncio.gather(
        *(desks[number % 2].use("O") if number % 2 else desks[0].release("O") for number in range(50)),
        return_exceptions=True,
    )

    counts = reasons(answers)
    if await desk.state("O") == "USED":
        assert counts == {"OK": 25, "ALREADY_USED": 25}
        assert await desk.status(coupon) == "USED"
        assert await desk.budget(template) == (0, 1000)
        assert await desk.ledger_sum("O") == 1000
    else:
        assert counts == {"OK": 25, "ATTEMPT_RELEASED": 25}
        assert await desk.status(coupon) == "UNUSED"
        assert await desk.budget(template) == (0, 0)
        assert await desk.ledger_sum("O") == 0


async def test_fifty_uses_without_a_lock_use_once(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    coupon = await desks[0].coupon()
    answers = await asyncio.gather(*(desks[number % 2].use("O", coupon) for number in range(50)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert await desks[0].ledger_sum("O") == 1000


async def test_returns_at_once_never_take_back_more_than_there_is(desk: Desk) -> None:
    used = await desk.use("O", await desk.coupon(returns_on_full_refund=True), cart=goods((1000, 10)))
    answers = await asyncio.gather(
        *(desk.give_back(f"R{number}", {"A": 3}) for number in range(10)),
        *(desk.give_back("same", {"A": 1}) for _ in range(5)),
        return_exceptions=True,
    )
    counts = reasons(answers)
    assert counts["OK"] + counts["RETURN_EXCEEDS_LEFT"] == 15
    distinct = {
        answer.SerializeToString(deterministic=True): answer
        for answer in answers
        if isinstance(answer, order_pb2.ReturnCouponsResponse)
    }
    assert sum(answer.discount_returned for answer in distinct.values()) <= 1000
    found = (await desk.get("O")).order
    assert await desk.ledger_sum("O") == found.ledger_left == 1000 - found.discount_returned
    left = await asyncio.gather(desk.give_back("last"), return_exceptions=True)
    assert await desk.ledger_sum("O") == 0
    assert set(reasons(left)) <= {"OK", "RETURN_EXCEEDS_LEFT"}
    refunds = [*distinct.values(), *(one for one in left if isinstance(one, order_pb2.ReturnCouponsResponse))]
    assert sum(answer.refund for answer in refunds) == used.decision.payable


async def test_locks_and_receipts_of_one_budget_run_side_by_side(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(2)]
    desk = desks[0]
    template = await desk.template(budget=10_000)
    coupons = {f"u{number}": await desk.receive(template, f"u{number}") for number in range(30)}
    answers = await asyncio.gather(
        *(
            desks[number % 2].lock(f"O-{user}", coupon, user=user)
            for number, (user, coupon) in enumerate(coupons.items())
        ),
        *(desk.receive(template, f"v{number}") for number in range(30)),
        return_exceptions=True,
    )
    assert reasons(answers) == {"OK": 40, "BUDGET_EXHAUSTED": 20}
    assert await desk.budget(template) == (10_000, 0)
