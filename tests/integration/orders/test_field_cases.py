"""The behaviour cases of orders from the field (tests/cases/from-the-field.yaml), each under its id."""

import asyncio
from collections import Counter
from datetime import timedelta

import pytest

from couponry.clock import from_timestamp
from couponry.errors import FailedPrecondition
from couponry.v1 import coupon_pb2, reason_pb2, template_pb2
from tests.integration.orders.desk import NOW, Desk, by_id, free_shipping, goods


async def test_pay_again_after_the_lock_lapsed(desk: Desk) -> None:
    coupon = await desk.coupon()
    first = await desk.lock("O", coupon)
    assert first.decision.discount == 1000
    assert await desk.lock("O", coupon) == first

    desk.clock.pass_s(61)
    again = await desk.lock("O", coupon)

    assert from_timestamp(again.locked_until) == NOW + timedelta(seconds=121)
    assert (await desk.use("O")).ledger_left == 1000
    assert await desk.status(coupon) == "USED"
    assert await desk.ledger_sum("O") == 1000


async def test_order_amended_while_locked(desk: Desk) -> None:
    coupon = await desk.coupon()
    amended = goods((10_000, 1), (500, 2))
    await desk.lock("O", coupon)

    with pytest.raises(FailedPrecondition) as held:
        await desk.lock("O", coupon, cart=amended)
    assert held.value.reason == "LOCK_HELD"
    assert held.value.metadata["attempt"] == "0"

    await desk.release("O")
    with pytest.raises(FailedPrecondition) as dead:
        await desk.lock("O", coupon, cart=amended)
    assert dead.value.reason == "ATTEMPT_RELEASED"
    assert (await desk.lock("O", coupon, cart=amended, attempt=1)).decision.original == 11_000


