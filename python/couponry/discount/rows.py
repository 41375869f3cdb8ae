"""The plain tuples in which the extension answers: coupons, lines and shipments by their place in the input."""

from typing import TypeAlias

__all__ = ["AppliedRow", "DecisionRow", "HintRow", "LineRow", "LineShare", "RejectedRow", "ShipmentRow", "Told"]

Told: TypeAlias = list[tuple[str, str]]
"""(field, text) of each violation."""
LineShare: TypeAlias = tuple[int, int, list[tuple[int, int, int]]]
"""Line, discount, (first unit, units, amount of each)."""
AppliedRow: TypeAlias = tuple[int, int, list[LineShare], list[tuple[int, int]], int]
"""Coupon, discount, lines, (shipment, discount), unused."""
RejectedRow: TypeAlias = tuple[int, str, int | None, int | None, str | None, int | None]
"""Coupon, reason, short_by, with_coupon_id, group, left."""
LineRow: TypeAlias = tuple[int, int, int, list[tuple[int, int]]]
"""List, discount, net, (units, net of each)."""
ShipmentRow: TypeAlias = tuple[int, int, int]
"""List, discount, net."""
HintRow: TypeAlias = tuple[int, int | None, int]
"""Coupon, amount_off of the next tier, short_by; or coupon, None, unused."""
DecisionRow: TypeAlias = tuple[
    list[AppliedRow], list[RejectedRow], list[LineRow], list[ShipmentRow], list[HintRow], int, int, int
]
"""The last three are original, discount, payable."""
