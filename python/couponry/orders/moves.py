"""UseCoupons, ExtendLock and ReleaseCoupons inside their transactions.

Each locks the order's row, then moves its coupons by guarded updates in id order. The database's clock decides whether
a lock has lapsed, whether the expirer has been there or not.
"""

from dataclasses import replace
from datetime import datetime

from couponry.clock import from_sql
from couponry.coupons.messages import state_at
from couponry.orders import refusals
from couponry.orders.calls import AttemptKey, ExtendCall, UseCall
from couponry.orders.giving_back import add_budget, end_if_lapsed, give_back_attempt
from couponry.orders.ledger import used_rows
from couponry.orders.locking import Locking, expect, order_of
from couponry.orders.messages import LOCKED, RELEASED, RETURNED, USED, live_at
from couponry.store import holds as hold_store
from couponry.store import orders as store
from couponry.store.coupons import select_coupons
from couponry.store.holds import BudgetMove
from couponry.store.ledger import append_ledger
from couponry.store.mysql import Tx
from couponry.store.orders import Attempt
from couponry.store.templates import select_templates
from couponry.v1 import coupon_pb2, discount_pb2, template_pb2

__all__ = ["extend", "release", "use"]


async def use(tx: Tx, call: UseCall, locking: Locking) -> tuple[Attempt, datetime]:
    """Confirms the decision of a lock; with a cart and coupons of its own it takes the lock first.

    Raises FailedPrecondition, NotFound, MissingCoupons.
    """
    order = await order_of(tx, call.key, make=call.lock is not None)
    now, attempt = await store.select_attempt(tx, order.order_id, call.key.attempt)
    if attempt is not None and attempt.state not in {LOCKED, RELEASED}:
        if call.lock is not None and call.lock.wanted.content != attempt.content:
            raise refusals.already_used(attempt.number)
        return attempt, now
    if call.lock is not None:
        attempt, now = await locking.lock(tx, call.lock)
    else:
        attempt = await _live(tx, attempt, now)
        expect(attempt, call.expected_payable)
    return await _use(tx, attempt, now), now


async def _use(tx: Tx, attempt: Attempt, now: datetime) -> Attempt:
    moves: dict[int, BudgetMove] = {}
    for hold in await hold_store.select_holds(tx, attempt.order_id, attempt.number):
        if await hold_store.use_coupon(tx, attempt.user_id, hold, now) != 1:
            # Time went on while this transaction waited, and another order took it.
            raise refusals.lock_expired(attempt, coupons_free=False)
        if hold.reserved:
            add_budget(moves, hold.template_id, BudgetMove(reserved=-hold.reserved, spent=hold.reserved))
    if moves:
        await hold_store.clear_reserved(tx, attempt.order_id, attempt.number)
        await hold_store.move_budgets(tx, moves)
    used = replace(attempt, state=USED)
    await store.update_attempt(tx, used, was=LOCKED, now=now)
    decision = discount_pb2.Decision.FromString(attempt.decision)
    await append_ledger(tx, attempt.order_id, attempt.number, used_rows(decision), now)
    await store.set_holder(tx, attempt.order_id, attempt.number, None)
    return used


async def extend(tx: Tx, call: ExtendCall) -> tuple[Attempt, datetime]:
    """Moves the end of a live lock; never to an earlier time. Raises FailedPrecondition, NotFound."""
    order = await order_of(tx, call.key)
    now, found = await store.select_attempt(tx, order.order_id, call.key.attempt)
    if found is not None and found.state not in {LOCKED, RELEASED}:
        raise refusals.already_used(found.number)
    attempt = await _live(tx, found, now)
    locked_until = now + call.ttl
    if attempt.locked_until is not None and attempt.locked_until >= locked_until:
        return attempt, now
    extended = replace(attempt, locked_until=locked_until)
    for hold in await hold_store.select_holds(tx, attempt.order_id, attempt.number):
        end = end_if_lapsed(hold.valid_until, hold.grace_ms, locked_until)
        moved = await hold_store.extend_coupon(tx, attempt.user_id, hold, locked_until=locked_until, valid_until=end)
        if moved != 1:
            raise refusals.lock_expired(attempt, coupons_free=False)
    await store.update_attempt(tx, extended, was=LOCKED, now=now)
    await store.set_holder(tx, order.order_id, attempt.number, locked_until)
    return extended, now


async def release(tx: Tx, key: AttemptKey) -> tuple[Attempt, datetime]:
    """Ends an attempt that was not used; one that never came leaves a marker. Raises FailedPrecondition, NotFound."""
    order = await order_of(tx, key, make=True)
    now, attempt = await store.select_attempt(tx, order.order_id, key.attempt)
    if attempt is None:
        await store.insert_marker(tx, order.order_id, key.attempt, now)
        await store.raise_latest_attempt(tx, order.order_id, key.attempt)
        _, attempt = await store.select_attempt(tx, order.order_id, key.attempt)
        assert attempt is not None  # noqa: S101 - it was just inserted
        return attempt, now
    if attempt.state in {RELEASED, RETURNED}:
        return attempt, now
    if attempt.state != LOCKED:
        raise refusals.already_used(attempt.number)
    if attempt.holds:
        holds = await hold_store.select_holds(tx, order.order_id, attempt.number)
        rows = await select_coupons(tx, order.user_id, [hold.coupon_id for hold in holds], for_update=True)
        # Until its coupons were locked another order could clear a lapsed lock's reservations.
        holds = await hold_store.select_holds(tx, order.order_id, attempt.number)
        _, moves = await give_back_attempt(tx, rows, holds, live=live_at(attempt, now), now=now)
        await hold_store.move_budgets(tx, moves)
        await store.drop_holders(tx, [order.order_id])
    released = replace(attempt, state=RELEASED, holds=False)
    await store.update_attempt(tx, released, was=LOCKED, now=now)
    return released, now


async def _live(tx: Tx, attempt: Attempt | None, now: datetime) -> Attempt:
    """The attempt, if it holds a live lock. Raises FailedPrecondition with what it is instead."""
    if attempt is None:
        raise refusals.not_locked()
    if attempt.state == RELEASED:
        raise refusals.attempt_released()
    if not live_at(attempt, now):
        raise refusals.lock_expired(attempt, coupons_free=await _free_again(tx, attempt, now))
    return attempt


async def _free_again(tx: Tx, attempt: Attempt, now: datetime) -> bool:
    """Whether the coupons of a lapsed lock could be locked again (budgets aside)."""
    holds = await hold_store.select_holds(tx, attempt.order_id, attempt.number)
    rows = await select_coupons(tx, attempt.user_id, [hold.coupon_id for hold in holds])
    templates = await select_templates(tx, sorted({hold.template_id for hold in holds}))
    return all(template["state"] == template_pb2.TEMPLATE_STATE_ACTIVE for template in templates) and all(
        state_at(
            row["status"],
            from_sql(row["valid_until"]),
            None if row["locked_until"] is None else from_sql(row["locked_until"]),
            now,
        )
        == coupon_pb2.COUPON_STATE_UNUSED
        for row in rows
    )
