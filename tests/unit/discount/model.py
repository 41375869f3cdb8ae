"""The calculator once more, from design to Python: slow, one element a unit, exact fractions, nothing shared with it.

Only its values (carts, coupons, decisions) are the library's, so that two decisions can be compared with ==.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import combinations, groupby
from math import floor

from couponry.discount import (
    ORDER_TOTAL_LINE_ID,
    Applied,
    Cart,
    Coupon,
    CouponClass,
    CouponState,
    Decision,
    Hint,
    Kind,
    Line,
    LineAllocation,
    LineResult,
    NextTier,
    Overshoot,
    Reason,
    Rejected,
    Rules,
    Scope,
    ShipmentAllocation,
    ShipmentResult,
    Terms,
    UnitNet,
    UnitRun,
)

CLASSES = [CouponClass.ITEM, CouponClass.SHOP, CouponClass.PLATFORM, CouponClass.SHIPPING]
KINDS = [
    Kind.PERCENT_OFF,
    Kind.NTH_ITEM,
    Kind.FIXED_PRICE,
    Kind.THRESHOLD_OFF,
    Kind.INSTANT_OFF,
    Kind.FREE_SHIPPING,
]
STATES = {
    CouponState.LOCKED: Reason.LOCKED,
    CouponState.USED: Reason.USED,
    CouponState.EXPIRED: Reason.EXPIRED,
    CouponState.REVOKED: Reason.REVOKED,
}


class LeftOut(Exception):
    """A coupon is not applied."""

    def __init__(
        self,
        reason: Reason,
        *,
        short_by: int | None = None,
        with_coupon_id: int | None = None,
        group: str | None = None,
        left: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.short_by = short_by
        self.with_coupon_id = with_coupon_id
        self.group = group
        self.left = left


@dataclass
class Order:
    """What is left to pay for each unit and each shipment, and what was applied so far."""

    cart: Cart
    lines: Sequence[Line]
    units: list[list[int]]
    shipments: list[int]
    applied: list[tuple[Coupon, Applied]] = field(default_factory=list)
    hints: list[Hint] = field(default_factory=list)

    def payable(self) -> int:
        return sum(map(sum, self.units)) + sum(self.shipments)


def price(cart: Cart, coupons: Sequence[Coupon], rules: Rules, now: datetime) -> Decision:
    lines = cart.lines
    if cart.order_total is not None:
        lines = (Line(ORDER_TOTAL_LINE_ID, "-", "-", 1, cart.order_total),)
    order = Order(
        cart,
        lines,
        [[line.unit_price] * line.quantity for line in lines],
        [shipment.amount for shipment in cart.shipments],
    )
    original = order.payable()
    rejected = []
    seen: set[int] = set()
    for coupon in sorted(coupons, key=order_of_application):
        try:
            check_first(coupon, seen)
            apply(order, coupon, rules, now)
        except LeftOut as why:
            rejected.append(
                Rejected(
                    coupon.coupon_id,
                    coupon.template_id,
                    why.reason,
                    short_by=why.short_by,
                    with_coupon_id=why.with_coupon_id,
                    group=why.group,
                    left=why.left,
                )
            )
    return Decision(
        applied=tuple(applied for _, applied in order.applied),
        rejected=tuple(rejected),
        lines=tuple(
            LineResult(
                line.line_id,
                line.unit_price * line.quantity,
                line.unit_price * line.quantity - sum(units),
                sum(units),
                tuple(UnitNet(len(list(run)), net) for net, run in groupby(sorted(units))),
            )
            for line, units in zip(lines, order.units, strict=True)
        ),
        shipments=tuple(
            ShipmentResult(shipment.shipment_id, shipment.amount, shipment.amount - net, net)
            for shipment, net in zip(cart.shipments, order.shipments, strict=True)
        ),
        hints=tuple(order.hints),
        original=original,
        discount=original - order.payable(),
        payable=order.payable(),
        currency=cart.currency,
    )


def every_set(cart: Cart, coupons: Sequence[Coupon], rules: Rules, now: datetime) -> list[tuple[int, frozenset[int]]]:
    """(total, coupon ids) of every set of which each coupon is applied; the best first."""
    by_id = {coupon.coupon_id: coupon for coupon in coupons}
    found = []
    for count in range(len(by_id) + 1):
        for chosen in combinations(by_id.values(), count):
            decision = price(cart, chosen, rules, now)
            if not decision.rejected:
                found.append((decision.discount, frozenset(coupon.coupon_id for coupon in chosen)))

    def preference(entry: tuple[int, frozenset[int]]) -> tuple[int, int, list[datetime], list[int]]:
        total, ids = entry
        ends = sorted(by_id[coupon_id].valid_until or datetime.max.replace(tzinfo=UTC) for coupon_id in ids)
        return -total, len(ids), ends, sorted(ids)

    return sorted(found, key=preference)


def order_of_application(coupon: Coupon) -> tuple[int, int, int, int]:
    terms = coupon.terms
    return CLASSES.index(terms.coupon_class), -terms.priority, KINDS.index(terms.kind), coupon.coupon_id


def check_first(coupon: Coupon, seen: set[int]) -> None:
    if coupon.coupon_id in seen:
        raise LeftOut(Reason.DUPLICATE)
    seen.add(coupon.coupon_id)


def apply(order: Order, coupon: Coupon, rules: Rules, now: datetime) -> None:
    terms = coupon.terms
    check_state(coupon, now)
    budget = budget_left(order, coupon)
    if budget == 0:
        raise LeftOut(Reason.BUDGET_EXHAUSTED, left=0)
    if terms.currency != order.cart.currency:
        raise LeftOut(Reason.CURRENCY_MISMATCH)
    goods, shipments = in_scope(order, terms)
    spend = sum(order.lines[place].unit_price * order.lines[place].quantity for place in goods)
    amount = promised_amount(terms, spend)
    quantity = sum(order.lines[place].quantity for place in goods)
    missing = max(0, (terms.min_quantity or 0) - quantity, missing_to_a_group(order, goods, terms))
    if missing:
        raise LeftOut(Reason.MIN_QUANTITY_NOT_MET, short_by=missing)

    parts = basis_of_units(order, goods, terms)
    if terms.kind is Kind.FREE_SHIPPING:
        nets = [order.shipments[place] for place in shipments]
    else:
        nets = [sum(units) for units in parts]
    wanted = wanted_discount(terms, amount, sum(nets))
    unused = max(0, wanted - sum(nets))
    most = [wanted, sum(nets), order.payable() - rules.minimum_payable]
    if terms.max_discount is not None:
        most.append(terms.max_discount)
    discount = max(0, min(most))
    if budget is not None and discount > budget:
        raise LeftOut(Reason.BUDGET_EXHAUSTED, left=budget)
    if discount == 0:
        raise LeftOut(Reason.NO_EFFECT)
    check_stacking(order, coupon, rules)

    shares = share(discount, nets)
    free_shipping = terms.kind is Kind.FREE_SHIPPING
    applied = Applied(
        coupon.coupon_id,
        coupon.template_id,
        discount,
        () if free_shipping else take_off_lines(order, goods, shares, parts),
        take_off_shipments(order, shipments, shares) if free_shipping else (),
        unused,
        coupon.state is CouponState.PENDING,
    )
    order.applied.append((coupon, applied))
    next_tier = next_better_tier(terms, spend)
    if next_tier is not None:
        order.hints.append(Hint(coupon.coupon_id, next_tier=next_tier))
    if unused:
        order.hints.append(Hint(coupon.coupon_id, unused=unused))


def wanted_discount(terms: Terms, amount: int | None, basis: int) -> int:
    """Before caps and floors."""
    if terms.kind in {Kind.FREE_SHIPPING, Kind.FIXED_PRICE}:
        return basis
    rate = terms.nth_item.percent_off_bp if terms.nth_item is not None else terms.percent_off_bp
    if rate is not None:
        return floor(Fraction(basis * rate, 10_000) + Fraction(1, 2))
    assert amount is not None
    if amount > basis and terms.overshoot is Overshoot.REJECT:
        raise LeftOut(Reason.OVERSHOOT)
    return amount


def take_off_lines(
    order: Order, goods: list[int], shares: list[int], parts: list[list[int]]
) -> tuple[LineAllocation, ...]:
    allocations = []
    for place, taken, units in zip(goods, shares, parts, strict=True):
        of_units = share(taken, units)
        order.units[place] = [net - less for net, less in zip(order.units[place], of_units, strict=True)]
        if taken:
            allocations.append(LineAllocation(order.lines[place].line_id, taken, runs(of_units)))
    return tuple(allocations)


def take_off_shipments(order: Order, shipments: list[int], shares: list[int]) -> tuple[ShipmentAllocation, ...]:
    allocations = []
    for place, taken in zip(shipments, shares, strict=True):
        order.shipments[place] -= taken
        if taken:
            allocations.append(ShipmentAllocation(order.cart.shipments[place].shipment_id, taken))
    return tuple(allocations)


def check_state(coupon: Coupon, now: datetime) -> None:
    if coupon.state in STATES:
        raise LeftOut(STATES[coupon.state])
    if coupon.valid_from is not None and now < coupon.valid_from:
        raise LeftOut(Reason.NOT_STARTED)
    if coupon.valid_until is not None and now >= coupon.valid_until:
        raise LeftOut(Reason.EXPIRED)
    if coupon.template_paused:
        raise LeftOut(Reason.TEMPLATE_PAUSED)


def budget_left(order: Order, coupon: Coupon) -> int | None:
    if coupon.budget_left is None:
        return None
    taken = sum(applied.discount for _, applied in order.applied if applied.template_id == coupon.template_id)
    return max(0, coupon.budget_left - taken)


def in_scope(order: Order, terms: Terms) -> tuple[list[int], list[int]]:
    """Places of the eligible lines and, for FREE_SHIPPING, of the shipments."""
    unscoped = terms.scope == Scope() and terms.shop_id is None and not terms.exclude_sale_items
    by_units = terms.kind in {Kind.NTH_ITEM, Kind.FIXED_PRICE}
    if order.cart.order_total is not None and (by_units or not unscoped):
        raise LeftOut(Reason.SCOPE_MISMATCH)
    goods = [place for place, line in enumerate(order.lines) if eligible(line, terms)]
    if terms.kind is not Kind.FREE_SHIPPING:
        if not goods:
            raise LeftOut(Reason.SCOPE_MISMATCH)
        return goods, []
    scope = terms.scope
    names_goods = (
        *scope.include_skus,
        *scope.include_spus,
        *scope.include_categories,
        *scope.exclude_skus,
        *scope.exclude_spus,
        *scope.exclude_categories,
    )
    senders = {order.lines[place].shop_id for place in goods}
    shipments = []
    for place, shipment in enumerate(order.cart.shipments):
        shop = shipment.shop_id
        if names_goods:
            taken = shop in senders
        else:
            taken = (not scope.include_shops or shop in scope.include_shops) and shop not in scope.exclude_shops
        if taken:
            shipments.append(place)
    if order.cart.shipments and not shipments:
        raise LeftOut(Reason.SCOPE_MISMATCH)
    return goods, shipments


def units_by_price(order: Order, goods: list[int], above: int) -> list[tuple[int, int, int]]:
    """(list price, line, unit) of the eligible units that cost more than `above`, the cheapest first."""
    return sorted(
        (order.lines[place].unit_price, place, unit)
        for place in goods
        for unit in range(order.lines[place].quantity)
        if order.lines[place].unit_price > above
    )


def missing_to_a_group(order: Order, goods: list[int], terms: Terms) -> int:
    return 0 if terms.nth_item is None else terms.nth_item.group_size - len(units_by_price(order, goods, 0))


def basis_of_units(order: Order, goods: list[int], terms: Terms) -> list[list[int]]:
    """By eligible line and unit: what the coupon may take."""
    if terms.nth_item is not None:
        units = units_by_price(order, goods, 0)
        groups = len(units) // terms.nth_item.group_size
        if terms.nth_item.max_groups is not None:
            groups = min(groups, terms.nth_item.max_groups)
        picked, above = units[: groups * terms.nth_item.discounted_units], 0
    elif terms.fixed_price is not None:
        above = terms.fixed_price.unit_price
        dearest = sorted(units_by_price(order, goods, above), key=lambda unit: (-unit[0], *unit[1:]))
        picked = dearest[: terms.fixed_price.max_units]
    else:
        return [order.units[place] for place in goods]
    places = {(place, unit) for _, place, unit in picked}
    return [
        [max(0, net - above) if (place, unit) in places else 0 for unit, net in enumerate(order.units[place])]
        for place in goods
    ]


def eligible(line: Line, terms: Terms) -> bool:
    if line.not_discountable:
        return False
    if terms.exclude_sale_items and line.list_unit_price is not None and line.list_unit_price > line.unit_price:
        return False
    if terms.shop_id is not None and line.shop_id != terms.shop_id:
        return False
    scope = terms.scope
    names = {("sku", line.sku_id), ("spu", line.spu_id), ("shop", line.shop_id)}
    names |= {("category", category) for category in line.category_ids}
    included = {
        *(("sku", name) for name in scope.include_skus),
        *(("spu", name) for name in scope.include_spus),
        *(("category", name) for name in scope.include_categories),
        *(("shop", name) for name in scope.include_shops),
    }
    excluded = {
        *(("sku", name) for name in scope.exclude_skus),
        *(("spu", name) for name in scope.exclude_spus),
        *(("category", name) for name in scope.exclude_categories),
        *(("shop", name) for name in scope.exclude_shops),
    }
    return (not included or bool(names & included)) and not names & excluded


def promised_amount(terms: Terms, spend: int) -> int | None:
    """The amount that the spend earns; None where the kind has no amount."""
    needed = terms.min_spend
    if terms.tiers:
        needed = min(tier.min_spend for tier in terms.tiers)
    if terms.repeat is not None:
        needed = max(needed, terms.repeat.every)
    if spend < needed:
        raise LeftOut(Reason.MIN_SPEND_NOT_MET, short_by=needed - spend)
    if terms.tiers:
        return max(tier.amount_off for tier in terms.tiers if tier.min_spend <= spend)
    if terms.repeat is not None:
        amount = spend // terms.repeat.every * terms.repeat.amount_off
        return amount if terms.max_discount is None else min(amount, terms.max_discount)
    return terms.amount_off


def next_better_tier(terms: Terms, spend: int) -> NextTier | None:
    amount = promised_amount(terms, spend) or 0
    better = [tier for tier in terms.tiers if tier.min_spend > spend and tier.amount_off > amount]
    if not better:
        return None
    nearest = min(tier.min_spend for tier in better)
    return NextTier(max(tier.amount_off for tier in better if tier.min_spend == nearest), nearest - spend)


def group_of(terms: Terms, rules: Rules) -> tuple[tuple[str, str | None], int] | None:
    shop = terms.shop_id if terms.coupon_class is CouponClass.SHOP else None
    if terms.exclusive_group == "":
        return None
    if terms.exclusive_group is not None:
        return (terms.exclusive_group, shop), 1
    if terms.kind in {Kind.NTH_ITEM, Kind.FIXED_PRICE}:
        return ("@unit_price", shop), rules.unit_price_limit
    if terms.kind is Kind.INSTANT_OFF:
        return ("@instant_off", shop), rules.instant_limit
    if terms.kind is Kind.FREE_SHIPPING:
        return ("@free_shipping", shop), rules.free_shipping_limit
    return ("@percent_or_threshold", shop), rules.percent_or_threshold_limit


def check_stacking(order: Order, coupon: Coupon, rules: Rules) -> None:
    terms = coupon.terms
    for other, _ in order.applied:
        if (terms.exclusive and not other.terms.joint) or (other.terms.exclusive and not terms.joint):
            raise LeftOut(Reason.EXCLUSIVE, with_coupon_id=other.coupon_id)
    group = group_of(terms, rules)
    if group is not None and [group_of(other.terms, rules) for other, _ in order.applied].count(group) >= group[1]:
        raise LeftOut(Reason.GROUP_LIMIT, group=group[0][0])
    if len(order.applied) >= rules.count_limit:
        raise LeftOut(Reason.GROUP_LIMIT, group="@count")
    if [other.template_id for other, _ in order.applied].count(coupon.template_id) >= terms.stack_limit:
        raise LeftOut(Reason.STACK_LIMIT)


def share(amount: int, nets: list[int]) -> list[int]:
    """Largest remainder: spare minor units to the larger remainder, then the larger net, then the earlier place."""
    total = sum(nets)
    if total == 0:
        return [0] * len(nets)
    exact = [Fraction(amount * net, total) for net in nets]
    shares = [floor(part) for part in exact]
    waiting = sorted(range(len(nets)), key=lambda place: (shares[place] - exact[place], -nets[place], place))
    for place in waiting[: amount - sum(shares)]:
        shares[place] += 1
    return shares


def runs(amounts: list[int]) -> tuple[UnitRun, ...]:
    found = []
    start = 0
    for amount, run in groupby(amounts):
        count = len(list(run))
        if amount:
            found.append(UnitRun(start, count, amount))
        start += count
    return tuple(found)
