"""From messages to the calculator and back: carts, terms, and the decision on a list of coupons.

Everything that prices (CalculateDiscount, ListAvailableCoupons, LockCoupons) goes through `decide`, so that a coupon
has one price wherever it is shown or taken.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from couponry import discount
from couponry.clock import from_timestamp
from couponry.coupons.refs import RefResolver, ResolvedRef
from couponry.errors import FieldViolation, InvalidArgument
from couponry.v1 import cart_pb2, coupon_pb2, discount_pb2, reason_pb2, template_pb2
from couponry.validation import Violations

__all__ = [
    "Candidate",
    "Decided",
    "RefResolver",
    "ResolvedRef",
    "cart_of",
    "certificate_message",
    "decide",
    "decided",
    "terms_of",
]

MAX_LINES: Final = 500
MAX_SHIPMENTS: Final = 500
_COUPON_PATH: Final = re.compile(r"coupons\[(?P<index>\d+)\](?P<rest>.*)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A coupon that may be priced: with its template, and what is left of the template's budget (None: no budget)."""

    coupon: coupon_pb2.Coupon
    template: template_pb2.Template
    budget_left: int | None


def cart_of(message: cart_pb2.Cart, field: str, violations: Violations) -> discount.Cart:
    """The cart of a request. Its amounts and ids are checked by the calculator, when it is priced."""
    too_many = len(message.lines) > MAX_LINES or len(message.shipments) > MAX_SHIPMENTS
    violations.count(f"{field}.lines", len(message.lines), least=0, most=MAX_LINES)
    violations.count(f"{field}.shipments", len(message.shipments), least=0, most=MAX_SHIPMENTS)
    if too_many:
        return discount.Cart(message.currency)
    return discount.Cart(
        currency=message.currency,
        lines=tuple(_line_of(line) for line in message.lines),
        shipments=tuple(
            discount.Shipment(shipment.shipment_id, shipment.shop_id, shipment.amount) for shipment in message.shipments
        ),
        order_total=message.order_total if message.HasField("order_total") else None,
    )


def _line_of(line: cart_pb2.CartLine) -> discount.Line:
    return discount.Line(
        line_id=line.line_id,
        sku_id=line.sku_id,
        shop_id=line.shop_id,
        quantity=line.quantity,
        unit_price=line.unit_price,
        spu_id=line.spu_id if line.HasField("spu_id") else None,
        category_ids=tuple(line.category_ids),
        list_unit_price=line.list_unit_price if line.HasField("list_unit_price") else None,
        not_discountable=line.not_discountable,
    )


def terms_of(message: template_pb2.Terms) -> discount.Terms:
    """Terms whose enums the calculator knows (`specs.terms_violations` checks that at the door)."""
    given = message.HasField
    return discount.Terms(
        kind=discount.Kind[_name(template_pb2.Kind.Name(message.kind), "KIND_")],
        coupon_class=discount.CouponClass[_name(template_pb2.CouponClass.Name(message.coupon_class), "COUPON_CLASS_")],
        currency=message.currency,
        min_spend=message.min_spend,
        min_quantity=message.min_quantity if given("min_quantity") else None,
        amount_off=message.amount_off if given("amount_off") else None,
        percent_off_bp=message.percent_off_bp if given("percent_off_bp") else None,
        max_discount=message.max_discount if given("max_discount") else None,
        tiers=tuple(discount.Tier(tier.min_spend, tier.amount_off) for tier in message.tiers),
        repeat=discount.Repeat(message.repeat.every, message.repeat.amount_off) if given("repeat") else None,
        nth_item=_nth_item_of(message.nth_item) if given("nth_item") else None,
        fixed_price=_fixed_price_of(message.fixed_price) if given("fixed_price") else None,
        scope=_scope_of(message.scope),
        shop_id=message.shop_id if given("shop_id") else None,
        priority=message.priority,
        exclusive_group=message.exclusive_group if given("exclusive_group") else None,
        stack_limit=message.stack_limit if given("stack_limit") else 1,
        exclusive=message.exclusive,
        joint=message.joint,
        overshoot=(
            discount.Overshoot.REJECT
            if message.overshoot == template_pb2.OVERSHOOT_REJECT
            else discount.Overshoot.CLAMP
        ),
        exclude_sale_items=message.exclude_sale_items,
    )


def _nth_item_of(message: template_pb2.NthItem) -> discount.NthItem:
    return discount.NthItem(
        message.group_size,
        message.discounted_units,
        message.percent_off_bp,
        message.max_groups if message.HasField("max_groups") else None,
    )


def _fixed_price_of(message: template_pb2.FixedPrice) -> discount.FixedPrice:
    return discount.FixedPrice(message.unit_price, message.max_units if message.HasField("max_units") else None)