async def test_order_amended_while_locked_in_one_call(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    replaced = await desk.lock("O", coupon, cart=goods((10_000, 1), (500, 2)), replace=True)
    assert replaced.decision.original == 11_000
    assert (await desk.use("O")).decision == replaced.decision


async def test_late_payment_after_lapse(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(61)

    with pytest.raises(FailedPrecondition) as late:
        await desk.use("O")
    assert (late.value.reason, late.value.metadata["coupons_free"]) == ("LOCK_EXPIRED", "yes")

    await desk.lock("P", coupon)
    with pytest.raises(FailedPrecondition) as later:
        await desk.use("O")
    assert (later.value.reason, later.value.metadata["coupons_free"]) == ("LOCK_EXPIRED", "no")
    assert (await desk.row(coupon))["order_id"] == b"P"
    assert await desk.state("O") == "LAPSED"


async def test_two_partial_returns_or_one_retry(desk: Desk) -> None:
    coupon = await desk.coupon()
    used = await desk.use("O", coupon, cart=goods((1000, 3)))
    assert used.decision.payable == 2000

    first = await desk.give_back("R1", {"A": 1})
    assert (first.discount_returned, first.refund) == (334, 666)
    assert await desk.give_back("R1", {"A": 1}) == first
    second = await desk.give_back("R2", {"A": 1})
    assert (second.discount_returned, second.refund) == (333, 667)
    with pytest.raises(FailedPrecondition) as more:
        await desk.give_back("R3", {"A": 2})
    assert (more.value.reason, more.value.metadata["left"]) == ("RETURN_EXCEEDS_LEFT", "1")
    last = await desk.give_back("R4", {"A": 1})
    assert (last.discount_returned, last.refund) == (333, 667)
    assert first.refund + second.refund + last.refund == used.decision.payable
    assert await desk.ledger_sum("O") == 0


async def test_full_return_in_parts(desk: Desk) -> None:
    coupon = await desk.coupon(returns_on_full_refund=True)
    await desk.use("O", coupon, cart=goods((1000, 1), (2000, 1)))

    assert not (await desk.give_back("R1", {"A": None})).coupons_back
    assert await desk.status(coupon) == "USED"
    assert list((await desk.give_back("R2", {"B": None})).coupons_back) == [coupon]
    assert await desk.status(coupon) == "UNUSED"


async def test_shipping_discount_on_return(desk: Desk) -> None:
    shipping = await desk.coupon(terms=free_shipping(), returns_on_full_refund=True)
    instant = await desk.coupon(returns_on_full_refund=True)
    used = await desk.use("O", shipping, instant, cart=goods((5000, 1), shipping=700))
    assert used.decision.payable == 4000

    returned = await desk.give_back("R1", {"A": None})

    assert (returned.discount_returned, returned.refund, returned.shipping_discount_returned) == (1000, 4000, 0)
    assert list(returned.coupons_back) == [instant]
    assert (await desk.get("O")).order.ledger_left == 700
    assert await desk.state("O") == "PARTLY_RETURNED"

    with_shipping = await desk.give_back("R2", shipments=["shipping"])
    assert (with_shipping.discount_returned, with_shipping.shipping_discount_returned) == (700, 700)
    assert with_shipping.refund == 0
    assert list(with_shipping.coupons_back) == [shipping]
    assert await desk.state("O") == "RETURNED"


async def test_pause_and_revoke_while_locked(desk: Desk) -> None:
    template = await desk.template()
    locked, unused, other = [await desk.receive(template) for _ in range(3)]
    await desk.lock("O", locked)
    await desk.lock("P", other)
    await desk.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")

    refused = (await desk.calculate(unused)).rejected[0]
    assert refused.reason == reason_pb2.REASON_TEMPLATE_PAUSED
    with pytest.raises(FailedPrecondition) as paused:
        await desk.lock("Q", unused)
    assert paused.value.reason == "TEMPLATE_PAUSED"
    assert (await desk.use("O")).decision.discount == 1000

    await desk.user_coupons.revoke(coupon_pb2.RevokeCouponRequest(user_id="u", coupon=by_id(unused)), "admin")
    assert (await desk.calculate(unused)).rejected[0].reason == reason_pb2.REASON_REVOKED
    with pytest.raises(FailedPrecondition) as locked_still:
        await desk.user_coupons.revoke(coupon_pb2.RevokeCouponRequest(user_id="u", coupon=by_id(other)), "admin")
    assert locked_still.value.reason == "LOCKED"


async def test_budget_is_reserved_at_lock(desk: Desk) -> None:
    template = await desk.template(budget=5000)
    # Three of 1000, and one of which a cart takes only 800: 1200 are left.
    for number, price in enumerate((10_000, 10_000, 10_000, 800)):
        early = await desk.receive(template, "early")
        await desk.use(f"early{number}", early, user="early", cart=goods((price, 1)))
    coupons = {f"u{number}": await desk.receive(template, f"u{number}") for number in range(10)}

    answers = await asyncio.gather(
        *(desk.lock(f"O-{user}", coupon, user=user) for user, coupon in coupons.items()), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, FailedPrecondition)]
    assert Counter(error.reason for error in refused) == {"BUDGET_EXHAUSTED": 9}
    assert {error.metadata["left"] for error in refused} == {"200"}
    (winner,) = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert await desk.budget(template) == (1000, 3800)

    await desk.release(winner.order_id, user=winner.user_id)
    assert await desk.budget(template) == (0, 3800)
    other = next(user for user in coupons if user != winner.user_id)
    await desk.lock("another", coupons[other], user=other)
    third = next(user for user in coupons if user not in {winner.user_id, other})
    rejected = (await desk.calculate(coupons[third], user=third)).rejected[0]
    assert (rejected.reason, rejected.left) == (reason_pb2.REASON_BUDGET_EXHAUSTED, 200)

    await desk.use("another", user=other)
    assert await desk.budget(template) == (0, 4800)
    await desk.give_back("R1", order="another", user=other)
    assert await desk.budget(template) == (0, 3800)
