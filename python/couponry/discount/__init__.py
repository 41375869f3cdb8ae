"""What coupons take off a cart: `price` what is given, choose the `best`, `explain` either; pure and exact.

Plain frozen values go in and come out; amounts are whole minor units, and nothing here needs a server or a store. The
contract is docs/discounts.md.
"""

from couponry.discount.answers import ORDER_TOTAL_LINE_ID
from couponry.discount.calculator import best, best_many, price, price_each, validate_terms
from couponry.discount.decision import (
    Applied,
    BestDecision,
    Certificate,
    Decision,
    Hint,
    LineAllocation,
    LineResult,
    NextTier,
    Rejected,
    RunnerUp,
    ShipmentAllocation,
    ShipmentResult,
    Standing,
    UnitNet,
    UnitRun,
)
from couponry.discount.errors import InvalidCart, InvalidCoupons, InvalidInput, InvalidTerms, Violation
from couponry.discount.explaining import LANGUAGES, explain, explain_rejected
from couponry.discount.inputs import (
    Cart,
    Coupon,
    FixedPrice,
    Line,
    NthItem,
    Repeat,
    Rules,
    Scope,
    Shipment,
    Terms,
    Tier,
)
from couponry.discount.money import amount_text
from couponry.discount.names import CouponClass, CouponState, Kind, Optimality, Overshoot, Reason

__all__ = [
    "LANGUAGES",
    "ORDER_TOTAL_LINE_ID",
    "Applied",
    "BestDecision",
    "Cart",
    "Certificate",
    "Coupon",
    "CouponClass",
    "CouponState",
    "Decision",
    "FixedPrice",
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
    "NthItem",
    "Optimality",
    "Overshoot",
    "Reason",
    "Rejected",
    "Repeat",
    "Rules",
    "RunnerUp",
    "Scope",
    "Shipment",
    "ShipmentAllocation",
    "ShipmentResult",
    "Standing",
    "Terms",
    "Tier",
    "UnitNet",
    "UnitRun",
    "Violation",
    "amount_text",
    "best",
    "best_many",
    "explain",
    "explain_rejected",
    "price",
    "price_each",
    "validate_terms",
]
