"""Rows as messages: the state follows from time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couponry.coupons.codes import Codes
from couponry.coupons.messages import coupon_as_of, coupon_message, state_at
from couponry.v1 import coupon_pb2 as pb

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
SOON = NOW + timedelta(milliseconds=1)
UNUSED, LOCKED, USED, EXPIRED, REVOKED = 1, 2, 3, 4, 5


@pytest.mark.parametrize(
    ("status", "valid_until", "locked_until", "reads_as"),
    [
        (UNUSED, SOON, None, UNUSED),
        (UNUSED, NOW, None, EXPIRED),
        (LOCKED, SOON, SOON, LOCKED),
        (LOCKED, NOW, SOON, LOCKED),
        (LOCKED, SOON, NOW, UNUSED),
        (LOCKED, NOW, NOW, EXPIRED),
        (USED, NOW, None, USED),
        (REVOKED, NOW, None, REVOKED),
        (EXPIRED, NOW, None, EXPIRED),
    ],
)
def test_a_status_reads_as_time_makes_it(
    status: int, valid_until: datetime, locked_until: datetime | None, reads_as: int
) -> None:
    assert state_at(status, valid_until, locked_until, NOW) == reads_as


def row(**changes: Any) -> dict[str, Any]:
    naive = NOW.replace(tzinfo=None)
    return {
        "user_id": "u😀".encode(),
        "id": 7,
        "template_id": 3,
        "source": 1,
        "status": LOCKED,
        "valid_from": naive,
        "valid_until": naive + timedelta(days=1),
        "received_at": naive,
        "order_id": b"o",
        "attempt": 2,
        "locked_until": naive + timedelta(minutes=15),
        "used_at": None,
        "activity_id": None,
        "version": 4,
    } | changes


def test_a_locked_coupon_names_its_order_until_the_lock_lapses() -> None:
    codes = Codes(bytes(16))
    message = coupon_message(row(), NOW, codes)
    assert (message.user_id, message.state, message.order_id, message.attempt) == ("u😀", LOCKED, "o", 2)
    assert codes.decode(message.code) == 7
    lapsed = coupon_message(row(), NOW + timedelta(minutes=15), codes)
    assert (lapsed.state, lapsed.order_id, lapsed.attempt) == (UNUSED, "", 0)
    assert not lapsed.HasField("locked_until")


def test_an_earlier_message_read_later_is_the_message_of_later() -> None:
    codes = Codes(bytes(16))
    for later in (timedelta(0), timedelta(minutes=15), timedelta(days=1), timedelta(days=2)):
        early = coupon_message(row(), NOW, codes)
        before = pb.Coupon.FromString(early.SerializeToString())
        assert coupon_as_of(early, NOW + later) == coupon_message(row(), NOW + later, codes)
        assert early == before
