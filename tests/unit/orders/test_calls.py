"""Requests of orders at the door: every limit at its edge, every violation in one answer."""

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from couponry import discount
from couponry.clock import system_clock
from couponry.coupons.codes import Codes
from couponry.coupons.refs import RefResolver
from couponry.errors import Exhausted, InvalidArgument
from couponry.orders.calls import OrderDoor
from couponry.v1 import cart_pb2, discount_pb2, order_pb2

LINE = cart_pb2.CartLine(line_id="A", sku_id="1", shop_id="s", quantity=1, unit_price=1000)


@pytest.fixture
def door() -> OrderDoor:
    return OrderDoor(
        refs=RefResolver(codes=Codes(b"0123456789abcdef"), clock=system_clock),
        rules=discount.Rules(),
        submitted_limit=30,
        lock_ttl_default_s=900,
        lock_ttl_max_s=3600,
    )


def lock(**changes: Any) -> order_pb2.LockCouponsRequest:
    fields: dict[str, Any] = {
        "order_id": "O",
        "user_id": "u",
        "cart": cart_pb2.Cart(currency="CNY", lines=[LINE]),
        "coupons": [discount_pb2.CouponRef(coupon_id=1)],
    }
    return order_pb2.LockCouponsRequest(**(fields | changes))


def refused(door: OrderDoor, request: order_pb2.LockCouponsRequest) -> list[str]:
    """The fields of the violations."""
    with pytest.raises(InvalidArgument) as error:
        door.lock(request)
    return [violation.field for violation in error.value.violations]


def refs(count: int) -> list[discount_pb2.CouponRef]:
    return [discount_pb2.CouponRef(coupon_id=number) for number in range(1, count + 1)]


def test_all_violations_come_in_one_answer(door: OrderDoor) -> None:
    request = lock(
        order_id="",
        user_id="x" * 65,
        request_id="r" * 65,
        minimum_payable=-1,
        expected_payable=-1,
        ttl=Duration(seconds=0),
        coupons=[discount_pb2.CouponRef()],
        cart=cart_pb2.Cart(currency="cny", lines=[cart_pb2.CartLine(line_id="A", sku_id="1", shop_id="s")]),
    )
    assert set(refused(door, request)) == {
        "order_id",
        "user_id",
        "request_id",
        "minimum_payable",
        "expected_payable",
        "ttl",
        "coupons[0]",
        "cart.currency",
        "cart.lines[0].quantity",
    }


@pytest.mark.parametrize("field", ["order_id", "user_id"])
def test_an_id_of_the_shop_has_1_to_64_bytes(door: OrderDoor, field: str) -> None:
    door.lock(lock(**{field: "x" * 64}))
    assert refused(door, lock(**{field: "x" * 65})) == [field]
    assert refused(door, lock(**{field: "é" * 33})) == [field]
    assert refused(door, lock(**{field: ""})) == [field]


def test_1_to_30_coupons_are_locked(door: OrderDoor) -> None:
    assert len(door.lock(lock(coupons=refs(30))).wanted.refs) == 30
    assert refused(door, lock(coupons=refs(31))) == ["coupons"]
    assert refused(door, lock(coupons=[])) == ["coupons"]


def test_a_lock_lives_1_second_to_the_longest(door: OrderDoor) -> None:
    assert door.lock(lock()).ttl.total_seconds() == 900
    assert door.lock(lock(ttl=Duration(seconds=1))).ttl.total_seconds() == 1
    assert door.lock(lock(ttl=Duration(seconds=3600))).ttl.total_seconds() == 3600
    assert refused(door, lock(ttl=Duration(nanos=999_000_000))) == ["ttl"]
    assert refused(door, lock(ttl=Duration(seconds=3600, nanos=1_000_000))) == ["ttl"]
    assert refused(door, lock(ttl=Duration(seconds=-5))) == ["ttl"]


def test_a_lock_needs_a_cart(door: OrderDoor) -> None:
    assert refused(door, lock(cart=None)) == ["cart"]


def test_a_cart_is_checked_before_any_lock_is_taken(door: OrderDoor) -> None:
    cart = cart_pb2.Cart(currency="CNY", lines=[LINE, LINE])
    assert refused(door, lock(cart=cart)) == ["cart.lines[1].line_id"]
    many = cart_pb2.Cart(currency="CNY", lines=[LINE] * 501)
    assert refused(door, lock(cart=many))[0] == "cart.lines"


def test_the_order_of_coupons_is_no_part_of_the_content(door: OrderDoor) -> None:
    one = door.lock(lock(coupons=refs(3))).wanted.content
    assert door.lock(lock(coupons=refs(3)[::-1], expected_payable=5, replace=True)).wanted.content == one
    assert door.lock(lock(coupons=refs(2))).wanted.content != one
    assert door.lock(lock(coupons=refs(3), minimum_payable=1)).wanted.content != one


def test_codes_are_not_guessed_for_ever(door: OrderDoor) -> None:
    wrong = lock(coupons=[discount_pb2.CouponRef(code=f"NOCODE{number:06}") for number in range(30)])
    door.lock(wrong)
    door.lock(wrong)
    with pytest.raises(Exhausted) as error:
        door.lock(wrong)
    assert error.value.reason == "RATE_LIMITED"
    assert error.value.retry_after_s


def test_a_use_without_a_cart_takes_no_least_amount(door: OrderDoor) -> None:
    request = order_pb2.UseCouponsRequest(order_id="O", user_id="u", minimum_payable=1)
    with pytest.raises(InvalidArgument) as error:
        door.use(request)
    assert error.value.violations[0].field == "minimum_payable"


def test_a_use_with_coupons_needs_their_cart(door: OrderDoor) -> None:
    request = order_pb2.UseCouponsRequest(order_id="O", user_id="u", coupons=refs(1))
    with pytest.raises(InvalidArgument) as error:
        door.use(request)
    assert error.value.violations[0].field == "cart"


def returns(**changes: Any) -> order_pb2.ReturnCouponsRequest:
    fields: dict[str, Any] = {"order_id": "O", "user_id": "u", "return_id": "R"}
    return order_pb2.ReturnCouponsRequest(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"return_id": ""}, "return_id"),
        ({"return_id": "r" * 65}, "return_id"),
        ({"lines": [order_pb2.ReturnLine(line_id="A", units=0)]}, "lines[0].units"),
        ({"lines": [order_pb2.ReturnLine(line_id="A", units=1_000_001)]}, "lines[0].units"),
        ({"lines": [order_pb2.ReturnLine(line_id="A")] * 2}, "lines[1].line_id"),
        ({"lines": [order_pb2.ReturnLine(line_id="x" * 65)]}, "lines[0].line_id"),
        ({"lines": [order_pb2.ReturnLine(line_id=str(number)) for number in range(501)]}, "lines"),
        ({"shipment_ids": ["S", "S"]}, "shipment_ids[1]"),
        ({"shipment_ids": [str(number) for number in range(501)]}, "shipment_ids"),
    ],
)
def test_a_return_names_each_line_once_with_at_least_one_unit(
    door: OrderDoor, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidArgument) as error:
        door.return_(returns(**changes))
    assert [violation.field for violation in error.value.violations] == [field]


def test_a_return_at_its_limits_is_taken(door: OrderDoor) -> None:
    lines = [order_pb2.ReturnLine(line_id=str(number), units=1_000_000) for number in range(500)]
    call = door.return_(returns(return_id="r" * 64, lines=lines, shipment_ids=[str(number) for number in range(500)]))
    assert len(call.lines) == len(call.shipment_ids) == 500
    assert not call.everything
    assert door.return_(returns()).everything
