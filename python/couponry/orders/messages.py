"""Stored orders as messages of the wire. An order's state follows from time: a lock past its end reads LAPSED."""

from datetime import datetime
from typing import cast

from couponry.clock import to_timestamp
from couponry.store.ledger import LedgerRow
from couponry.store.orders import Attempt
from couponry.v1 import order_pb2

__all__ = ["LOCKED", "PARTLY_RETURNED", "RELEASED", "RETURNED", "USED", "ledger_message", "live_at", "order_message"]

LOCKED = order_pb2.ORDER_STATE_LOCKED
RELEASED = order_pb2.ORDER_STATE_RELEASED
USED = order_pb2.ORDER_STATE_USED
PARTLY_RETURNED = order_pb2.ORDER_STATE_PARTLY_RETURNED
RETURNED = order_pb2.ORDER_STATE_RETURNED


def live_at(attempt: Attempt, now: datetime) -> bool:
    """Whether the attempt holds its coupons locked at `now`."""
    return attempt.holds and attempt.state == LOCKED and attempt.locked_until is not None and attempt.locked_until > now


def order_message(attempt: Attempt, now: datetime) -> order_pb2.OrderCoupons:
    """An attempt as it reads at `now`."""
    state = attempt.state
    if state == LOCKED and not live_at(attempt, now):
        state = order_pb2.ORDER_STATE_LAPSED
    message = order_pb2.OrderCoupons(
        order_id=attempt.order_id,
        user_id=attempt.user_id,
        attempt=attempt.number,
        state=cast("order_pb2.OrderState", state),
        discount_returned=attempt.discount_returned,
    )
    if attempt.decision:
        message.decision.ParseFromString(attempt.decision)
    if attempt.state == LOCKED and attempt.locked_until is not None:
        message.locked_until.CopyFrom(to_timestamp(attempt.locked_until))
    if attempt.state in {USED, PARTLY_RETURNED, RETURNED}:
        message.ledger_left = attempt.discount - attempt.discount_returned
    return message


def ledger_message(row: LedgerRow) -> order_pb2.LedgerEntry:
    """A row of the ledger."""
    message = order_pb2.LedgerEntry(
        kind=cast("order_pb2.LedgerKind", row.kind),
        line_kind=cast("order_pb2.LedgerLineKind", row.line_kind),
        line_id=row.line_id,
        unit_from=row.unit_from,
        unit_count=row.unit_count,
        coupon_id=row.coupon_id,
        amount_each=row.amount_each,
        return_id=row.return_id,
    )
    if row.at is not None:
        message.at.CopyFrom(to_timestamp(row.at))
    return message
