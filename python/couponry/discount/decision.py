"""What comes out of the calculator: original - discount = payable, at every level. All amounts are minor units."""

from dataclasses import dataclass
from typing import NamedTuple

from couponry.discount.names import Reason

__all__ = [
    "Applied",
    "Decision",
    "Hint",
    "LineAllocation",
    "LineResult",
    "NextTier",
    "Rejected",
    "ShipmentAllocation",
    "ShipmentResult",
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

    `less_by` is the detail of the wire's NOT_IN_BEST, which `price` never gives: it does not choose.
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
    """Of an applied coupon, exactly one of: what would take more off, and what went unused."""

    coupon_id: int
    next_tier: NextTier | None = None
    unused: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
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
