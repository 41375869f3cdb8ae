"""LockCoupons inside its transaction: the server decides what the coupons take off, and all of them move or none.

Everything is read by SQL under locks: the order's row, the coupons in id order, the counters of templates that have a
budget. The calculator decides on those rows; what it applies is what is locked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from couponry import discount
from couponry.clock import from_sql, to_sql
from couponry.coupons.codes import Codes
from couponry.coupons.messages import coupon_message, template_message
from couponry.coupons.pricing import Candidate, decide
from couponry.orders import refusals
from couponry.orders.calls import AttemptKey, LockCall
from couponry.orders.giving_back import add_budget, end_if_lapsed, give_back_attempt, give_back_lapsed
from couponry.orders.ledger import LOCK
from couponry.orders.messages import LOCKED, RELEASED, live_at
from couponry.store import holds as hold_store
from couponry.store import orders as store
from couponry.store.coupons import select_coupons
from couponry.store.holds import Back, BudgetMove, Hold
from couponry.store.ledger import LedgerRow, append_ledger
from couponry.store.mysql import Row, Tx
from couponry.store.orders import Attempt, Order
from couponry.store.templates import select_counters, select_templates
from couponry.v1 import coupon_pb2, discount_pb2, reason_pb2, template_pb2

__all__ = ["Locking", "expect", "order_of"]

_COUPON_LOCKED: Final = coupon_pb2.COUPON_STATE_LOCKED


@dataclass(frozen=True, slots=True)
class _Stock:
    """What a decision is made of, read under locks."""

    rows: Mapping[int, Row]
    templates: Mapping[int, template_pb2.Template]
    budget_left: Mapping[int, int]
    now: datetime


async def order_of(tx: Tx, key: AttemptKey, *, make: bool = False) -> Order:
    """The order's row, locked; with `make`, made where there was none. Raises NotFound for another user's."""
    if make:
        order: Order | None = await store.make_order(tx, key.order_id, key.user_id)
    else:
        order = await store.lock_order(tx, key.order_id)
    if order is None or order.user_id != key.user_id:
        raise refusals.no_such_order()
    return order


class Locking:
    """Takes locks."""

    def __init__(self, *, codes: Codes, rules: discount.Rules, return_grace_default_s: int) -> None:
        self._codes = codes
        self._rules = rules
        self._grace_default_ms = return_grace_default_s * 1000

    async def lock(self, tx: Tx, call: LockCall) -> tuple[Attempt, datetime]:
        """The attempt that holds the coupons, and the database's clock.

        A live lock of the same content is answered as it stands. Raises FailedPrecondition, NotFound, MissingCoupons.
        """
        order = await order_of(tx, call.key, make=True)
        now, attempt = await store.select_attempt(tx, order.order_id, call.key.attempt)
        if attempt is not None:
            if attempt.state == RELEASED:
                raise refusals.attempt_released()
            if live_at(attempt, now) and attempt.content == call.wanted.content:
                expect(attempt, call.expected_payable)
                return attempt, now
            if attempt.state != LOCKED:
                raise refusals.already_used(attempt.number)
        if order.latest_attempt is not None and call.key.attempt < order.latest_attempt:
            raise refusals.attempt_passed(order.latest_attempt)
        holder = await _holder_of(tx, order)
        if holder is not None:
            if holder.state != LOCKED:
                raise refusals.already_used(holder.number)
            if live_at(holder, now) and not call.replace:
                raise refusals.lock_held(holder)
        return await self._take(tx, call, holder)

    async def _take(self, tx: Tx, call: LockCall, holder: Attempt | None) -> tuple[Attempt, datetime]:
        """Gives back what `holder` and lapsed locks still hold of these coupons, then locks them for `call`."""
        held = await _holds_of(tx, holder)
        wanted_ids = {ref.coupon_id for ref in call.wanted.refs if ref.coupon_id is not None}
        ids = sorted(wanted_ids | {hold.coupon_id for hold in held})
        rows = {row["id"]: row for row in await select_coupons(tx, call.key.user_id, ids, for_update=True)}
        if held:
            # Until their coupons were locked another order could clear the reservations.
            held = await _holds_of(tx, holder)
        templates, counters = await _templates_and_counters(tx, rows.values(), held)
        now = await store.database_now(tx)

        backs: list[Back] = []
        moves: dict[int, BudgetMove] = {}
        if holder is not None:
            live = live_at(holder, now)
            backs, moves = await give_back_attempt(tx, rows.values(), held, live=live, now=now)
        freed = {back.coupon_id for back in backs}
        stale = [row for row in rows.values() if row["id"] in wanted_ids - freed and _lapsed(row, now)]
        more_backs, more_moves = await give_back_lapsed(tx, stale, now)
        for template_id, move in more_moves.items():
            add_budget(moves, template_id, move)
        for back in (*backs, *more_backs):
            rows[back.coupon_id] = _row_after(rows[back.coupon_id], back)
        stock = _Stock(
            rows=rows,
            templates={template_id: template_message(row) for template_id, row in templates.items()},
            budget_left=_budget_left(templates, counters, moves),
            now=now,
        )
        decision = self._decide(call, stock)
        attempt = Attempt(
            order_id=call.key.order_id,
            user_id=call.key.user_id,
            number=call.key.attempt,
            state=LOCKED,
            holds=True,
            content=call.wanted.content,
            cart=call.wanted.cart_bytes,
            decision=decision.SerializeToString(),
            locked_until=now + call.ttl,
            discount=decision.discount,
            discount_returned=0,
        )
        expect(attempt, call.expected_payable)
        new_holds = [self._hold(attempt, applied, stock) for applied in decision.applied]
        for hold in new_holds:
            add_budget(moves, hold.template_id, BudgetMove(reserved=hold.reserved))
        await _write(tx, attempt, new_holds, moves, now=now, minimum_payable=call.wanted.minimum_payable)
        if holder is not None and holder.number != attempt.number and live_at(holder, now):
            await store.update_attempt(tx, replace(holder, state=RELEASED), was=LOCKED, now=now)
        return attempt, now

    def _decide(self, call: LockCall, stock: _Stock) -> discount_pb2.Decision:
        candidates = {
            coupon_id: Candidate(
                coupon=coupon_message(row, stock.now, self._codes),
                template=stock.templates[row["template_id"]],
                budget_left=stock.budget_left.get(row["template_id"]),
            )
            for coupon_id, row in stock.rows.items()
        }
        rules = replace(self._rules, minimum_payable=call.wanted.minimum_payable)
        decision = decide(call.wanted.cart, call.wanted.refs, candidates, rules, stock.now)
        if decision.rejected:
            refusal = refusals.coupons_refused(decision)
            if any(rejected.reason == reason_pb2.REASON_NOT_FOUND for rejected in decision.rejected):
                refs = call.wanted.refs
                missed = [ref for ref in refs if ref.coupon_id is not None and ref.coupon_id not in candidates]
                raise refusals.MissingCoupons(missed, refusal)
            raise refusal
        return decision

    def _hold(self, attempt: Attempt, applied: discount_pb2.AppliedCoupon, stock: _Stock) -> Hold:
        row = stock.rows[applied.coupon_id]
        spec = stock.templates[applied.template_id].spec
        budgeted = applied.template_id in stock.budget_left
        grace_ms = spec.return_grace.ToMilliseconds() if spec.HasField("return_grace") else self._grace_default_ms
        return Hold(
            order_id=attempt.order_id,
            attempt=attempt.number,
            coupon_id=applied.coupon_id,
            template_id=applied.template_id,
            discount=applied.discount,
            budgeted=budgeted,
            reserved=applied.discount if budgeted else 0,
            valid_until=from_sql(row["valid_until"]),
            grace_ms=grace_ms,
            returns_on_full_refund=spec.returns_on_full_refund,
        )


def expect(attempt: Attempt, payable: int | None) -> None:
    """Raises PRICE_CHANGED where the attempt's decision differs from the figure that the customer was shown."""
    if payable is None:
        return
    decision = discount_pb2.Decision.FromString(attempt.decision)
    if decision.payable != payable:
        raise refusals.price_changed(decision)


