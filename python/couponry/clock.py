"""The process's clock and its conversions; injected wherever time matters.

Instants are aware datetimes in UTC cut to milliseconds, because DATETIME(3) holds no more. Whatever moves a coupon is
decided by the database's clock, not by this one.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["Clock", "from_ms", "from_sql", "from_timestamp", "system_clock", "to_ms", "to_sql", "to_timestamp"]

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """Now, in UTC, to the millisecond."""
    return cut(datetime.now(UTC))


def cut(instant: datetime) -> datetime:
    """The instant without its microseconds."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def to_ms(instant: datetime) -> int:
    """Milliseconds since 1970, exactly."""
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def from_ms(ms: int) -> datetime:
    """The instant `ms` milliseconds after 1970."""
    seconds, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def to_sql(instant: datetime) -> datetime:
    """For a DATETIME(3) column: naive, in UTC."""
    return cut(instant).astimezone(UTC).replace(tzinfo=None)


def from_sql(value: datetime) -> datetime:
    """From a DATETIME(3) column."""
    return value.replace(tzinfo=UTC)


def to_timestamp(instant: datetime) -> Timestamp:
    """For the wire."""
    ms = to_ms(instant)
    return Timestamp(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000)


def from_timestamp(value: Timestamp) -> datetime:
    """From the wire, cut to milliseconds. The caller has checked its range."""
    return from_ms(value.seconds * 1000 + value.nanos // 1_000_000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
