"""The two calls of the calculator. The work is done in Rust, without the interpreter's lock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from couponry import _core
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
from couponry.discount.errors import InvalidCart, InvalidCoupons, InvalidTerms
from couponry.discount.inputs import Cart, Coupon, Rules, Terms
from couponry.discount.names import CouponState, Reason
from couponry.discount.rows import AppliedRow, DecisionRow, HintRow, RejectedRow

__all__ = ["ORDER_TOTAL_LINE_ID", "price", "validate_terms"]

ORDER_TOTAL_LINE_ID: Final = "order_total"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_NAIVE: Final = "must be an aware time"


def price(cart: Cart, coupons: Sequence[Coupon], rules: Rules = Rules(), *, now: datetime) -> Decision:
    """Applies these coupons and no others to the cart, in the order of application, and says why not where not.

    The order in which coupons are submitted changes nothing. Raises InvalidCart for what is wrong with the cart, else
    InvalidCoupons for what is wrong with coupons, rules or `now` (more coupons than `rules.submitted_limit` among it).
    """
    bad_times: list[tuple[str, str]] = []
    now_ms = _ms("now", now, bad_times)
    windowed = [
        (
            coupon,
            None if coupon.valid_from is None else _ms(f"coupons[{place}].valid_from", coupon.valid_from, bad_times),
            None if coupon.valid_until is None else _ms(f"coupons[{place}].valid_until", coupon.valid_until, bad_times),
        )
        for place, coupon in enumerate(coupons)
    ]
    bad_cart, bad_coupons, row = _core.price_cart(cart, windowed, rules, now_ms or 0)
    if bad_cart:
        raise InvalidCart(bad_cart)
    if bad_coupons or bad_times or row is None:
        raise InvalidCoupons([*bad_coupons, *bad_times])
    return _decision(cart, coupons, row)


def validate_terms(terms: Terms) -> None:
    """Raises InvalidTerms with everything that is wrong with the terms of a template."""
    violations = _core.check_terms(terms)
    if violations:
        raise InvalidTerms(violations)


def _ms(field: str, time: datetime, bad_times: list[tuple[str, str]]) -> int | None:
    if time.utcoffset() is None:
        bad_times.append((field, _NAIVE))
        return None
    return (time - _EPOCH) // _MILLISECOND


def _decision(cart: Cart, coupons: Sequence[Coupon], row: DecisionRow) -> Decision:
    applied, rejected, lines, shipments, hints, original, discount, payable = row
    line_ids = [ORDER_TOTAL_LINE_ID] if cart.order_total is not None else [line.line_id for line in cart.lines]
    return Decision(
        applied=tuple(_applied(cart, coupons, line_ids, entry) for entry in applied),
        rejected=tuple(_rejected(coupons, entry) for entry in rejected),
        lines=tuple(
            LineResult(line_id, list_, taken, net, tuple(UnitNet(*run) for run in units))
            for line_id, (list_, taken, net, units) in zip(line_ids, lines, strict=True)
        ),
        shipments=tuple(
            ShipmentResult(shipment.shipment_id, *amounts)
            for shipment, amounts in zip(cart.shipments, shipments, strict=True)
        ),
        hints=tuple(_hint(coupons, entry) for entry in hints),
        original=original,
        discount=discount,
        payable=payable,
        currency=cart.currency,
    )


def _applied(cart: Cart, coupons: Sequence[Coupon], line_ids: Sequence[str], row: AppliedRow) -> Applied:
    place, discount, lines, shipments, unused = row
    coupon = coupons[place]
    return Applied(
        coupon_id=coupon.coupon_id,
        template_id=coupon.template_id,
        discount=discount,
        lines=tuple(
            LineAllocation(line_ids[line], taken, tuple(UnitRun(*run) for run in units)) for line, taken, units in lines
        ),
        shipments=tuple(
            ShipmentAllocation(cart.shipments[shipment].shipment_id, taken) for shipment, taken in shipments
        ),
        unused=unused,
        pending=coupon.state is CouponState.PENDING,
    )


def _rejected(coupons: Sequence[Coupon], row: RejectedRow) -> Rejected:
    place, reason, short_by, with_coupon_id, group, left = row
    coupon = coupons[place]
    return Rejected(coupon.coupon_id, coupon.template_id, Reason(reason), short_by, with_coupon_id, group, left)


def _hint(coupons: Sequence[Coupon], row: HintRow) -> Hint:
    place, better, amount = row
    coupon_id = coupons[place].coupon_id
    if better is None:
        return Hint(coupon_id, unused=amount)
    return Hint(coupon_id, next_tier=NextTier(better, amount))