async def _holder_of(tx: Tx, order: Order) -> Attempt | None:
    """The attempt whose coupons are locked, perhaps by a lock that has lapsed, or used."""
    if order.holder is None:
        return None
    return (await store.select_attempt(tx, order.order_id, order.holder))[1]


async def _holds_of(tx: Tx, holder: Attempt | None) -> list[Hold]:
    return [] if holder is None else await hold_store.select_holds(tx, holder.order_id, holder.number)


def _lapsed(row: Row, now: datetime) -> bool:
    return bool(row["status"] == _COUPON_LOCKED and row["locked_until"] <= to_sql(now))


def _row_after(row: Row, back: Back) -> Row:
    """A coupon's row after it left its lock, as a SELECT would give it."""
    return row | {
        "status": back.status,
        "valid_until": to_sql(back.valid_until),
        "order_id": None,
        "attempt": None,
        "locked_until": None,
    }


async def _templates_and_counters(
    tx: Tx, rows: Iterable[Row], held: Iterable[Hold]
) -> tuple[dict[int, Row], dict[int, Row]]:
    """The templates of these coupons, and the counters, locked, of those with a budget."""
    ids = sorted({row["template_id"] for row in rows})
    templates = await select_templates(tx, ids)
    budgeted = {row["id"] for row in templates if row["budget"] is not None}
    budgeted |= {hold.template_id for hold in held if hold.reserved}
    counters = await select_counters(tx, sorted(budgeted), for_update=True)
    if counters:
        # Who changes a template holds its counters: from here on the budgets stay as they are.
        templates = await select_templates(tx, ids)
    return {row["id"]: row for row in templates}, {row["template_id"]: row for row in counters}


