"""What goes into the calculator, as plain values: nothing is checked here, `price` and `validate_terms` check it all.

Amounts are whole minor units (cents, fen) of the cart's currency, never floats. Ids of the shop are strings of 1 to 64
bytes; ids that Couponry makes are 1 to 2^53 - 1.
"""

from dataclasses import dataclass, field
from datetime import datetime

from couponry.discount.names import CouponClass, CouponState, Kind, Overshoot

__all__ = ["Cart", "Coupon", "FixedPrice", "Line", "NthItem", "Repeat", "Rules", "Scope", "Shipment", "Terms", "Tier"]


class _Kept:
    """Room for the compiled form, which the extension makes at the first use of a value that can't change."""

    __slots__ = ("_compiled",)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a cart.

    `unit_price` (>= 0) is after the catalogue's own sales and before any coupon: the "list price" of the calculation;
    a `list_unit_price` above it says that the line is on sale. `quantity` is 1 to 1,000,000. `category_ids` carry all
    ancestors. A `not_discountable` line counts for no threshold and no basis.
    """

    line_id: str
    sku_id: str
    shop_id: str
    quantity: int
    unit_price: int
    spu_id: str | None = None
    category_ids: tuple[str, ...] = ()
    list_unit_price: int | None = None
    not_discountable: bool = False


@dataclass(frozen=True, slots=True)
class Shipment:
    """What shipping costs: `amount` >= 0 in minor units."""

    shipment_id: str
    shop_id: str
    amount: int


@dataclass(frozen=True, slots=True)
class Cart(_Kept):
    """Up to 500 lines and 500 shipments, all in one ISO 4217 `currency`; their sum fits in 64 bits.

    Exactly one of `lines` and `order_total` is given: a total alone takes only coupons that are for everything.
    """

    currency: str
    lines: tuple[Line, ...] = ()
    shipments: tuple[Shipment, ...] = ()
    order_total: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a coupon is for: a line that any include list names (all empty: every line) and no exclude list names.

    At most 1,000 ids a list.
    """

    include_skus: tuple[str, ...] = ()
    include_spus: tuple[str, ...] = ()
    include_categories: tuple[str, ...] = ()
    include_shops: tuple[str, ...] = ()
    exclude_skus: tuple[str, ...] = ()
    exclude_spus: tuple[str, ...] = ()
    exclude_categories: tuple[str, ...] = ()
    exclude_shops: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a ladder: spend `min_spend` (>= 0), take `amount_off` (>= 1), in minor units."""

    min_spend: int
    amount_off: int


@dataclass(frozen=True, slots=True)
class Repeat:
    """Every full `every` (>= 1), take `amount_off` (1 to `every`), in minor units."""

    every: int
    amount_off: int


@dataclass(frozen=True, slots=True)
class NthItem:
    """Of every `group_size` (2 to 1,000) eligible units the `discounted_units` (fewer than a group) cheapest are off.

    `percent_off_bp` is basis points OFF. At most `max_groups` groups (1 to 1,000,000), None: as many as there are. The
    cheapest of all units are picked, by list price.
    """

    group_size: int
    discounted_units: int
    percent_off_bp: int
    max_groups: int | None = None


@dataclass(frozen=True, slots=True)
class FixedPrice:
    """The eligible units at `unit_price` (>= 1, minor units) each; the dearest `max_units` of them, None: all."""

    unit_price: int
    max_units: int | None = None


@dataclass(frozen=True, slots=True)
class Terms(_Kept):
    """What a template promises. A field that its kind does not use must be absent.

    Amounts are minor units of `currency`; `min_quantity` counts eligible units; `percent_off_bp` is basis points OFF, 1
    to 10,000: 2000 is 20% off (8折). THRESHOLD_OFF takes exactly one of `amount_off`, `tiers` (at most 50), `repeat`;
    NTH_ITEM takes `nth_item`, FIXED_PRICE `fixed_price`. FREE_SHIPPING is of class SHIPPING; class SHOP, and only it,
    has a `shop_id`. The higher `priority` (32 bits) is applied first within a class. `exclusive_group`: None is the
    default group of the kind, "" none, any other text (not beginning with "@") a group of which one coupon is applied.
    `stack_limit` (1 to 30): coupons of this template in one order. `exclusive` stands alone, except beside templates
    flagged `joint`.
    """

    kind: Kind
    coupon_class: CouponClass
    currency: str
    min_spend: int = 0
    min_quantity: int | None = None
    amount_off: int | None = None
    percent_off_bp: int | None = None
    max_discount: int | None = None
    tiers: tuple[Tier, ...] = ()
    repeat: Repeat | None = None
    nth_item: NthItem | None = None
    fixed_price: FixedPrice | None = None
    scope: Scope = field(default_factory=Scope)
    shop_id: str | None = None
    priority: int = 0
    exclusive_group: str | None = None
    stack_limit: int = 1
    exclusive: bool = False
    joint: bool = False
    overshoot: Overshoot = Overshoot.CLAMP
    exclude_sale_items: bool = False


@dataclass(frozen=True, slots=True)
class Coupon(_Kept):
    """A coupon that may be used in [`valid_from`, `valid_until`), aware times; None is no limit on that side.

    Times are compared in whole milliseconds. `budget_left` is what the template's budget has left in minor units, None
    where it has no budget; coupons of one template share it.
    """

    coupon_id: int
    template_id: int
    terms: Terms
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    state: CouponState = CouponState.UNUSED
    template_paused: bool = False
    budget_left: int | None = None


@dataclass(frozen=True, slots=True)
class Rules(_Kept):
    """What holds for the whole order.

    No coupon takes the payable amount (goods and shipping, minor units) below `minimum_payable`. The limits, 1 to 30,
    are those of the default groups `@percent_or_threshold`, `@unit_price`, `@instant_off` and `@free_shipping`, of all
    applied coupons (`@count`), and of the coupons of one call.
    """

    minimum_payable: int = 0
    percent_or_threshold_limit: int = 1
    unit_price_limit: int = 1
    instant_limit: int = 2
    free_shipping_limit: int = 1
    count_limit: int = 5
    submitted_limit: int = 30