def _scope_of(message: template_pb2.Scope) -> discount.Scope:
    return discount.Scope(
        include_skus=tuple(message.include_skus),
        include_spus=tuple(message.include_spus),
        include_categories=tuple(message.include_categories),
        include_shops=tuple(message.include_shops),
        exclude_skus=tuple(message.exclude_skus),
        exclude_spus=tuple(message.exclude_spus),
        exclude_categories=tuple(message.exclude_categories),
        exclude_shops=tuple(message.exclude_shops),
    )


@dataclass(frozen=True, slots=True)
class Decided:
    """The calculator's decision on the coupons that were found, and the refs that were refused before."""

    decision: discount.Decision
    refused: tuple[discount_pb2.RejectedCoupon, ...]
    codes: Mapping[int, str]

    def message(self) -> discount_pb2.Decision:
        """All of it as one message."""
        message = decision_message(self.decision)
        for rejected in message.rejected:
            rejected.code = self.codes[rejected.coupon_id]
        message.rejected.extend(self.refused)
        return message


def decide(
    cart: discount.Cart,
    refs: Sequence[ResolvedRef],
    candidates: Mapping[int, Candidate],
    rules: discount.Rules,
    now: datetime,
) -> discount_pb2.Decision:
    """Prices the cart with the coupons of `refs`: each of them is applied, or rejected with a reason.

    A ref without a candidate is NOT_FOUND, a second ref to one coupon DUPLICATE. Raises InvalidArgument with the paths
    of the cart's fields.
    """
    return decided(cart, refs, candidates, rules, now, best=False).message()


def decided(
    cart: discount.Cart,
    refs: Sequence[ResolvedRef],
    candidates: Mapping[int, Candidate],
    rules: discount.Rules,
    now: datetime,
    *,
    best: bool,
) -> Decided:
    """What `decide` answers, before it is a message; with `best` the best set of the coupons is applied."""
    refused: list[discount_pb2.RejectedCoupon] = []
    chosen: dict[int, ResolvedRef] = {}
    for ref in refs:
        candidate = None if ref.coupon_id is None else candidates.get(ref.coupon_id)
        if ref.coupon_id is None or candidate is None:
            refused.append(_refused(ref, 0, reason_pb2.REASON_NOT_FOUND))
        elif ref.coupon_id in chosen:
            refused.append(_refused(ref, candidate.template.template_id, reason_pb2.REASON_DUPLICATE))
        else:
            chosen[ref.coupon_id] = ref
    coupons = [coupon_of(candidates[coupon_id]) for coupon_id in chosen]
    fields = [ref.field for ref in chosen.values()]
    decision = price(cart, coupons, rules, now, fields=fields, best=best)
    return Decided(decision, tuple(refused), {coupon_id: ref.code for coupon_id, ref in chosen.items()})


def price(
    cart: discount.Cart,
    coupons: Sequence[discount.Coupon],
    rules: discount.Rules,
    now: datetime,
    *,
    fields: Sequence[str] = (),
    best: bool = False,
) -> discount.Decision:
    """The calculator, choosing where `best` says so. Raises InvalidArgument with paths of the request.

    `fields` are where it names the coupons.
    """
    with _refused_by_request(fields):
        return (discount.best if best else discount.price)(cart, coupons, rules, now=now)


def price_each(
    cart: discount.Cart, coupons: Sequence[discount.Coupon], rules: discount.Rules, now: datetime
) -> list[discount.Standing]:
    """What each coupon does standing alone. Raises InvalidArgument with paths of the request."""
    with _refused_by_request(()):
        return discount.price_each(cart, coupons, rules, now=now)


