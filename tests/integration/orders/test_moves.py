"""UseCoupons, ExtendLock, ReleaseCoupons and GetOrderCoupons."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from couponry.clock import from_sql, from_timestamp, to_timestamp
from couponry.errors import FailedPrecondition, NotFound
from couponry.v1 import order_pb2, template_pb2
from tests.integration.orders.desk import NOW, Desk, goods, instant_off, percent_off


def reason(error: pytest.ExceptionInfo[FailedPrecondition]) -> str:
    return error.value.reason


async def test_a_use_confirms_exactly_the_locked_decision(desk: Desk) -> None:
    percent, instant = await desk.coupon(terms=percent_off(1000)), await desk.coupon(terms=instant_off(7))
    locked = await desk.lock("O", percent, instant, cart=goods((333, 3), (1000, 2)))
    used = await desk.use("O")
    assert used.decision == locked.decision
    assert (used.state, used.ledger_left) == (order_pb2.ORDER_STATE_USED, locked.decision.discount)
    found = await desk.get("O")
    assert found.order == used
    by_coupon = {
        applied.coupon_id: sum(
            entry.unit_count * entry.amount_each for entry in found.ledger if entry.coupon_id == applied.coupon_id
        )
        for applied in locked.decision.applied
    }
    assert by_coupon == {applied.coupon_id: applied.discount for applied in locked.decision.applied}
    assert from_sql((await desk.row(percent))["used_at"]) == NOW


async def test_a_repeated_use_answers_the_same_and_uses_once(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    used = await desk.use("O")
    desk.clock.pass_s(1000)
    assert await desk.use("O") == used
    assert await desk.use("O", coupon, cart=goods((10_000, 1))) == used
    assert await desk.ledger_sum("O") == 1000
    with pytest.raises(FailedPrecondition) as other:
        await desk.use("O", coupon, cart=goods((10_001, 1)))
    assert reason(other) == "ALREADY_USED"


async def test_a_use_with_the_locks_own_cart_confirms_the_lock(desk: Desk) -> None:
    coupon = await desk.coupon()
    locked = await desk.lock("O", coupon)
    with pytest.raises(FailedPrecondition) as other:
        await desk.use("O", coupon, cart=goods((10_001, 1)))
    assert reason(other) == "LOCK_HELD"
    assert (await desk.use("O", coupon, cart=goods((10_000, 1)))).decision == locked.decision


async def test_a_use_of_a_figure_that_was_not_shown_uses_nothing(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    with pytest.raises(FailedPrecondition) as changed:
        await desk.use("O", expected_payable=1)
    assert reason(changed) == "PRICE_CHANGED"
    assert await desk.status(coupon) == "LOCKED"
    await desk.use("O", expected_payable=9000)


async def test_a_use_without_a_lock_locks_and_uses_at_once(desk: Desk) -> None:
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    used = await desk.use("O", coupon, cart=goods((10_000, 1)))
    assert used.state == order_pb2.ORDER_STATE_USED
    assert await desk.budget(template) == (0, 1000)
    assert await desk.status(coupon) == "USED"


async def test_a_use_with_a_cart_after_the_lapse_takes_a_new_decision(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    assert (await desk.use("O", coupon, cart=goods((20_000, 1)))).decision.payable == 19_000


async def test_a_use_of_nothing_is_told_what_is_missing(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.use("O")
    await desk.lock("O", await desk.coupon())
    with pytest.raises(FailedPrecondition) as no_attempt:
        await desk.use("O", attempt=1)
    assert reason(no_attempt) == "NOT_LOCKED"
    await desk.release("O")
    with pytest.raises(FailedPrecondition) as released:
        await desk.use("O")
    assert reason(released) == "ATTEMPT_RELEASED"


async def test_a_lock_is_used_in_its_last_millisecond_and_not_after(desk: Desk) -> None:
    first, second = await desk.coupon(), await desk.coupon()
    await desk.lock("O", first)
    await desk.lock("P", second)
    desk.clock.pass_s(59.999)
    await desk.use("O")
    desk.clock.pass_s(0.001)
    with pytest.raises(FailedPrecondition) as lapsed:
        await desk.use("P")
    assert reason(lapsed) == "LOCK_EXPIRED"


@pytest.mark.parametrize("tidied", [False, True])
async def test_a_late_use_is_told_whether_the_coupons_are_free(desk: Desk, tidied: bool) -> None:
    template = await desk.template()
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    if tidied:
        await desk.expirer.run_once()

    async def free() -> str:
        with pytest.raises(FailedPrecondition) as lapsed:
            await desk.use("O")
        assert reason(lapsed) == "LOCK_EXPIRED"
        return lapsed.value.metadata["coupons_free"]

    assert await free() == "yes"
    await desk.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")
    assert await free() == "no"
    await desk.templates.resume(template_pb2.ResumeTemplateRequest(template_id=template.template_id), "admin")
    desk.clock.pass_s(30 * 86_400)
    assert await free() == "no"


async def test_an_extended_lock_lives_on(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(50)
    extended = await desk.extend("O", ttl_s=60)
    assert from_timestamp(extended.locked_until) == NOW + timedelta(seconds=110)
    desk.clock.pass_s(59)
    assert await desk.expirer.run_once() == 0
    assert (await desk.use("O")).decision.discount == 1000


async def test_an_extension_never_ends_a_lock_earlier(desk: Desk) -> None:
    await desk.lock("O", await desk.coupon())
    assert from_timestamp((await desk.extend("O", ttl_s=1)).locked_until) == NOW + timedelta(seconds=60)


async def test_an_extension_over_the_coupons_end_gives_it_its_grace(desk: Desk) -> None:
    ends = NOW + timedelta(seconds=90)
    coupon = await desk.coupon(valid_until=to_timestamp(ends), return_grace=Duration(seconds=10))
    await desk.lock("O", coupon, ttl_s=60)
    await desk.extend("O", ttl_s=100)
    desk.clock.pass_s(109)
    await desk.lock("P", coupon, ttl_s=1)
    await desk.use("P")
    assert from_sql((await desk.row(coupon))["valid_until"]) == NOW + timedelta(seconds=110)


async def test_only_a_live_lock_is_extended(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.extend("O")
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    with pytest.raises(FailedPrecondition) as lapsed:
        await desk.extend("O")
    assert (reason(lapsed), lapsed.value.metadata["coupons_free"]) == ("LOCK_EXPIRED", "yes")
    await desk.use("O", coupon, cart=goods((10_000, 1)))
    with pytest.raises(FailedPrecondition) as used:
        await desk.extend("O")
    assert reason(used) == "ALREADY_USED"


async def test_a_released_order_gives_coupon_and_budget_back_once(desk: Desk) -> None:
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    released = await desk.release("O")
    assert released.state == order_pb2.ORDER_STATE_RELEASED
    assert await desk.status(coupon) == "UNUSED"
    assert await desk.budget(template) == (0, 0)

    await desk.lock("P", coupon)
    assert await desk.release("O") == released
    assert await desk.status(coupon) == "LOCKED"
    assert await desk.budget(template) == (1000, 0)


async def test_a_release_that_comes_before_its_lock_keeps_it_out(desk: Desk) -> None:
    coupon = await desk.coupon()
    assert (await desk.release("O")).state == order_pb2.ORDER_STATE_RELEASED
    with pytest.raises(FailedPrecondition) as late:
        await desk.lock("O", coupon)
    assert reason(late) == "ATTEMPT_RELEASED"
    with pytest.raises(FailedPrecondition):
        await desk.use("O", coupon, cart=goods((10_000, 1)))
    assert await desk.status(coupon) == "UNUSED"
    await desk.lock("O", coupon, attempt=1)


async def test_a_marker_of_another_attempt_leaves_the_held_lock_alone(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    await desk.release("O", attempt=3)
    assert await desk.state("O") == "RELEASED"
    assert await desk.state("O", attempt=0) == "LOCKED"
    assert (await desk.use("O")).decision.discount == 1000


async def test_a_used_order_is_not_released_and_a_returned_one_needs_no_release(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.use("O", coupon, cart=goods((10_000, 2)))
    for return_id in ("R1", "R2"):
        with pytest.raises(FailedPrecondition) as used:
            await desk.release("O")
        assert reason(used) == "ALREADY_USED"
        await desk.give_back(return_id, {"A": 1})
    assert (await desk.release("O")).state == order_pb2.ORDER_STATE_RETURNED


@pytest.mark.parametrize("tidied", [False, True])
async def test_a_lapsed_order_may_still_be_released(desk: Desk, tidied: bool) -> None:
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    if tidied:
        await desk.expirer.run_once()
    assert (await desk.release("O")).state == order_pb2.ORDER_STATE_RELEASED
    assert await desk.budget(template) == (0, 0)
    assert await desk.status(coupon) == "UNUSED"
    assert (await desk.get("O")).ledger[-1].kind == order_pb2.LEDGER_KIND_RELEASE


async def test_a_coupon_released_after_its_end_comes_back_with_its_grace_or_expired(desk: Desk) -> None:
    ends = to_timestamp(NOW + timedelta(seconds=10))
    graced = await desk.coupon(valid_until=ends, return_grace=Duration(seconds=100))
    plain = await desk.coupon(valid_until=ends)
    early = await desk.coupon(valid_until=ends, return_grace=Duration(seconds=100))
    await desk.lock("O", graced, plain)
    await desk.lock("P", early)
    desk.clock.pass_s(5)
    await desk.release("P")
    assert from_sql((await desk.row(early))["valid_until"]) == NOW + timedelta(seconds=10)
    desk.clock.pass_s(25)
    await desk.release("O")
    assert (await desk.status(graced), await desk.status(plain)) == ("UNUSED", "EXPIRED")
    assert from_sql((await desk.row(graced))["valid_until"]) == NOW + timedelta(seconds=130)


async def test_bytes_of_an_action_are_understood_by_its_compensation(desk: Desk) -> None:
    coupon = await desk.coupon()
    action = order_pb2.LockCouponsRequest(
        order_id="O", user_id="u", attempt=2, cart=goods((10_000, 1)), expected_payable=9000, request_id="r"
    )
    action.coupons.add(coupon_id=coupon)
    compensation = order_pb2.ReleaseCouponsRequest.FromString(action.SerializeToString())
    assert (await desk.orders.release(compensation)).order.state == order_pb2.ORDER_STATE_RELEASED
    with pytest.raises(FailedPrecondition) as late:
        await desk.orders.lock(action)
    assert reason(late) == "ATTEMPT_RELEASED"


async def test_an_order_shows_its_latest_attempt_or_the_one_asked_for(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    await desk.release("O")
    await desk.lock("O", coupon, attempt=4)
    assert (await desk.get("O")).order.attempt == 4
    assert (await desk.get("O", attempt=0)).order.state == order_pb2.ORDER_STATE_RELEASED
    for missing in ({"order": "X"}, {"attempt": 1}):
        with pytest.raises(NotFound):
            await desk.get(**missing)


async def test_a_lock_and_its_release_carry_no_amounts(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    await desk.release("O")
    ledger = (await desk.get("O")).ledger
    assert [entry.kind for entry in ledger] == [order_pb2.LEDGER_KIND_LOCK, order_pb2.LEDGER_KIND_RELEASE]
    assert {(entry.amount_each, entry.unit_count, entry.coupon_id) for entry in ledger} == {(0, 0, coupon)}
