"""ReturnCoupons inside its transaction: units come back in allocation order, and their discount from the ledger.

A coupon comes back once, when the order's last unit of goods is back and the ledger holds nothing of that coupon any
more: so a free-shipping coupon whose shipping was not returned stays used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from couponry.discount import ORDER_TOTAL_LINE_ID
from couponry.orders import refusals
from couponry.orders.calls import ReturnCall
from couponry.orders.giving_back import add_budget, end_after_return, status_for
from couponry.orders.ledger import GOODS, SHIPMENT, Part, returned_rows, sum_of
from couponry.orders.locking import order_of
from couponry.orders.messages import LOCKED, PARTLY_RETURNED, RELEASED, RETURNED, order_message
from couponry.store import holds as hold_store
from couponry.store import ledger as ledger_store
from couponry.store import orders as store
from couponry.store.holds import BudgetMove, Hold
from couponry.store.ledger import LedgerRow
from couponry.store.mysql import Tx
from couponry.store.orders import Attempt
from couponry.v1 import cart_pb2, order_pb2

__all__ = ["return_units"]

# (line kind, line id)
_LineKey = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Line:
    """A line or a shipment of the order, as its cart has it."""

    key: _LineKey
    quantity: int
    list_each: int


async def return_units(tx: Tx, call: ReturnCall) -> order_pb2.ReturnCouponsResponse:
    """Takes back what the call names; a repeated return id gets its answer again.

    Raises FailedPrecondition, InvalidArgument, NotFound.
    """
    order = await order_of(tx, call.key)
    now, attempt = await store.select_attempt(tx, order.order_id, call.key.attempt)
    if attempt is None or attempt.state in {LOCKED, RELEASED}:
        raise refusals.not_used()
    known = await ledger_store.select_return(tx, order.order_id, attempt.number, call.return_id)
    if known is not None:
        fingerprint, answer = known
        if fingerprint != call.fingerprint:
            raise refusals.return_id_reused()
        return order_pb2.ReturnCouponsResponse.FromString(answer)

    lines = _lines_of(cart_pb2.Cart.FromString(attempt.cart))
    back = await ledger_store.select_returned_units(tx, order.order_id, attempt.number)
    parts = _parts(call, lines, back)
    used = await ledger_store.select_used_runs(tx, order.order_id, attempt.number)
    rows = returned_rows(used, parts, call.return_id)
    await ledger_store.append_ledger(tx, order.order_id, attempt.number, rows, now)
    units = {(part.line_kind, part.line_id): part.unit_count for part in parts}
    await ledger_store.add_returned_units(tx, order.order_id, attempt.number, units)

    goods = [line for line in lines.values() if line.key[0] == GOODS]
    goods_back = all(back.get(line.key, 0) + units.get(line.key, 0) == line.quantity for line in goods)
    coupons_back = await _settle_coupons(tx, attempt, rows, goods_back=goods_back, now=now)
    taken_back = -sum_of(rows, GOODS) - sum_of(rows, SHIPMENT)
    returned_so_far = attempt.discount_returned + taken_back
    complete = goods_back and returned_so_far == attempt.discount
    after = replace(attempt, state=RETURNED if complete else PARTLY_RETURNED, discount_returned=returned_so_far)
    await store.update_attempt(tx, after, was=attempt.state, now=now)
    if complete and attempt.holds:
        await store.drop_holders(tx, [order.order_id])
    response = order_pb2.ReturnCouponsResponse(
        discount_returned=taken_back,
        shipping_discount_returned=-sum_of(rows, SHIPMENT),
        refund=sum(part.list_total for part in parts) - taken_back,
        coupons_back=coupons_back,
        order=order_message(after, now),
    )
    await ledger_store.insert_return(
        tx,
        order.order_id,
        attempt.number,
        call.return_id,
        fingerprint=call.fingerprint,
        answer=response.SerializeToString(),
        now=now,
    )
    return response


def _lines_of(cart: cart_pb2.Cart) -> dict[_LineKey, _Line]:
    lines = [_Line((GOODS, line.line_id), line.quantity, line.unit_price) for line in cart.lines]
    if cart.HasField("order_total"):
        lines.append(_Line((GOODS, ORDER_TOTAL_LINE_ID), 1, cart.order_total))
    lines += [_Line((SHIPMENT, shipment.shipment_id), 1, shipment.amount) for shipment in cart.shipments]
    return {line.key: line for line in lines}


def _parts(call: ReturnCall, lines: Mapping[_LineKey, _Line], back: Mapping[_LineKey, int]) -> list[Part]:
    """What comes back: the units named, or all that are left. Raises where more is named than is left."""
    named: list[tuple[str, _LineKey, int | None]] = [
        (f"lines[{index}].line_id", (GOODS, line_id), units) for index, (line_id, units) in enumerate(call.lines)
    ]
    named += [
        (f"shipment_ids[{index}]", (SHIPMENT, shipment_id), None) for index, shipment_id in enumerate(call.shipment_ids)
    ]
    parts = []
    for field, key, units in named:
        line = lines.get(key)
        if line is None:
            raise refusals.unknown_line(field)
        left = line.quantity - back.get(key, 0)
        if left == 0 or (units is not None and units > left):
            raise refusals.return_exceeds_left(left, line.key[1])
        parts.append(_part(line, back.get(key, 0), left if units is None else units))
    if call.everything:
        parts = [
            _part(line, back.get(line.key, 0), line.quantity - back.get(line.key, 0))
            for line in lines.values()
            if back.get(line.key, 0) < line.quantity
        ]
        if not parts:
            raise refusals.return_exceeds_left(0)
    return parts


def _part(line: _Line, unit_from: int, unit_count: int) -> Part:
    return Part(line.key[0], line.key[1], unit_from, unit_count, line.list_each)


async def _settle_coupons(
    tx: Tx, attempt: Attempt, rows: Sequence[LedgerRow], *, goods_back: bool, now: datetime
) -> list[int]:
    """Gives budgets their money back, and brings back the coupons that are no longer in use; their ids."""
    holds = await hold_store.select_holds(tx, attempt.order_id, attempt.number)
    came_back = []
    if goods_back:
        balances = await ledger_store.select_coupon_balances(tx, attempt.order_id, attempt.number)
        for hold in holds:
            if hold.returns_on_full_refund and balances.get(hold.coupon_id, 0) == 0:
                came_back += await _bring_back(tx, attempt.user_id, hold, now)
    moves: dict[int, BudgetMove] = {}
    for hold in holds:
        if hold.budgeted:
            add_budget(moves, hold.template_id, BudgetMove(spent=_taken_from(rows, hold.coupon_id)))
    await hold_store.move_budgets(tx, moves)
    return came_back


async def _bring_back(tx: Tx, user_id: str, hold: Hold, now: datetime) -> list[int]:
    """The coupon's id, unless it came back before."""
    end = end_after_return(hold.valid_until, hold.grace_ms, now)
    moved = await hold_store.bring_back_coupon(tx, user_id, hold, status=status_for(end, now), valid_until=end)
    return [hold.coupon_id] if moved else []


def _taken_from(rows: Iterable[LedgerRow], coupon_id: int) -> int:
    return sum(row.unit_count * row.amount_each for row in rows if row.coupon_id == coupon_id)
