"""When a coupon ends that comes back: by lapse, by release, by a full return."""

from datetime import UTC, datetime, timedelta

import pytest

from couponry.orders.giving_back import end_after_release, end_after_return, end_if_lapsed, status_for
from couponry.v1 import coupon_pb2

END = datetime(2026, 7, 1, tzinfo=UTC)
DAY_MS = 86_400_000
DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


def test_a_coupon_that_outlives_its_lock_keeps_its_end() -> None:
    assert end_if_lapsed(END, DAY_MS, END - MS) == END
    assert end_after_release(END, DAY_MS, END - MS) == END


def test_a_coupon_that_ends_with_its_lock_gets_its_grace() -> None:
    assert end_if_lapsed(END, DAY_MS, END) == END + DAY
    assert end_after_release(END, DAY_MS, END) == END + DAY


def test_without_grace_a_coupon_that_ended_while_locked_comes_back_expired() -> None:
    assert end_if_lapsed(END, 0, END + DAY) == END
    assert end_after_release(END, 0, END + DAY) == END
    assert end_after_return(END, 0, END + DAY) == END
    assert status_for(END, END) == coupon_pb2.COUPON_STATE_EXPIRED


@pytest.mark.parametrize("late", [-2 * DAY, -DAY, -DAY + MS, timedelta(0), DAY])
def test_a_full_return_leaves_at_least_the_grace(late: timedelta) -> None:
    end = end_after_return(END, DAY_MS, END + late)
    assert end == max(END, END + late + DAY)
    assert status_for(end, END + late) == coupon_pb2.COUPON_STATE_UNUSED