def _budget_left(
    templates: Mapping[int, Row], counters: Mapping[int, Row], moves: Mapping[int, BudgetMove]
) -> dict[int, int]:
    """By template with a budget: what is left of it after `moves`."""
    left = {}
    for template_id, row in counters.items():
        budget = templates[template_id]["budget"]
        if budget is not None:
            taken = row["budget_reserved"] + row["budget_spent"] + moves.get(template_id, BudgetMove()).reserved
            left[template_id] = max(0, budget - taken)
    return left


async def _write(
    tx: Tx,
    attempt: Attempt,
    holds: Sequence[Hold],
    moves: Mapping[int, BudgetMove],
    *,
    now: datetime,
    minimum_payable: int,
) -> None:
    assert attempt.locked_until is not None  # noqa: S101 - it is being locked
    for hold in sorted(holds, key=lambda hold: hold.coupon_id):
        end = end_if_lapsed(hold.valid_until, hold.grace_ms, attempt.locked_until)
        moved = await hold_store.lock_coupon(
            tx, attempt.user_id, hold, locked_until=attempt.locked_until, valid_until=end
        )
        if moved != 1:
            raise RuntimeError(f"coupon {hold.coupon_id} moved under its lock")
    await hold_store.move_budgets(tx, moves)
    await hold_store.replace_holds(tx, attempt.order_id, attempt.number, holds)
    await store.write_locked_attempt(tx, attempt, minimum_payable=minimum_payable, now=now)
    locked = [LedgerRow(LOCK, hold.coupon_id) for hold in holds]
    await append_ledger(tx, attempt.order_id, attempt.number, locked, now)
    await store.set_holder(tx, attempt.order_id, attempt.number, attempt.locked_until)
