"""From the extension's rows to the values of a decision, each part when it is first asked for."""

from collections.abc import Callable
from typing import Any, Final

from couponry import _core
from couponry.discount.decision import (
    Applied,
    Certificate,
    Hint,
    LineAllocation,
    LineResult,
    NextTier,
    Rejected,
    RunnerUp,
    ShipmentAllocation,
    ShipmentResult,
    UnitNet,
    UnitRun,
)
from couponry.discount.inputs import Cart, Coupon
from couponry.discount.names import CouponState, Optimality, Reason
from couponry.discount.rows import RejectedRow

__all__ = ["ORDER_TOTAL_LINE_ID", "Answer", "rejected"]

ORDER_TOTAL_LINE_ID: Final = "order_total"


def rejected(coupons: tuple[Coupon, ...], row: RejectedRow) -> Rejected:
    """A coupon that was left out."""
    place, reason, short_by, with_coupon_id, group, left, less_by = row
    coupon = coupons[place]
    return Rejected(
        coupon.coupon_id, coupon.template_id, Reason(reason), short_by, with_coupon_id, group, left, less_by
    )


class Answer:
    """An outcome with what its rows name by place."""

    __slots__ = ("_coupons", "_currency", "_lines", "_outcome", "_shipments", "_total_only")

    def __init__(self, outcome: _core.Outcome, cart: Cart, coupons: tuple[Coupon, ...]) -> None:
        self._outcome = outcome
        self._coupons = coupons
        self._currency = cart.currency
        # Copies of lists, which may change before anybody asks.
        self._lines = tuple(cart.lines)
        self._shipments = tuple(cart.shipments)
        self._total_only = cart.order_total is not None

    def part(self, name: str) -> Any:
        """The value of a field of the decision."""
        match name:
            case "original" | "discount" | "payable":
                return getattr(self._outcome, name)
            case "currency":
                return self._currency
            case _:
                return _PARTS[name](self)

    def line_id(self, place: int) -> str:
        """A total without lines is one line with a name of its own."""
        return ORDER_TOTAL_LINE_ID if self._total_only else self._lines[place].line_id

    def applied(self) -> tuple[Applied, ...]:
        """In the order of application."""
        return tuple(
            Applied(
                coupon_id=self._coupons[place].coupon_id,
                template_id=self._coupons[place].template_id,
                discount=discount,
                lines=tuple(
                    LineAllocation(self.line_id(line), taken, tuple(UnitRun(*run) for run in units))
                    for line, taken, units in lines
                ),
                shipments=tuple(
                    ShipmentAllocation(self._shipments[shipment].shipment_id, taken) for shipment, taken in shipments
                ),
                unused=unused,
                pending=self._coupons[place].state is CouponState.PENDING,
            )
            for place, discount, lines, shipments, unused in self._outcome.applied
        )

    def rejected(self) -> tuple[Rejected, ...]:
        """In the order of application."""
        return tuple(rejected(self._coupons, row) for row in self._outcome.rejected)

    def lines(self) -> tuple[LineResult, ...]:
        """In cart order."""
        return tuple(
            LineResult(self.line_id(place), list_, taken, net, tuple(UnitNet(*run) for run in units))
            for place, (list_, taken, net, units) in enumerate(self._outcome.lines)
        )

    def shipments(self) -> tuple[ShipmentResult, ...]:
        """In cart order."""
        return tuple(
            ShipmentResult(shipment.shipment_id, *amounts)
            for shipment, amounts in zip(self._shipments, self._outcome.shipments, strict=True)
        )

    def hints(self) -> tuple[Hint, ...]:
        """Of the applied, then of those that lack something."""
        return tuple(
            _hint(self._coupons[place].coupon_id, what, amount, short_by)
            for place, what, amount, short_by in self._outcome.hints
        )

    def certificate(self) -> Certificate:
        """Of an answer of `best`."""
        row = self._outcome.certificate
        if row is None:
            raise AttributeError("certificate")
        exact, gap, runner_up, nodes = row
        return Certificate(
            optimality=Optimality.EXACT if exact else Optimality.BOUNDED,
            gap=gap,
            chosen=tuple(self._coupons[place].coupon_id for place, *_ in self._outcome.applied),
            runner_up=runner_up
            and RunnerUp(tuple(self._coupons[place].coupon_id for place in runner_up[0]), runner_up[1]),
            nodes_visited=nodes,
        )


_PARTS: Final[dict[str, Callable[[Answer], Any]]] = {
    "applied": Answer.applied,
    "rejected": Answer.rejected,
    "lines": Answer.lines,
    "shipments": Answer.shipments,
    "hints": Answer.hints,
    "certificate": Answer.certificate,
}


def _hint(coupon_id: int, what: str, amount: int, short_by: int) -> Hint:
    match what:
        case "next_tier":
            return Hint(coupon_id, next_tier=NextTier(amount, short_by))
        case "unused":
            return Hint(coupon_id, unused=amount)
        case _:
            return Hint(coupon_id, unlock=short_by)
