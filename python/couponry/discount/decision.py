"""What comes out of the calculator: original - discount = payable, at every level. All amounts are minor units.

A decision of the calculator builds a part when somebody first asks for it; one that is written by hand has all parts.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from couponry.discount.names import Optimality, Reason

__all__ = [
    "Applied",
    "BestDecision",
    "Certificate",
    "Decision",
    "Hint",
    "LineAllocation",
    "LineResult",
    "NextTier",
    "Rejected",
    "RunnerUp",
    "ShipmentAllocation",
    "ShipmentResult",
    "Standing",
    "UnitNet",
    "UnitRun",
]


class UnitRun(NamedTuple):
    """`unit_count` units of a line, from unit `unit_from` (the first is 0) on, each with `amount_each`."""

    unit_from: int
    unit_count: int
    amount_each: int


class UnitNet(NamedTuple):
    """`unit_count` units of a line that cost `net_each`."""

    unit_count: int
    net_each: int


@dataclass(frozen=True, slots=True)
class LineAllocation:
    """What a coupon took off a line, and off which units: those that lost nothing are left out."""

    line_id: str
    discount: int
    units: tuple[UnitRun, ...]


@dataclass(frozen=True, slots=True)
class ShipmentAllocation:
    """What a coupon took off a shipment."""

    shipment_id: str
    discount: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A coupon that takes `discount` (>= 1), allocated to lines or shipments that lost something, in cart order.

    `unused` is the part of its amount beyond its basis. `pending`: its row is not yet in the database.
    """

    coupon_id: int
    template_id: int
    discount: int
    lines: tuple[LineAllocation, ...]
    shipments: tuple[ShipmentAllocation, ...]
    unused: int
    pending: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """A coupon that was left out, with the details that its reason has (see `Reason`).

    `less_by` is the detail of NOT_IN_BEST, which only `best` gives.
    """

    coupon_id: int
    template_id: int
    reason: Reason
    short_by: int | None = None
    with_coupon_id: int | None = None
    group: str | None = None
    left: int | None = None
    less_by: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a coupon takes off standing alone; 0 where it is `rejected`."""

    discount: int
    rejected: Rejected | None = None


@dataclass(frozen=True, slots=True)
class LineResult:
    """A line: list - discount = net, and the nets of its units in ascending order."""

    line_id: str
    list: int
    discount: int
    net: int
    units: tuple[UnitNet, ...]


@dataclass(frozen=True, slots=True)
class ShipmentResult:
    """A shipment: list - discount = net."""

    shipment_id: str
    list: int
    discount: int
    net: int


@dataclass(frozen=True, slots=True)
class NextTier:
    """The next better step of a ladder: `short_by` more of eligible goods at list price would take `amount_off`."""

    amount_off: int
    short_by: int


@dataclass(frozen=True, slots=True)
class Hint:
    """Exactly one of: what would take more off, what went unused, and (of a coupon that `best` left out) what it lacks.

    `unlock` is minor units of eligible goods at list price: with so much more the coupon could apply.
    """

    coupon_id: int
    next_tier: NextTier | None = None
    unused: int | None = None
    unlock: int | None = None


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The best of the other sets: it takes `less_by` less. Swaps of interchangeable coupons are not other sets."""

    coupon_ids: tuple[int, ...]
    less_by: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """Why no other set of the candidates takes more off.

    EXACT: every other set takes at most as much, and each `less_by` of the rejected is exact. BOUNDED: the search ran
    out of its allowance; no set takes more than the discount + `gap`, and each `less_by` is a lower bound. `chosen` is
    in the order of application; `runner_up` is None where there is no other set.
    """

    optimality: Optimality
    gap: int
    chosen: tuple[int, ...]
    runner_up: RunnerUp | None
    nodes_visited: int


class Source(Protocol):
    """Where the parts of a decision come from."""

    def part(self, name: str) -> Any:
        """The value of the field `name`."""


class _Lazy:
    """Parts that are built at their first use; from then on they are plain slots."""

    __slots__ = ("_source",)
    _source: Source

    @classmethod
    def of(cls, source: Source) -> Self:
        """A value whose parts come from `source`."""
        lazy = object.__new__(cls)
        object.__setattr__(lazy, "_source", source)
        return lazy

    if not TYPE_CHECKING:  # else a misspelled attribute would pass for Any

        def __getattr__(self, name: str) -> Any:
            if name not in type(self).__dataclass_fields__:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = _Lazy._source.__get__(self).part(name)
            object.__setattr__(self, name, value)
            return value


@dataclass(frozen=True, slots=True)
class Decision(_Lazy):
    """Every coupon of the call is in `applied` or in `rejected`, both in the order of application.

    `lines` and `shipments` are in cart order; the one line of a cart that is only a total has the id
    `ORDER_TOTAL_LINE_ID`.
    """

    applied: tuple[Applied, ...]
    rejected: tuple[Rejected, ...]
    lines: tuple[LineResult, ...]
    shipments: tuple[ShipmentResult, ...]
    hints: tuple[Hint, ...]
    original: int
    discount: int
    payable: int
    currency: str


@dataclass(frozen=True, slots=True)
class BestDecision(Decision):
    """The best set applied. A rejected candidate that could stand in a set has the reason NOT_IN_BEST."""

    certificate: Certificate
