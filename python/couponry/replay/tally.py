"""What a replay adds up, in space that does not grow with the carts: exact sums, fixed buckets, the first of a rank.

Adding tallies gives the same in whatever order, so a report does not depend on the number of processes.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from couponry.replay.errors import BadLine

__all__ = [
    "AMOUNT_BOUNDS",
    "RANKS",
    "SHARE_BOUNDS_BP",
    "Change",
    "Example",
    "Side",
    "Tally",
    "TemplateTally",
    "Top",
    "Totals",
    "amount_bucket",
    "share_bucket",
]

SHARE_BOUNDS_BP: Final = (0, *range(500, 10_000, 500), 9_999, 10_000)
"""Upper ends, included, of the buckets of discount / original: nothing, up to 5 %, ..., below 100 %, all of it."""
AMOUNT_BOUNDS: Final = (0, *(digit * 10**power for power in range(18) for digit in (1, 2, 5)), 10**18, 2**63 - 1)
"""Upper ends, included, of the buckets of a discount in minor units: 0, 1, 2, 5, 10, 20, 50, ..."""
_FREE_BUCKET: Final = len(SHARE_BOUNDS_BP) - 1
_FINE: Final = 10**18
_BAD_TOLD: Final = 10


class Example(NamedTuple):
    """A cart of the history and what was taken off it. `applied` are (template id, discount), in order.

    `against` is the discount under the other campaign, where there is one.
    """

    line: int
    order_id: str
    currency: str
    original: int
    discount: int
    applied: tuple[tuple[int, int], ...]
    against: int | None = None


Rank = tuple[int, int]


def by_share(example: Example) -> Rank:
    """By discount / original, then by discount."""
    return (example.discount * _FINE // example.original if example.original else 0, example.discount)


def by_discount(example: Example) -> Rank:
    """By discount, then by its share of the cart."""
    return (example.discount, by_share(example)[0])


def by_change(example: Example) -> Rank:
    """By what the discount is more than under the other campaign."""
    return (example.discount - (example.against or 0), example.discount)


RANKS: Final[Mapping[str, Callable[[Example], Rank]]] = {
    "share": by_share,
    "discount": by_discount,
    "change": by_change,
}


def share_bucket(discount: int, original: int) -> int:
    """The place in SHARE_BOUNDS_BP; what is free alone is in the last bucket, what lost nothing in the first."""
    if not discount:
        return 0
    if discount == original:
        return _FREE_BUCKET
    return bisect_left(SHARE_BOUNDS_BP, -(-discount * 10_000 // original), 1, _FREE_BUCKET - 1)


def amount_bucket(discount: int) -> int:
    """The place in AMOUNT_BOUNDS."""
    return bisect_left(AMOUNT_BOUNDS, discount)


class _OfALine(Protocol):
    @property
    def line(self) -> int: ...


Entry = TypeVar("Entry", bound=_OfALine)


class Top(Generic[Entry]):
    """The `size` entries of the highest rank; of equal ranks those of the earlier lines."""

    __slots__ = ("_heap", "_rank", "_size")

    def __init__(self, size: int, rank: Callable[[Entry], Rank]) -> None:
        self._size = size
        self._rank = rank
        self._heap: list[tuple[Rank, int, Entry]] = []

    def add(self, entry: Entry) -> None:
        ranked = (self._rank(entry), -entry.line, entry)
        if len(self._heap) < self._size:
            heappush(self._heap, ranked)
        else:
            heappushpop(self._heap, ranked)

    def merge(self, other: "Top[Entry]") -> None:
        for _, _, entry in other._heap:  # noqa: SLF001 - its own kind
            self.add(entry)

    def entries(self) -> list[Entry]:
        """The highest first."""
        return [entry for _, _, entry in sorted(self._heap, reverse=True)]


def _earliest(_: BadLine) -> Rank:
    return (0, 0)


@dataclass(slots=True)
class TemplateTally:
    """A template in the history: `seen` are the carts of its currency and shop, the only ones it was tried on."""

    seen: int = 0
    orders: int = 0
    coupons: int = 0
    discount: int = 0
    most: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    free: int = 0
    freest: Top[Example] = field(default_factory=lambda: Top(1, by_discount))
    stacked: int = 0
    steepest: Top[Example] = field(default_factory=lambda: Top(1, by_share))
    alone: int = 0
    """Carts in which it, alone, would take something, counted while another template may dominate it."""

    def merge(self, other: "TemplateTally") -> None:
        self.seen += other.seen
        self.orders += other.orders
        self.coupons += other.coupons
        self.discount += other.discount
        self.most = max(self.most, other.most)
        self.reasons.update(other.reasons)
        self.free += other.free
        self.freest.merge(other.freest)
        self.stacked += other.stacked
        self.steepest.merge(other.steepest)
        self.alone += other.alone


@dataclass(slots=True)
class Totals:
    """The orders of one currency under one campaign. `affected` are those with a discount."""

    orders: int = 0
    affected: int = 0
    free: int = 0
    original: int = 0
    affected_original: int = 0
    discount: int = 0
    shares: list[int] = field(default_factory=lambda: [0] * len(SHARE_BOUNDS_BP))
    amounts: list[int] = field(default_factory=lambda: [0] * len(AMOUNT_BOUNDS))

    def add(self, original: int, discount: int) -> None:
        self.orders += 1
        self.original += original
        self.shares[share_bucket(discount, original)] += 1
        self.amounts[amount_bucket(discount)] += 1
        if discount:
            self.affected += 1
            self.affected_original += original
            self.discount += discount
            self.free += discount == original

    def merge(self, other: "Totals") -> None:
        self.orders += other.orders
        self.affected += other.affected
        self.free += other.free
        self.original += other.original
        self.affected_original += other.affected_original
        self.discount += other.discount
        self.shares = [a + b for a, b in zip(self.shares, other.shares, strict=True)]
        self.amounts = [a + b for a, b in zip(self.amounts, other.amounts, strict=True)]


@dataclass(slots=True)
class Side:
    """The history under one campaign. `bounded` are the carts whose best set is not proven."""

    templates: list[TemplateTally]
    currencies: dict[str, Totals] = field(default_factory=dict)
    bounded: int = 0

    def merge(self, other: "Side") -> None:
        for mine, more in zip(self.templates, other.templates, strict=True):
            mine.merge(more)
        for currency, totals in other.currencies.items():
            self.currencies.setdefault(currency, Totals()).merge(totals)
        self.bounded += other.bounded


@dataclass(slots=True)
class Change:
    """Orders that the draft takes more, as much, or less off than the campaign it is compared with."""

    more: int = 0
    same: int = 0
    less: int = 0

    def add(self, discount: int, against: int) -> None:
        self.more += discount > against
        self.same += discount == against
        self.less += discount < against

    def merge(self, other: "Change") -> None:
        self.more += other.more
        self.same += other.same
        self.less += other.less


@dataclass(slots=True)
class Tally:
    """All of a replay, or of a part of it."""

    draft: Side
    against: Side | None
    worst: Top[Example]
    changes: dict[str, Change] = field(default_factory=dict)
    bad: int = 0
    first_bad: Top[BadLine] = field(default_factory=lambda: Top(_BAD_TOLD, _earliest))
    carts: int = 0

    def merge(self, other: "Tally") -> None:
        self.draft.merge(other.draft)
        if self.against is not None and other.against is not None:
            self.against.merge(other.against)
        self.worst.merge(other.worst)
        for currency, change in other.changes.items():
            self.changes.setdefault(currency, Change()).merge(change)
        self.bad += other.bad
        self.first_bad.merge(other.first_bad)
        self.carts += other.carts
