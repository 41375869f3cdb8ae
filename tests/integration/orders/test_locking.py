"""LockCoupons: what it takes, what it refuses, and that it takes all or nothing."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from couponry.clock import from_sql, from_timestamp, to_timestamp
from couponry.errors import FailedPrecondition, InvalidArgument, NotFound
from couponry.v1 import cart_pb2, coupon_pb2, discount_pb2, order_pb2, template_pb2
from tests.integration.orders.desk import NOW, Desk, by_id, free_shipping, goods, instant_off, percent_off


async def refusal(desk: Desk, order: str, *coupon_ids: int, **fields: object) -> FailedPrecondition:
    with pytest.raises(FailedPrecondition) as error:
        await desk.lock(order, *coupon_ids, **fields)  # type: ignore[arg-type]
    return error.value


def decision_in(error: FailedPrecondition) -> discount_pb2.Decision:
    (detail,) = error.details
    assert isinstance(detail, discount_pb2.Decision)
    return detail


async def test_a_lock_gives_the_decision_and_its_end(desk: Desk) -> None:
    coupon = await desk.coupon(terms=percent_off(2000))
    locked = await desk.lock("O", coupon, cart=goods((10_000, 3)))
    assert (locked.decision.original, locked.decision.discount, locked.decision.payable) == (30_000, 6000, 24_000)
    assert from_timestamp(locked.locked_until) == NOW + timedelta(seconds=60)
    assert (locked.state, locked.ledger_left) == (order_pb2.ORDER_STATE_LOCKED, 0)
    row = await desk.row(coupon)
    assert (row["status"], row["order_id"], row["attempt"]) == (2, b"O", 0)


async def test_a_lock_takes_all_its_coupons_or_none(desk: Desk) -> None:
    good, used = await desk.coupon(), await desk.coupon()
    await desk.use("before", used)

    error = await refusal(desk, "O", good, used)

    assert (error.reason, error.metadata["coupon_id"]) == ("USED", str(used))
    assert [applied.coupon_id for applied in decision_in(error).applied] == [good]
    assert await desk.status(good) == "UNUSED"
    with pytest.raises(NotFound):
        await desk.get("O")


async def test_different_reasons_are_told_as_coupon_refused(desk: Desk) -> None:
    used, scoped = await desk.coupon(), await desk.coupon(terms=instant_off(5, min_spend=0, currency="USD"))
    await desk.use("before", used)
    error = await refusal(desk, "O", used, scoped)
    assert error.reason == "COUPON_REFUSED"
    assert len(decision_in(error).rejected) == 2


async def test_a_coupon_named_twice_is_a_duplicate(desk: Desk) -> None:
    coupon = await desk.coupon()
    assert (await refusal(desk, "O", coupon, coupon)).reason == "DUPLICATE"


async def test_a_coupon_of_another_user_is_not_found(desk: Desk) -> None:
    coupon = await desk.coupon(user="somebody")
    error = await refusal(desk, "O", coupon)
    assert error.reason == "NOT_FOUND"
    assert error.reason == (await refusal(desk, "O", coupon + 10_000)).reason


async def test_a_coupon_is_locked_by_its_code_as_typed(desk: Desk) -> None:
    coupon = await desk.coupon()
    code = (await desk.calculate(coupon)).applied[0].coupon_id
    assert code == coupon
    message = await desk.user_coupons.get(coupon_pb2.GetCouponRequest(user_id="u", coupon=by_id(coupon)))
    typed = message.coupon.code.lower().replace("-", " ")
    request = order_pb2.LockCouponsRequest(
        order_id="O", user_id="u", cart=goods((10_000, 1)), coupons=[discount_pb2.CouponRef(code=typed)]
    )
    locked = (await desk.orders.lock(request)).order
    assert [applied.coupon_id for applied in locked.decision.applied] == [coupon]
    assert await desk.lock("O", coupon) == locked


async def test_a_live_lock_of_another_order_is_locked(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("P", coupon)
    assert (await refusal(desk, "O", coupon)).reason == "LOCKED"
    desk.clock.pass_s(59.999)
    assert (await refusal(desk, "O", coupon)).reason == "LOCKED"
    desk.clock.pass_s(0.001)
    await desk.lock("O", coupon)


async def test_a_price_that_changed_locks_nothing_and_tells_the_new_one(desk: Desk) -> None:
    coupon = await desk.coupon()
    error = await refusal(desk, "O", coupon, expected_payable=8999)
    assert (error.reason, error.metadata["payable"]) == ("PRICE_CHANGED", "9000")
    assert decision_in(error).payable == 9000
    assert await desk.status(coupon) == "UNUSED"
    assert (await desk.lock("O", coupon, expected_payable=9000)).decision.payable == 9000
    assert (await refusal(desk, "O", coupon, expected_payable=8999)).reason == "PRICE_CHANGED"


async def test_a_minimum_payable_is_part_of_the_lock(desk: Desk) -> None:
    coupon = await desk.coupon()
    locked = await desk.lock("O", coupon, cart=goods((1000, 1)), minimum_payable=50)
    assert (locked.decision.payable, locked.decision.discount) == (50, 950)
    assert (await refusal(desk, "O", coupon, cart=goods((1000, 1)))).reason == "LOCK_HELD"
    assert (await desk.use("O")).ledger_left == 950


async def test_an_order_of_another_user_is_not_found(desk: Desk) -> None:
    mine, theirs = await desk.coupon(), await desk.coupon(user="somebody")
    await desk.lock("O", mine)
    calls = (
        desk.lock("O", theirs, user="somebody"),
        desk.extend("O", user="somebody"),
        desk.use("O", user="somebody"),
        desk.use("O", theirs, user="somebody", cart=goods((10_000, 1))),
        desk.release("O", user="somebody"),
        desk.give_back("R", order="O", user="somebody"),
        desk.get("O", user="somebody"),
    )
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await desk.state("O") == "LOCKED"
    assert await desk.status(theirs) == "UNUSED"


async def test_replace_gives_the_old_coupons_back_and_takes_the_new(desk: Desk) -> None:
    template = await desk.template(budget=1500)
    old, new = await desk.receive(template), await desk.receive(template)
    await desk.lock("O", old)
    assert (await refusal(desk, "O", new)).reason == "LOCK_HELD"

    # 1500 - 1000 + 1000: the reservation of the old lock is there for the new one.
    await desk.lock("O", new, replace=True)

    assert (await desk.status(old), await desk.status(new)) == ("UNUSED", "LOCKED")
    assert await desk.budget(template) == (1000, 0)
    kinds = [(entry.kind, entry.coupon_id) for entry in (await desk.get("O")).ledger]
    assert kinds == [
        (order_pb2.LEDGER_KIND_LOCK, old),
        (order_pb2.LEDGER_KIND_RELEASE, old),
        (order_pb2.LEDGER_KIND_LOCK, new),
    ]


async def test_replace_that_is_refused_keeps_the_held_lock(desk: Desk) -> None:
    held, used = await desk.coupon(), await desk.coupon()
    before = await desk.lock("O", held)
    await desk.use("before", used)
    assert (await refusal(desk, "O", used, replace=True)).reason == "USED"
    assert (await desk.get("O")).order == before
    assert await desk.status(held) == "LOCKED"


async def test_a_later_attempt_replaces_an_earlier_one_which_stays_dead(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    assert (await refusal(desk, "O", coupon, attempt=1)).reason == "LOCK_HELD"
    await desk.lock("O", coupon, attempt=1, replace=True)
    assert await desk.state("O", attempt=0) == "RELEASED"
    assert await desk.state("O") == "LOCKED"
    assert (await refusal(desk, "O", coupon)).reason == "ATTEMPT_RELEASED"


async def test_a_late_lock_of_an_earlier_attempt_is_refused(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon, attempt=7)
    await desk.release("O", attempt=7)
    error = await refusal(desk, "O", coupon, attempt=6)
    assert (error.reason, error.metadata["latest_attempt"]) == ("ATTEMPT_RELEASED", "7")
    await desk.lock("O", coupon, attempt=2**32 - 1)


async def test_a_lapsed_attempt_is_followed_by_a_later_one(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    await desk.lock("O", coupon, cart=goods((500, 20)), attempt=1)
    assert await desk.state("O", attempt=0) == "LAPSED"
    await desk.use("O", attempt=1)


async def test_a_lapsed_lock_is_no_obstacle_for_another_cart(desk: Desk) -> None:
    coupon, other = await desk.coupon(), await desk.coupon()
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    await desk.lock("O", other, cart=goods((700, 10)))
    assert (await desk.status(coupon), await desk.status(other)) == ("UNUSED", "LOCKED")


async def test_a_used_order_is_not_locked_again_before_it_is_returned(desk: Desk) -> None:
    coupon = await desk.coupon(returns_on_full_refund=True)
    await desk.use("O", coupon, cart=goods((10_000, 2)))
    for attempt in (0, 1):
        assert (await refusal(desk, "O", coupon, attempt=attempt)).reason == "ALREADY_USED"
    await desk.give_back("R1", {"A": 1})
    assert (await refusal(desk, "O", coupon, attempt=1)).reason == "ALREADY_USED"
    await desk.give_back("R2")
    assert (await refusal(desk, "O", coupon)).reason == "ALREADY_USED"
    await desk.lock("O", coupon, attempt=1)


async def test_a_lock_that_takes_a_lapsed_coupon_gives_its_budget_back(desk: Desk) -> None:
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)

    await desk.lock("P", coupon)

    assert await desk.budget(template) == (1000, 0)
    await desk.expirer.run_once()
    assert await desk.budget(template) == (1000, 0)
    assert [entry.kind for entry in (await desk.get("O")).ledger] == [
        order_pb2.LEDGER_KIND_LOCK,
        order_pb2.LEDGER_KIND_RELEASE,
    ]
    await desk.use("P")
    assert await desk.budget(template) == (0, 1000)


async def test_a_coupon_revoked_after_the_lapse_does_not_keep_its_budget(desk: Desk) -> None:
    template = await desk.template(budget=1000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    await desk.user_coupons.revoke(coupon_pb2.RevokeCouponRequest(user_id="u", coupon=by_id(coupon)), "admin")

    assert (await refusal(desk, "P", coupon)).reason == "REVOKED"
    await desk.expirer.run_once()

    assert await desk.budget(template) == (0, 0)
    assert await desk.status(coupon) == "REVOKED"


async def test_a_budget_is_reserved_for_all_coupons_of_a_call_or_for_none(desk: Desk) -> None:
    template = await desk.template(instant_off(1000, stack_limit=3), budget=2999)
    coupons = [await desk.receive(template) for _ in range(3)]
    error = await refusal(desk, "O", *coupons)
    assert (error.reason, error.metadata["left"]) == ("BUDGET_EXHAUSTED", "999")
    assert await desk.budget(template) == (0, 0)
    await desk.lock("O", *coupons[:2])
    assert await desk.budget(template) == (2000, 0)


async def test_a_budget_is_spent_to_the_last_unit(desk: Desk) -> None:
    template = await desk.template(budget=1000)
    first, second = await desk.receive(template), await desk.receive(template)
    await desk.lock("O", first)
    error = await refusal(desk, "P", second)
    assert (error.reason, error.metadata["left"]) == ("BUDGET_EXHAUSTED", "0")


async def test_a_coupon_is_locked_until_the_last_millisecond_of_its_window(desk: Desk) -> None:
    ends = NOW + timedelta(seconds=10)
    coupon = await desk.coupon(valid_until=to_timestamp(ends))
    desk.clock.now = ends
    assert (await refusal(desk, "O", coupon)).reason == "EXPIRED"
    desk.clock.now = ends - timedelta(milliseconds=1)
    await desk.lock("O", coupon)


async def test_a_coupon_whose_window_has_not_begun_is_not_locked(desk: Desk) -> None:
    begins = NOW + timedelta(seconds=10)
    coupon = await desk.coupon(valid_from=to_timestamp(begins), receive_from=to_timestamp(NOW))
    desk.clock.now = begins - timedelta(milliseconds=1)
    assert (await refusal(desk, "O", coupon)).reason == "NOT_STARTED"
    desk.clock.now = begins
    await desk.lock("O", coupon)


async def test_a_coupon_that_ended_while_locked_is_used_all_the_same(desk: Desk) -> None:
    coupon = await desk.coupon(valid_until=to_timestamp(NOW + timedelta(seconds=10)))
    await desk.lock("O", coupon)
    desk.clock.pass_s(30)
    assert (await desk.use("O")).decision.discount == 1000
    assert from_sql((await desk.row(coupon))["valid_until"]) == NOW + timedelta(seconds=10)


@pytest.mark.parametrize("tidied", [False, True])
async def test_a_coupon_that_ended_in_a_lock_that_lapsed_has_its_grace_from_the_lapse(desk: Desk, tidied: bool) -> None:
    ends = NOW + timedelta(seconds=10)
    coupon = await desk.coupon(valid_until=to_timestamp(ends), return_grace=Duration(seconds=100))
    await desk.lock("O", coupon)
    desk.clock.now = NOW + timedelta(seconds=159.999)
    if tidied:
        await desk.expirer.run_once()
        assert await desk.status(coupon) == "UNUSED"
    await desk.lock("O", coupon, ttl_s=1)
    await desk.release("O")
    desk.clock.now = NOW + timedelta(seconds=160)
    if tidied:
        await desk.expirer.run_once()
        assert await desk.status(coupon) == "EXPIRED"
    assert (await refusal(desk, "P", coupon)).reason == "EXPIRED"


async def test_without_grace_a_coupon_that_ended_in_a_lapsed_lock_is_expired(desk: Desk) -> None:
    coupon = await desk.coupon(valid_until=to_timestamp(NOW + timedelta(seconds=10)))
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    assert (await refusal(desk, "O", coupon)).reason == "EXPIRED"


async def test_a_request_id_gets_its_answer_again_whatever_happened_since(desk: Desk) -> None:
    coupon = await desk.coupon()
    first = await desk.lock("O", coupon, request_id="r")
    await desk.release("O")
    assert await desk.lock("O", coupon, request_id="r") == first
    assert await desk.state("O") == "RELEASED"
    with pytest.raises(InvalidArgument) as reused:
        await desk.lock("P", coupon, request_id="r")
    assert reused.value.reason == "IDEMPOTENCY_MISMATCH"


async def test_a_refused_request_id_may_be_used_again(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("P", coupon)
    assert (await refusal(desk, "O", coupon, request_id="r")).reason == "LOCKED"
    await desk.release("P")
    await desk.lock("O", coupon, request_id="r")


async def test_a_cart_that_is_only_a_total_takes_unscoped_coupons(desk: Desk) -> None:
    plain = await desk.coupon()
    scoped = await desk.coupon(terms=instant_off(10, scope=template_pb2.Scope(include_skus=["101"])))
    total = cart_pb2.Cart(currency="CNY", order_total=8000)
    assert (await refusal(desk, "O", plain, scoped, cart=total)).reason == "SCOPE_MISMATCH"
    assert (await desk.lock("O", plain, cart=total)).decision.payable == 7000


async def test_shipping_and_goods_are_locked_together(desk: Desk) -> None:
    shipping, instant = await desk.coupon(terms=free_shipping()), await desk.coupon()
    locked = await desk.lock("O", shipping, instant, cart=goods((5000, 1), shipping=700))
    assert locked.decision.payable == 4000


async def test_no_lock_or_amount_is_an_own_figure_of_the_caller(desk: Desk) -> None:
    coupon = await desk.coupon()
    cart = goods((2**40, 1))
    assert (await desk.lock("O", coupon, cart=cart)).decision.payable == 2**40 - 1000
    overflowing = goods((2**62, 4))
    with pytest.raises(InvalidArgument):
        await desk.lock("P", coupon, cart=overflowing)
