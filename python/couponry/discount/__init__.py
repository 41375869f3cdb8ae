"""What coupons take off a cart: `price(cart, coupons, rules, now=...)`, pure and exact.

Plain frozen values go in and come out; amounts are whole minor units, and nothing here needs a server or a store. The
contract is docs/discounts.md.
"""

from couponry.discount.calculator import ORDER_TOTAL_LINE_ID, price, validate_terms
from couponry.discount.decision import (
    Applied,
    Decision,
    Hint,
    LineAllocation,
    LineResult,
    NextTier,
    Rejected,
    ShipmentAllocation,
    ShipmentResult,
    UnitNet,
    UnitRun,
)
from couponry.discount.errors import InvalidCart, InvalidCoupons, InvalidInput, InvalidTerms, Violation
from couponry.discount.inputs import Cart, Coupon, Line, Repeat, Rules, Scope, Shipment, Terms, Tier
from couponry.discount.names import CouponClass, CouponState, Kind, Overshoot, Reason

__all__ = [
    "ORDER_TOTAL_LINE_ID",
    "Applied",
    "Cart",
    "Coupon",
    "CouponClass",
    "CouponState",
    "Decision",
    "Hint",
    "InvalidCart",
    "InvalidCoupons",
    "InvalidInput",
    "InvalidTerms",
    "Kind",
    "Line",
    "LineAllocation",
    "LineResult",
    "NextTier",
    "Overshoot",
    "Reason",
    "Rejected",
    "Repeat",
    "Rules",
    "Scope",
    "Shipment",
    "ShipmentAllocation",
    "ShipmentResult",
    "Terms",
    "Tier",
    "UnitNet",
    "UnitRun",
    "Violation",
    "price",
    "validate_terms",
]
