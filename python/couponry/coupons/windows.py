"""When a coupon can be used: its own window, fixed when it is received.

All instants of one call are of one kind, naive or aware.
"""

from datetime import datetime, timedelta

__all__ = ["coupon_window"]

# `valid_days` are spans of 86,400,000 ms: calendar days and time zones are the caller's.
_DAY = timedelta(milliseconds=86_400_000)


def coupon_window(
    valid_from: datetime, valid_until: datetime, valid_days: int | None, received_at: datetime
) -> tuple[datetime, datetime]:
    """[from, until) of a coupon of a template with this window, received at an instant.

    It begins with the template's window. With `valid_days` it ends that long after the later of receiving and the
    beginning, at most at the template's end. A window whose end is not later than `received_at` is of a coupon that
    would be born expired.
    """
    if valid_days is None:
        return valid_from, valid_until
    return valid_from, min(valid_until, max(valid_from, received_at) + valid_days * _DAY)