@contextmanager
def _refused_by_request(fields: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except discount.InvalidCart as error:
        raise InvalidArgument(FieldViolation(f"cart.{field}", text) for field, text in error.violations) from None
    except discount.InvalidCoupons as error:
        raise InvalidArgument(
            FieldViolation(_request_path(field, fields), text) for field, text in error.violations
        ) from None


def _request_path(path: str, fields: Sequence[str]) -> str:
    """`coupons[2].terms.repeat` of the calculator's call as the path in the request."""
    place = _COUPON_PATH.match(path)
    if place is not None and int(place["index"]) < len(fields):
        return fields[int(place["index"])] + place["rest"]
    return path.removeprefix("rules.")


def coupon_of(candidate: Candidate) -> discount.Coupon:
    """A candidate as the calculator takes it."""
    coupon, template = candidate.coupon, candidate.template
    return discount.Coupon(
        coupon_id=coupon.coupon_id,
        template_id=template.template_id,
        terms=terms_of(template.spec.terms),
        valid_from=from_timestamp(coupon.valid_from) if coupon.HasField("valid_from") else None,
        valid_until=from_timestamp(coupon.valid_until) if coupon.HasField("valid_until") else None,
        state=discount.CouponState[_name(coupon_pb2.CouponState.Name(coupon.state), "COUPON_STATE_")],
        template_paused=template.state == template_pb2.TEMPLATE_STATE_PAUSED,
        budget_left=candidate.budget_left,
    )


def decision_message(decision: discount.Decision) -> discount_pb2.Decision:
    """The calculator's decision as a message."""
    return discount_pb2.Decision(
        applied=[_applied(applied) for applied in decision.applied],
        rejected=[rejected_message(rejected) for rejected in decision.rejected],
        lines=[
            discount_pb2.LineReceipt(
                line_id=line.line_id,
                list=line.list,
                discount=line.discount,
                net=line.net,
                units=[discount_pb2.UnitNet(count=count, net=net) for count, net in line.units],
            )
            for line in decision.lines
        ],
        shipments=[
            discount_pb2.ShipmentReceipt(
                shipment_id=shipment.shipment_id, list=shipment.list, discount=shipment.discount, net=shipment.net
            )
            for shipment in decision.shipments
        ],
        hints=[_hint(hint) for hint in decision.hints],
        original=decision.original,
        discount=decision.discount,
        payable=decision.payable,
        currency=decision.currency,
    )


def _applied(applied: discount.Applied) -> discount_pb2.AppliedCoupon:
    return discount_pb2.AppliedCoupon(
        coupon_id=applied.coupon_id,
        template_id=applied.template_id,
        discount=applied.discount,
        unused=applied.unused,
        pending=applied.pending,
        lines=[
            discount_pb2.LineAllocation(
                line_id=line.line_id,
                discount=line.discount,
                units=[_run(unit_from, count, amount) for unit_from, count, amount in line.units],
            )
            for line in applied.lines
        ],
        shipments=[
            discount_pb2.ShipmentAllocation(shipment_id=shipment.shipment_id, discount=shipment.discount)
            for shipment in applied.shipments
        ],
    )


def _run(unit_from: int, count: int, amount: int) -> discount_pb2.UnitRun:
    run = discount_pb2.UnitRun(count=count, amount=amount)
    # `from` is a keyword.
    setattr(run, "from", unit_from)
    return run


def rejected_message(rejected: discount.Rejected) -> discount_pb2.RejectedCoupon:
    """A coupon that the calculator left out, with the detail of its reason."""
    message = discount_pb2.RejectedCoupon(
        coupon_id=rejected.coupon_id,
        template_id=rejected.template_id,
        reason=cast("reason_pb2.Reason", reason_pb2.Reason.Value(f"REASON_{rejected.reason.name}")),
    )
    for field in ("short_by", "with_coupon_id", "group", "left", "less_by"):
        value = getattr(rejected, field)
        if value is not None:
            setattr(message, field, value)
    return message


def _refused(ref: ResolvedRef, template_id: int, reason: reason_pb2.Reason) -> discount_pb2.RejectedCoupon:
    # The id behind a code that is not the user's stays untold.
    coupon_id = 0 if ref.code and not template_id else ref.coupon_id or 0
    return discount_pb2.RejectedCoupon(coupon_id=coupon_id, template_id=template_id, reason=reason, code=ref.code)


def certificate_message(certificate: discount.Certificate) -> discount_pb2.Certificate:
    """Why no other set takes more."""
    message = discount_pb2.Certificate(
        optimality=(
            discount_pb2.OPTIMALITY_EXACT
            if certificate.optimality is discount.Optimality.EXACT
            else discount_pb2.OPTIMALITY_BOUNDED
        ),
        gap=certificate.gap,
        chosen=certificate.chosen,
        nodes_visited=certificate.nodes_visited,
    )
    if certificate.runner_up is not None:
        message.runner_up.coupon_ids.extend(certificate.runner_up.coupon_ids)
        message.runner_up.less_by = certificate.runner_up.less_by
    return message


def _hint(hint: discount.Hint) -> discount_pb2.Hint:
    message = discount_pb2.Hint(coupon_id=hint.coupon_id)
    if hint.next_tier is not None:
        message.next_tier.amount_off = hint.next_tier.amount_off
        message.next_tier.short_by = hint.next_tier.short_by
    elif hint.unused is not None:
        message.unused = hint.unused
    elif hint.unlock is not None:
        message.unlock.short_by = hint.unlock
    return message


def _name(value: str, prefix: str) -> str:
    return value.removeprefix(prefix)
