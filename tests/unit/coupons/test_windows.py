"""A coupon's own window."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from couponry.coupons.windows import coupon_window

START = datetime(2026, 6, 20)  # noqa: DTZ001 - naive UTC, as SQL has it
END = datetime(2026, 7, 1)  # noqa: DTZ001
INSTANTS = st.datetimes(START - timedelta(days=30), END + timedelta(days=30))


def test_without_valid_days_a_coupon_has_the_templates_window() -> None:
    assert coupon_window(START, END, None, START + timedelta(days=3)) == (START, END)


@given(received_at=INSTANTS, valid_days=st.integers(1, 3660))
def test_valid_days_count_from_the_later_of_receiving_and_the_start(received_at: datetime, valid_days: int) -> None:
    begin, end = coupon_window(START, END, valid_days, received_at)
    assert begin == START
    assert end <= END
    assert end == END or end - max(START, received_at) == timedelta(days=valid_days)


@given(received_at=INSTANTS, valid_days=st.none() | st.integers(1, 3660))
def test_a_coupon_is_born_expired_only_where_the_templates_window_is_over(
    received_at: datetime, valid_days: int | None
) -> None:
    _, end = coupon_window(START, END, valid_days, received_at)
    assert (end <= received_at) == (received_at >= END)
