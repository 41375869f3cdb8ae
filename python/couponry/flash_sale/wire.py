"""What Redis holds of an activity, as values: places and their keys, wins as records of u and as entries of the outbox.

The layouts are those that lua/claim.lua states.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Self
from zlib import crc32

from couponry._core import Wins
from couponry.store.ids import flash_sale_coupon_id

__all__ = [
    "CANCELLED",
    "FAILED",
    "TRIED",
    "WON",
    "Place",
    "State",
    "Win",
    "fields",
    "from_batch",
    "from_outbox",
    "from_records",
    "request_hash",
    "to_batch",
    "to_records",
]

WON: Final = b"W"
TRIED: Final = b"T"
CANCELLED: Final = b"C"
FAILED: Final = b"F"

_HASH_BYTES: Final = 16
_RECORD_BYTES: Final = 27


class Place(NamedTuple):
    """One bucket of an activity: its keys, its progress row, its numbers."""

    activity_id: int
    bucket: int = 0

    @classmethod
    def of(cls, activity_id: int, buckets: int, user: bytes) -> Self:
        """The bucket that decides all claims of a user: CRC-32 (of zlib) modulo the number of buckets, for ever."""
        return cls(activity_id, crc32(user) % buckets if buckets > 1 else 0)

    def names(self) -> tuple[str, str, str]:
        """m, u, o; one hash tag, so one slot of a Cluster."""
        tag = f"fs:{{{self.activity_id}.{self.bucket}}}"
        return f"{tag}:m", f"{tag}:u", f"{tag}:o"

    def beside(self, token: str) -> tuple[str, str, str]:
        """The new u of a fence pass, and where it puts the old u and o."""
        tag = f"fs:{{{self.activity_id}.{self.bucket}}}:{token}"
        return f"{tag}:u", f"{tag}:old-u", f"{tag}:old-o"

    def coupon_id(self, number: int) -> int:
        """The id of the coupon that a win of this bucket becomes."""
        return flash_sale_coupon_id(self.activity_id, self.bucket, number)


@dataclass(frozen=True, slots=True)
class Win:
    """One win. `epoch` 0: not known; `claimed_ms` is Redis's clock at the claim."""

    number: int
    user: bytes
    request_hash: bytes
    kind: bytes
    claimed_ms: int
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """m as a script saw it: whether this is the Redis that the fence opened, its clock, and the fields."""

    open: bool
    now_ms: int
    m: Mapping[str, str]

    @property
    def absent(self) -> bool:
        """No m, or only the stub of a pass."""
        return "epoch" not in self.m

    def number(self, field: str) -> int:
        """An integer field of m; 0 where it is absent."""
        return int(self.m.get(field, 0))


def fields(flat: Sequence[bytes]) -> dict[str, str]:
    """field, value, ... as a dict."""
    return {flat[at].decode(): flat[at + 1].decode() for at in range(0, len(flat), 2)}


def request_hash(request_id: str) -> bytes:
    """What stands for a request id in Redis and MySQL."""
    return blake2b(request_id.encode(), digest_size=_HASH_BYTES).digest()


def from_records(user: bytes, records: bytes, epoch_of: Mapping[str, int] | None = None) -> list[Win]:
    """The wins of one user in u. With m's `base` and `epoch` in `epoch_of`, numbers beyond the base get the epoch."""
    base, epoch = (epoch_of["base"], epoch_of["epoch"]) if epoch_of else (0, 0)
    wins = []
    for at in range(0, len(records), _RECORD_BYTES):
        record = records[at : at + _RECORD_BYTES]
        number = int.from_bytes(record[16:20])
        wins.append(
            Win(
                number=number,
                user=user,
                request_hash=record[:_HASH_BYTES],
                kind=record[26:27],
                claimed_ms=int.from_bytes(record[20:26]),
                epoch=epoch if number > base else 0,
            )
        )
    return wins


def to_records(wins: Iterable[Win]) -> bytes:
    """The value of u for one user's wins."""
    return b"".join(win.request_hash + win.number.to_bytes(4) + win.claimed_ms.to_bytes(6) + win.kind for win in wins)


def from_outbox(entries: Sequence[Any]) -> list[Win]:
    """The wins of outbox entries, in number order. Raises ValueError for what is no entry."""
    return from_batch(Wins.from_outbox(entries, after=0))


def from_batch(wins: Wins) -> list[Win]:
    """The wins of a batch, one by one."""
    return [Win(*values) for values in wins.values()]


def to_batch(wins: Iterable[Win]) -> Wins:
    """A batch of these wins."""
    return Wins(
        [(win.number, win.user, win.request_hash, win.kind, win.claimed_ms, win.epoch) for win in wins],
    )
