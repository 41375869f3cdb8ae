"""Reading a history: every wrong line is told by its field, and no cut between blocks loses a cart."""

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from couponry.discount import Cart, InvalidCart, Line, Shipment
from couponry.replay import carts
from couponry.replay.carts import TooLong, blocks, read_order

LINE = {"line_id": "1", "sku_id": "s", "shop_id": "p", "quantity": 2, "unit_price": 500}


def told(data: Any) -> list[tuple[str, str]]:
    line = data if isinstance(data, bytes) else json.dumps(data).encode()
    with pytest.raises(InvalidCart) as caught:
        read_order(7, line)
    return [(violation.field, violation.text) for violation in caught.value.violations]


def test_every_field_of_a_cart_is_read() -> None:
    every = LINE | {
        "spu_id": "u", "category_ids": ["a", "b"], "list_unit_price": 600, "not_discountable": True,
    }  # fmt: skip
    order = read_order(
        7,
        json.dumps(
            {
                "order_id": "A1",
                "at": "2026-03-01T09:30:00+08:00",
                "metadata": {"user": 5},
                "currency": "CNY",
                "lines": [every],
                "shipments": [{"shipment_id": "x", "shop_id": "p", "amount": 8}],
            }
        ).encode(),
    )
    assert order.cart == Cart(
        "CNY", (Line("1", "s", "p", 2, 500, "u", ("a", "b"), 600, True),), (Shipment("x", "p", 8),)
    )
    assert (order.order_id, order.at) == ("A1", datetime(2026, 3, 1, 1, 30, tzinfo=UTC))


def test_a_cart_may_be_a_total_and_be_called_by_its_line() -> None:
    order = read_order(7, b'{"currency": "CNY", "order_total": 5}\r')
    assert order.cart == Cart("CNY", order_total=5)
    assert (order.order_id, order.at) == ("line 7", None)


@pytest.mark.parametrize(
    ("data", "violations"),
    [
        (b"[1", [("", "not JSON: Expecting ',' delimiter at column 3")]),
        (b'{"currency": NaN}', [("", "not JSON: NaN is no number")]),
        (b"\xff", [("", "not UTF-8")]),
        (b"[" * 100_000, [("", "not a cart: nested too deeply")]),
        ([], [("", "must be an object: {...}")]),
        ({}, [("currency", "is required")]),
        ({"currency": "CNY", "linse": []}, [("linse", "unknown field; did you mean lines?")]),
        ({"currency": "CNY", "order_id": 5}, [("order_id", "must be a text of 1 to 64 bytes")]),
        ({"currency": "CNY", "order_id": "x" * 65}, [("order_id", "must be a text of 1 to 64 bytes")]),
        (
            {"currency": "CNY", "at": "2026-03-01T09:30:00"},
            [("at", "must be a time with its offset, as 2026-06-01T08:30:00Z")],
        ),
        ({"currency": "CNY", "at": 5}, [("at", "must be a time with its offset, as 2026-06-01T08:30:00Z")]),
        ({"currency": "CNY", "lines": {}}, [("lines", "must be a list")]),
        ({"currency": "CNY", "lines": [5]}, [("lines[0]", "must be an object: {...}")]),
        (
            {"currency": "CNY", "lines": [LINE, {**LINE, "quantity": True}]},
            [("lines[1].quantity", "must be a whole number")],
        ),
        ({"currency": "CNY", "order_total": True}, [("order_total", "must be a whole number")]),
        (
            {"currency": "CNY", "lines": [{**LINE, "category_ids": "tea"}]},
            [("lines[0].category_ids", "must be a list")],
        ),
        (
            {"currency": "CNY", "shipments": [{"shipment_id": "x", "cost": 5}]},
            [
                ("shipments[0].cost", "unknown field"),
                ("shipments[0].shop_id", "is required"),
                ("shipments[0].amount", "is required"),
            ],
        ),
    ],
)
def test_a_wrong_line_is_told_by_field(data: Any, violations: list[tuple[str, str]]) -> None:
    assert told(data) == violations


@given(
    st.lists(st.binary(max_size=12).map(lambda some: some.replace(b"\n", b" "))),
    st.booleans(),
    st.integers(1, 40),
)
def test_blocks_keep_every_line_and_its_number(lines: list[bytes], ends: bool, size: int) -> None:
    source = b"\n".join(lines) + (b"\n" if ends else b"")
    numbered = [
        (block.first_line + place, line)
        for block in blocks(BytesIO(source), size)
        for place, line in enumerate(block.text.removesuffix(b"\n").split(b"\n"))
    ]
    assert numbered == list(enumerate(source.removesuffix(b"\n").split(b"\n"), 1)) or not source


def test_a_line_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carts, "MAX_LINE", 100)
    with pytest.raises(TooLong) as caught:
        list(blocks(BytesIO(b"a\nb\n" + b"x" * 1000), 10))
    assert caught.value.line == 3
