"""The enums of the calculator. Member names are those of the wire contract without the prefix."""

from enum import StrEnum

__all__ = ["CouponClass", "CouponState", "Kind", "Optimality", "Overshoot", "Reason"]


class Kind(StrEnum):
    """What a coupon does."""

    THRESHOLD_OFF = "THRESHOLD_OFF"
    """Spend `min_spend`, take `amount_off`; or `tiers`; or a `repeat`."""
    PERCENT_OFF = "PERCENT_OFF"
    """`percent_off_bp` of the basis, at most `max_discount`."""
    INSTANT_OFF = "INSTANT_OFF"
    """Take `amount_off`, no threshold."""
    FIXED_PRICE = "FIXED_PRICE"
    """The dearest eligible units at a set price (一口价)."""
    NTH_ITEM = "NTH_ITEM"
    """Of every so many eligible units the cheapest ones at a discount (第二件半价)."""
    FREE_SHIPPING = "FREE_SHIPPING"
    """Off shipping only, at most `max_discount`."""


class CouponClass(StrEnum):
    """Where in the order of application a coupon stands: ITEM first, SHIPPING last."""

    ITEM = "ITEM"
    SHOP = "SHOP"
    PLATFORM = "PLATFORM"
    SHIPPING = "SHIPPING"


class Overshoot(StrEnum):
    """What happens when the amount of a coupon is more than its basis."""

    CLAMP = "CLAMP"
    """Take the basis; the rest is shown as `unused`, and lost."""
    REJECT = "REJECT"
    """Leave the coupon out with `Reason.OVERSHOOT`."""


class Optimality(StrEnum):
    """What is known of a choice."""

    EXACT = "EXACT"
    BOUNDED = "BOUNDED"
    """The search ran out of its allowance: the best found, with the gap."""


class CouponState(StrEnum):
    """What has become of a user's coupon."""

    UNUSED = "UNUSED"
    LOCKED = "LOCKED"
    USED = "USED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    PENDING = "PENDING"
    """A flash-sale win whose row is not yet in the database: priced as UNUSED."""


class Reason(StrEnum):
    """Why a coupon was left out; where several fit, the first in this order is given, but for the window of a coupon,
    which comes after its state."""

    NOT_FOUND = "NOT_FOUND"
    """Found before the calculation, by who looks coupons up: the calculator never gives it."""
    NOT_STARTED = "NOT_STARTED"
    EXPIRED = "EXPIRED"
    TEMPLATE_PAUSED = "TEMPLATE_PAUSED"
    USED = "USED"
    LOCKED = "LOCKED"
    REVOKED = "REVOKED"
    DUPLICATE = "DUPLICATE"
    """An earlier entry of the call has the same coupon_id."""
    BUDGET_EXHAUSTED = "BUDGET_EXHAUSTED"
    """The template's budget has `left`, less than the coupon would take: never a part of it."""
    CURRENCY_MISMATCH = "CURRENCY_MISMATCH"
    SCOPE_MISMATCH = "SCOPE_MISMATCH"
    """Nothing in the cart is eligible."""
    MIN_SPEND_NOT_MET = "MIN_SPEND_NOT_MET"
    """`short_by` minor units of eligible goods at list price."""
    MIN_QUANTITY_NOT_MET = "MIN_QUANTITY_NOT_MET"
    """`short_by` eligible units."""
    OVERSHOOT = "OVERSHOOT"
    NO_EFFECT = "NO_EFFECT"
    """It would take nothing, so it is not spent."""
    EXCLUSIVE = "EXCLUSIVE"
    """It cannot stand beside the applied coupon `with_coupon_id`."""
    GROUP_LIMIT = "GROUP_LIMIT"
    """Its `group` is full; the names of default groups, and that of all coupons, begin with "@"."""
    STACK_LIMIT = "STACK_LIMIT"
    """Enough coupons of its template are applied."""
    NOT_IN_BEST = "NOT_IN_BEST"
    """The best set with it takes `less_by` less than the best of all; 0: as good, but later in the order of ties."""
