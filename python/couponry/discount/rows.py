"""The plain tuples in which the extension answers: coupons, lines and shipments by their place in the input."""

from typing import TypeAlias

__all__ = ["AppliedRow", "CertificateRow", "HintRow", "LineRow", "LineShare", "RejectedRow", "ShipmentRow", "Told"]

Told: TypeAlias = list[tuple[str, str]]
"""(field, text) of each violation."""
LineShare: TypeAlias = tuple[int, int, list[tuple[int, int, int]]]
"""Line, discount, (first unit, units, amount of each)."""
AppliedRow: TypeAlias = tuple[int, int, list[LineShare], list[tuple[int, int]], int]
"""Coupon, discount, lines, (shipment, discount), unused."""
RejectedRow: TypeAlias = tuple[int, str, int | None, int | None, str | None, int | None, int | None]
"""Coupon, reason, short_by, with_coupon_id, group, left, less_by."""
LineRow: TypeAlias = tuple[int, int, int, list[tuple[int, int]]]
"""List, discount, net, (units, net of each)."""
ShipmentRow: TypeAlias = tuple[int, int, int]
"""List, discount, net."""
HintRow: TypeAlias = tuple[int, str, int, int]
"""Coupon; next_tier, amount_off, short_by; or unused, amount, 0; or unlock, 0, short_by."""
CertificateRow: TypeAlias = tuple[bool, int, tuple[list[int], int] | None, int]
"""Exact, gap, (coupons, less_by) of the runner-up, nodes visited."""
