"""What orders are refused with: one function an answer, so that reason, figures and wording stand in one place."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from couponry.clock import to_timestamp
from couponry.coupons.pricing import ResolvedRef
from couponry.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from couponry.store.orders import Attempt
from couponry.v1 import discount_pb2, reason_pb2

__all__ = [
    "MissingCoupons",
    "already_used",
    "attempt_passed",
    "attempt_released",
    "coupons_refused",
    "lock_expired",
    "lock_held",
    "no_such_order",
    "not_locked",
    "not_used",
    "pending",
    "price_changed",
    "return_exceeds_left",
    "return_id_reused",
    "unknown_line",
]

_MOST_DECISION_BYTES: Final = 4096


class MissingCoupons(Exception):
    """Coupons that MySQL does not have for this user: wins on their way, or not the user's (then `refusal`)."""

    def __init__(self, missed: Sequence[ResolvedRef], refusal: FailedPrecondition) -> None:
        super().__init__("coupons that are not in the database")
        self.missed = tuple(missed)
        self.refusal = refusal


def no_such_order() -> NotFound:
    """Unknown, or another user's: the answer does not tell which."""
    return NotFound("no such order")


def not_locked() -> FailedPrecondition:
    """The order has no such attempt."""
    return FailedPrecondition("this attempt of the order holds no lock", reason="NOT_LOCKED")


def not_used() -> FailedPrecondition:
    """A return of what was not used."""
    return FailedPrecondition("this attempt of the order has used no coupons", reason="NOT_USED")


def already_used(attempt: int) -> FailedPrecondition:
    """The order has used its coupons."""
    return FailedPrecondition("the order has used its coupons", reason="ALREADY_USED", metadata={"attempt": attempt})


def attempt_released() -> FailedPrecondition:
    """A released attempt stays dead."""
    return FailedPrecondition(
        "this attempt of the order was released: a later attempt may lock", reason="ATTEMPT_RELEASED"
    )


def attempt_passed(latest_attempt: int) -> FailedPrecondition:
    """A late lock of an attempt that a later one has followed."""
    return FailedPrecondition(
        "the order has a later attempt", reason="ATTEMPT_RELEASED", metadata={"latest_attempt": latest_attempt}
    )


def lock_held(attempt: Attempt) -> FailedPrecondition:
    """The order holds a lock of other content."""
    assert attempt.locked_until is not None  # noqa: S101 - a live lock has an end
    return FailedPrecondition(
        "the order holds a lock with another cart or other coupons: release it, or say replace",
        reason="LOCK_HELD",
        metadata={"attempt": attempt.number, "locked_until": _text(attempt.locked_until)},
    )


def lock_expired(attempt: Attempt, *, coupons_free: bool) -> FailedPrecondition:
    """The lock's time is over; `coupons_free` says whether they could be locked again."""
    metadata = {"coupons_free": "yes" if coupons_free else "no"}
    if attempt.locked_until is not None:
        metadata["locked_until"] = _text(attempt.locked_until)
    return FailedPrecondition("the lock has lapsed", reason="LOCK_EXPIRED", metadata=metadata)


def price_changed(decision: discount_pb2.Decision) -> FailedPrecondition:
    """The server's figure differs from the one expected."""
    return FailedPrecondition(
        f"the order now comes to {decision.payable}",
        reason="PRICE_CHANGED",
        metadata={"payable": decision.payable},
        details=[_fitting(decision)],
    )


def coupons_refused(decision: discount_pb2.Decision) -> FailedPrecondition:
    """At least one coupon does not apply, so none is taken.

    The reason is that of the refused coupons where they agree, else COUPON_REFUSED; the figures are the first one's.
    """
    first = decision.rejected[0]
    reasons = {rejected.reason for rejected in decision.rejected}
    name = reason_pb2.Reason.Name(first.reason).removeprefix("REASON_")
    metadata: dict[str, str | int] = {}
    if first.coupon_id:
        metadata["coupon_id"] = first.coupon_id
    if first.code:
        metadata["code"] = first.code
    detail = first.WhichOneof("detail")
    if detail is not None:
        metadata[detail] = getattr(first, detail)
    named = first.code or first.coupon_id
    return FailedPrecondition(
        f"coupon {named} does not apply to this order: {name}",
        reason=name if len(reasons) == 1 else "COUPON_REFUSED",
        metadata=metadata,
        details=[_fitting(decision)],
    )


def pending(coupon_id: int) -> Unavailable:
    """A win that was answered and is not in the database yet."""
    return Unavailable(
        "the coupon was won and is not in the database yet: try again",
        reason="PENDING",
        metadata={"coupon_id": coupon_id},
    )


def return_exceeds_left(left: int, line_id: str | None = None) -> FailedPrecondition:
    """More units than are left, or nothing left at all."""
    metadata: dict[str, str | int] = {"left": left}
    if line_id is not None:
        metadata["line_id"] = line_id
    return FailedPrecondition(f"{left} units are left to return", reason="RETURN_EXCEEDS_LEFT", metadata=metadata)


def unknown_line(field: str) -> InvalidArgument:
    """A return names what the order's cart does not have."""
    return InvalidArgument.of(field, "is not in the cart of this order")


def return_id_reused() -> InvalidArgument:
    """The return id named another return."""
    return InvalidArgument.of("return_id", "was used before with another body", reason="IDEMPOTENCY_MISMATCH")


def _text(instant: datetime) -> str:
    return to_timestamp(instant).ToJsonString()


def _fitting(decision: discount_pb2.Decision) -> discount_pb2.Decision:
    """The decision without its lines where those would not fit into the trailers of an answer."""
    if decision.ByteSize() <= _MOST_DECISION_BYTES:
        return decision
    short = discount_pb2.Decision()
    short.CopyFrom(decision)
    for field in ("lines", "shipments"):
        short.ClearField(field)
        for applied in short.applied:
            applied.ClearField(field)
    return short
