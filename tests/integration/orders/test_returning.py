"""ReturnCoupons: the right amount, once, and what comes back with the last unit."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from couponry.clock import from_sql, to_timestamp
from couponry.errors import FailedPrecondition, InvalidArgument, NotFound
from couponry.v1 import cart_pb2, order_pb2
from tests.integration.orders.desk import NOW, Desk, free_shipping, goods, instant_off, percent_off


async def test_a_return_that_names_nothing_takes_everything_back_shipping_too(desk: Desk) -> None:
    shipping = await desk.coupon(terms=free_shipping(), returns_on_full_refund=True)
    instant = await desk.coupon(returns_on_full_refund=True)
    used = await desk.use("O", shipping, instant, cart=goods((5000, 2), (300, 1), shipping=700))
    back = await desk.give_back("R")
    assert (back.discount_returned, back.shipping_discount_returned) == (1700, 700)
    assert back.refund == used.decision.payable
    assert list(back.coupons_back) == sorted([shipping, instant])
    assert back.order.state == order_pb2.ORDER_STATE_RETURNED
    assert (back.order.ledger_left, back.order.discount_returned) == (0, 1700)


async def test_a_return_that_names_nothing_takes_what_earlier_returns_left(desk: Desk) -> None:
    coupon = await desk.coupon(terms=percent_off(3333))
    used = await desk.use("O", coupon, cart=goods((999, 7), (50, 3), shipping=600))
    first = await desk.give_back("R1", {"A": 3})
    second = await desk.give_back("R2", {"A": 1, "B": 2}, shipments=["shipping"])
    rest = await desk.give_back("R3")
    assert first.discount_returned + second.discount_returned + rest.discount_returned == used.decision.discount
    assert first.refund + second.refund + rest.refund == used.decision.payable
    with pytest.raises(FailedPrecondition) as nothing:
        await desk.give_back("R4")
    assert (nothing.value.reason, nothing.value.metadata["left"]) == ("RETURN_EXCEEDS_LEFT", "0")


async def test_units_come_back_in_allocation_order(desk: Desk) -> None:
    coupon = await desk.coupon(terms=instant_off(5))
    await desk.use("O", coupon, cart=goods((100, 3)))
    ledger = (await desk.get("O")).ledger
    runs = [(e.unit_from, e.unit_count, e.amount_each) for e in ledger if e.kind == order_pb2.LEDGER_KIND_USE]
    amounts = [amount for _, count, amount in runs for _ in range(count)]
    assert sum(amounts) == 5
    for number, amount in enumerate(amounts):
        assert (await desk.give_back(f"R{number}", {"A": 1})).discount_returned == amount
    returned = [e for e in (await desk.get("O")).ledger if e.kind == order_pb2.LEDGER_KIND_RETURN]
    assert [(e.unit_from, e.unit_count, -e.amount_each, e.return_id) for e in returned] == [
        (number, 1, amount, f"R{number}") for number, amount in enumerate(amounts)
    ]


async def test_units_without_a_discount_are_counted_and_refunded_at_their_price(desk: Desk) -> None:
    cart = goods((1000, 1), (500, 4))
    cart.lines[1].not_discountable = True
    coupon = await desk.coupon(returns_on_full_refund=True)
    await desk.use("O", coupon, cart=cart)
    gift = await desk.give_back("R1", {"B": 3})
    assert (gift.discount_returned, gift.refund) == (0, 1500)
    goods_back = await desk.give_back("R2", {"A": None})
    assert (goods_back.discount_returned, goods_back.refund, list(goods_back.coupons_back)) == (1000, 0, [])
    last = await desk.give_back("R3", {"B": None})
    assert (last.refund, list(last.coupons_back)) == (500, [coupon])
    assert last.order.state == order_pb2.ORDER_STATE_RETURNED


async def test_a_return_id_with_another_body_is_refused(desk: Desk) -> None:
    await desk.use("O", await desk.coupon(), cart=goods((1000, 3)))
    await desk.give_back("R", {"A": 1})
    with pytest.raises(InvalidArgument) as reused:
        await desk.give_back("R", {"A": 2})
    assert reused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert reused.value.violations[0].field == "return_id"


async def test_a_refused_return_leaves_its_id_free(desk: Desk) -> None:
    await desk.use("O", await desk.coupon(), cart=goods((1000, 3)))
    with pytest.raises(FailedPrecondition):
        await desk.give_back("R", {"A": 4})
    assert (await desk.give_back("R", {"A": 3})).discount_returned == 1000


async def test_what_the_cart_does_not_have_is_not_returned(desk: Desk) -> None:
    await desk.use("O", await desk.coupon(), cart=goods((1000, 3)))
    with pytest.raises(InvalidArgument) as line:
        await desk.give_back("R", {"A": 1, "Z": 1})
    assert line.value.violations[0].field == "lines[1].line_id"
    with pytest.raises(InvalidArgument) as shipment:
        await desk.give_back("R", shipments=["A"])
    assert shipment.value.violations[0].field == "shipment_ids[0]"
    assert (await desk.get("O")).order.discount_returned == 0


async def test_only_what_was_used_is_returned(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.give_back("R")
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    for _ in range(2):
        with pytest.raises(FailedPrecondition) as unused:
            await desk.give_back("R")
        assert unused.value.reason == "NOT_USED"
        await desk.release("O")
    with pytest.raises(FailedPrecondition) as no_attempt:
        await desk.give_back("R", attempt=1)
    assert no_attempt.value.reason == "NOT_USED"


async def test_a_template_that_does_not_return_keeps_the_coupon_used(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.use("O", coupon, cart=goods((1000, 1)))
    back = await desk.give_back("R")
    assert (list(back.coupons_back), back.order.state) == ([], order_pb2.ORDER_STATE_RETURNED)
    assert await desk.status(coupon) == "USED"


async def test_a_coupon_past_its_end_comes_back_expired_or_with_its_grace(desk: Desk) -> None:
    ends = to_timestamp(NOW + timedelta(seconds=10))
    graced = await desk.coupon(valid_until=ends, return_grace=Duration(seconds=100), returns_on_full_refund=True)
    plain = await desk.coupon(valid_until=ends, returns_on_full_refund=True)
    await desk.use("O", graced, plain, cart=goods((10_000, 1)))
    desk.clock.pass_s(3600)
    assert list((await desk.give_back("R")).coupons_back) == [graced, plain]
    assert (await desk.status(graced), await desk.status(plain)) == ("UNUSED", "EXPIRED")
    assert from_sql((await desk.row(graced))["valid_until"]) == NOW + timedelta(seconds=3700)


async def test_a_coupon_that_came_back_and_was_used_again_stays_with_its_new_order(desk: Desk) -> None:
    instant = await desk.coupon(returns_on_full_refund=True)
    shipping = await desk.coupon(terms=free_shipping(), returns_on_full_refund=True)
    await desk.use("O", instant, shipping, cart=goods((5000, 1), shipping=700))
    assert list((await desk.give_back("R1", {"A": 1})).coupons_back) == [instant]
    await desk.use("P", instant, cart=goods((5000, 1)))
    assert list((await desk.give_back("R2")).coupons_back) == [shipping]
    assert (await desk.row(instant))["order_id"] == b"P"


async def test_shipping_alone_may_be_returned_and_only_once(desk: Desk) -> None:
    await desk.use("O", await desk.coupon(terms=free_shipping()), cart=goods((5000, 1), shipping=700))
    back = await desk.give_back("R1", shipments=["shipping"])
    assert (back.discount_returned, back.shipping_discount_returned, back.refund) == (700, 700, 0)
    with pytest.raises(FailedPrecondition) as again:
        await desk.give_back("R2", shipments=["shipping"])
    assert again.value.metadata == {"left": "0", "line_id": "shipping"}


async def test_undiscounted_shipping_may_come_back_after_everything_else(desk: Desk) -> None:
    await desk.use("O", await desk.coupon(), cart=goods((5000, 1), shipping=700))
    assert (await desk.give_back("R1", {"A": 1})).order.state == order_pb2.ORDER_STATE_RETURNED
    assert (await desk.give_back("R2", shipments=["shipping"])).refund == 700


async def test_a_budget_gets_back_what_each_return_takes_back(desk: Desk) -> None:
    template = await desk.template(budget=5000)
    await desk.use("O", await desk.receive(template), cart=goods((1000, 3)))
    assert await desk.budget(template) == (0, 1000)
    await desk.give_back("R1", {"A": 1})
    assert await desk.budget(template) == (0, 666)
    await desk.give_back("R2")
    assert await desk.budget(template) == (0, 0)


async def test_a_cart_that_is_only_a_total_comes_back_as_one(desk: Desk) -> None:
    coupon = await desk.coupon(returns_on_full_refund=True)
    used = await desk.use("O", coupon, cart=cart_pb2.Cart(currency="CNY", order_total=8000))
    line_id = used.decision.lines[0].line_id
    back = await desk.give_back("R", {line_id: 1})
    assert (back.discount_returned, back.refund, list(back.coupons_back)) == (1000, 7000, [coupon])


async def test_a_line_of_a_million_units_is_a_few_rows(desk: Desk) -> None:
    coupon = await desk.coupon(terms=instant_off(1_234_567))
    await desk.use("O", coupon, cart=goods((10, 1_000_000)))
    first = await desk.give_back("R1", {"A": 400_000})
    rest = await desk.give_back("R2")
    assert first.discount_returned + rest.discount_returned == 1_234_567
    assert len((await desk.get("O")).ledger) <= 8
