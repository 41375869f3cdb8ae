"""The statements of what orders hold of users' coupons: holds, the guarded moves of the coupons, budgets.

A hold's `reserved` is its part of the template's reserved budget, and is cleared by whoever gives that back: the order
itself, the expirer, or an order that takes the coupon after the lock has lapsed. All of them hold the coupon's row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from couponry.clock import from_sql, to_sql
from couponry.store.mysql import Row, Tx

__all__ = [
    "Back",
    "BudgetMove",
    "Hold",
    "bring_back_coupon",
    "clear_reserved",
    "expire_coupons",
    "extend_coupon",
    "give_back_coupon",
    "lock_coupon",
    "move_budgets",
    "replace_holds",
    "select_hold",
    "select_holds",
    "select_holds_of_orders",
    "select_locked_coupons",
    "tidy_coupons",
    "use_coupon",
]


@dataclass(frozen=True, slots=True)
class Hold:
    """What an attempt holds of one coupon. `valid_until` is the coupon's end without any grace of this lock."""

    order_id: str
    attempt: int
    coupon_id: int
    template_id: int
    discount: int
    budgeted: bool
    reserved: int
    valid_until: datetime
    grace_ms: int
    returns_on_full_refund: bool


@dataclass(frozen=True, slots=True)
class Back:
    """A coupon that leaves the lock of (order_id, attempt), with what it becomes."""

    user_id: str
    coupon_id: int
    order_id: str
    attempt: int
    status: int
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class BudgetMove:
    """What is added to the counters of a template's budget, in minor units."""

    reserved: int = 0
    spent: int = 0

    def __add__(self, other: "BudgetMove") -> "BudgetMove":
        return BudgetMove(self.reserved + other.reserved, self.spent + other.spent)


SELECT_HOLDS: Final = (
    "SELECT order_id, attempt, coupon_id, template_id, discount, budgeted, reserved, valid_until, grace_ms,"
    " returns_on_full_refund FROM order_coupons WHERE order_id = %s AND attempt = %s ORDER BY coupon_id"
)
SELECT_HOLD: Final = (
    "SELECT order_id, attempt, coupon_id, template_id, discount, budgeted, reserved, valid_until, grace_ms,"
    " returns_on_full_refund FROM order_coupons WHERE order_id = %s AND attempt = %s AND coupon_id = %s"
)
SELECT_HOLDS_OF_ORDERS: Final = (
    "SELECT order_id, attempt, coupon_id, template_id, discount, budgeted, reserved, valid_until, grace_ms,"
    " returns_on_full_refund FROM order_coupons WHERE order_id IN %s ORDER BY order_id, attempt, coupon_id"
)
CLEAR_RESERVED: Final = "UPDATE order_coupons SET reserved = 0 WHERE order_id = %s AND attempt = %s AND reserved > 0"
CLEAR_RESERVED_OF_COUPON: Final = (
    "UPDATE order_coupons SET reserved = 0 WHERE order_id = %s AND attempt = %s AND coupon_id = %s AND reserved > 0"
)
DELETE_HOLDS: Final = "DELETE FROM order_coupons WHERE order_id = %s AND attempt = %s"
_INSERT_HOLDS: Final = (
    "INSERT INTO order_coupons (order_id, attempt, coupon_id, template_id, discount, budgeted, reserved, valid_until,"
    " grace_ms, returns_on_full_refund) VALUES"
)

# Moves of coupons: status and order stand in the WHERE.
LOCK_COUPON: Final = (
    "UPDATE user_coupons SET status = 2, order_id = %s, attempt = %s, locked_until = %s, valid_until = %s,"
    " version = version + 1 WHERE user_id = %s AND id = %s AND status = 1"
)
EXTEND_COUPON: Final = (
    "UPDATE user_coupons SET locked_until = %s, valid_until = %s, version = version + 1"
    " WHERE user_id = %s AND id = %s AND status = 2 AND order_id = %s AND attempt = %s"
)
USE_COUPON: Final = (
    "UPDATE user_coupons SET status = 3, used_at = %s, valid_until = %s, locked_until = NULL, version = version + 1"
    " WHERE user_id = %s AND id = %s AND status = 2 AND order_id = %s AND attempt = %s"
)
GIVE_BACK_COUPON: Final = (
    "UPDATE user_coupons SET status = %s, valid_until = %s, order_id = NULL, attempt = NULL, locked_until = NULL,"
    " version = version + 1 WHERE user_id = %s AND id = %s AND status = 2 AND order_id = %s AND attempt = %s"
)
BRING_BACK_COUPON: Final = (
    "UPDATE user_coupons SET status = %s, valid_until = %s, order_id = NULL, attempt = NULL, used_at = NULL,"
    " version = version + 1 WHERE user_id = %s AND id = %s AND status = 3 AND order_id = %s AND attempt = %s"
)
SELECT_LOCKED_COUPONS: Final = (
    "SELECT user_id, id, template_id, status, valid_until, order_id, attempt, locked_until FROM user_coupons"
    " WHERE id IN %s AND status = 2 ORDER BY id FOR UPDATE"
)
TIDY_COUPONS: Final = (
    "UPDATE user_coupons SET status = IF(valid_until <= %s, 4, 1), order_id = NULL, attempt = NULL,"
    " locked_until = NULL, version = version + 1 WHERE id IN %s AND status = 2 AND locked_until <= %s"
)
SELECT_ENDED_COUPONS: Final = (
    "SELECT id FROM user_coupons WHERE status = 1 AND valid_until <= UTC_TIMESTAMP(3)"
    " ORDER BY valid_until LIMIT %s FOR UPDATE SKIP LOCKED"
)
EXPIRE_COUPONS: Final = (
    "UPDATE user_coupons SET status = 4, version = version + 1"
    " WHERE id IN %s AND status = 1 AND valid_until <= UTC_TIMESTAMP(3)"
)

MOVE_BUDGET: Final = (
    "UPDATE template_counters SET budget_reserved = budget_reserved + %s, budget_spent = budget_spent + %s"
    " WHERE template_id = %s AND budget_reserved + %s >= 0 AND budget_spent + %s >= 0"
)


async def select_holds(tx: Tx, order_id: str, attempt: int) -> list[Hold]:
    """What an attempt holds or held, in coupon id order."""
    return [_hold(row) for row in await tx.fetch_all(SELECT_HOLDS, (order_id.encode(), attempt))]


async def select_hold(tx: Tx, order_id: str, attempt: int, coupon_id: int) -> Hold | None:
    """The hold of a coupon whose row, which the caller has locked, names this lock."""
    row = await tx.fetch_one(SELECT_HOLD, (order_id.encode(), attempt, coupon_id))
    return None if row is None else _hold(row)


async def select_holds_of_orders(tx: Tx, order_ids: Sequence[str]) -> list[Hold]:
    """The holds of all attempts of these orders."""
    rows = await tx.fetch_all(SELECT_HOLDS_OF_ORDERS, (tuple(order_id.encode() for order_id in order_ids),))
    return [_hold(row) for row in rows]


async def replace_holds(tx: Tx, order_id: str, attempt: int, holds: Sequence[Hold]) -> None:
    """Writes an attempt's holds in the place of those it had."""
    await tx.execute(DELETE_HOLDS, (order_id.encode(), attempt))
    await tx.insert_rows(
        _INSERT_HOLDS,
        "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            (
                order_id.encode(),
                attempt,
                hold.coupon_id,
                hold.template_id,
                hold.discount,
                hold.budgeted,
                hold.reserved,
                to_sql(hold.valid_until),
                hold.grace_ms,
                hold.returns_on_full_refund,
            )
            for hold in holds
        ],
    )


async def clear_reserved(tx: Tx, order_id: str, attempt: int, coupon_id: int | None = None) -> None:
    """The reservations of an attempt, or of one coupon of it, were spent or given back."""
    if coupon_id is None:
        await tx.execute(CLEAR_RESERVED, (order_id.encode(), attempt))
    else:
        await tx.execute(CLEAR_RESERVED_OF_COUPON, (order_id.encode(), attempt, coupon_id))


async def lock_coupon(tx: Tx, user_id: str, hold: Hold, *, locked_until: datetime, valid_until: datetime) -> int:
    """UNUSED to LOCKED; the number of coupons moved."""
    return await tx.execute(
        LOCK_COUPON,
        (
            hold.order_id.encode(),
            hold.attempt,
            to_sql(locked_until),
            to_sql(valid_until),
            user_id.encode(),
            hold.coupon_id,
        ),
    )


async def extend_coupon(tx: Tx, user_id: str, hold: Hold, *, locked_until: datetime, valid_until: datetime) -> int:
    """LOCKED for longer; the number of coupons moved."""
    return await tx.execute(EXTEND_COUPON, (to_sql(locked_until), to_sql(valid_until), *_locked_by(user_id, hold)))


async def use_coupon(tx: Tx, user_id: str, hold: Hold, now: datetime) -> int:
    """LOCKED to USED; the number of coupons moved."""
    return await tx.execute(USE_COUPON, (to_sql(now), to_sql(hold.valid_until), *_locked_by(user_id, hold)))


async def give_back_coupon(tx: Tx, back: Back) -> int:
    """LOCKED to UNUSED or EXPIRED; the number of coupons moved."""
    return await tx.execute(
        GIVE_BACK_COUPON,
        (
            back.status,
            to_sql(back.valid_until),
            back.user_id.encode(),
            back.coupon_id,
            back.order_id.encode(),
            back.attempt,
        ),
    )


async def bring_back_coupon(tx: Tx, user_id: str, hold: Hold, *, status: int, valid_until: datetime) -> int:
    """USED by this attempt to UNUSED or EXPIRED; the number of coupons moved."""
    return await tx.execute(BRING_BACK_COUPON, (status, to_sql(valid_until), *_locked_by(user_id, hold)))


async def select_locked_coupons(tx: Tx, ids: Iterable[int]) -> list[Row]:
    """Those of these coupons that are locked by whichever order, locked in id order."""
    return await tx.fetch_all(SELECT_LOCKED_COUPONS, (tuple(ids),))


async def tidy_coupons(tx: Tx, ids: Iterable[int], now: datetime) -> int:
    """Coupons whose lock has lapsed to UNUSED or EXPIRED; the number of coupons moved."""
    return await tx.execute(TIDY_COUPONS, (to_sql(now), tuple(ids), to_sql(now)))


async def expire_coupons(tx: Tx, limit: int) -> int:
    """UNUSED coupons past their end to EXPIRED, without those that somebody works on; the number moved."""
    ids = tuple(row["id"] for row in await tx.fetch_all(SELECT_ENDED_COUPONS, (limit,)))
    return await tx.execute(EXPIRE_COUPONS, (ids,)) if ids else 0


async def move_budgets(tx: Tx, moves: Mapping[int, BudgetMove]) -> None:
    """Adds to the budget counters, in template id order."""
    for template_id in sorted(moves):
        move = moves[template_id]
        if move.reserved == 0 and move.spent == 0:
            continue
        changed = await tx.execute(MOVE_BUDGET, (move.reserved, move.spent, template_id, move.reserved, move.spent))
        if changed != 1:
            raise RuntimeError(f"the budget of template {template_id} does not add up")


def _locked_by(user_id: str, hold: Hold) -> tuple[bytes, int, bytes, int]:
    return user_id.encode(), hold.coupon_id, hold.order_id.encode(), hold.attempt


def _hold(row: Row) -> Hold:
    return Hold(
        order_id=row["order_id"].decode(),
        attempt=row["attempt"],
        coupon_id=row["coupon_id"],
        template_id=row["template_id"],
        discount=row["discount"],
        budgeted=bool(row["budgeted"]),
        reserved=row["reserved"],
        valid_until=from_sql(row["valid_until"]),
        grace_ms=row["grace_ms"],
        returns_on_full_refund=bool(row["returns_on_full_refund"]),
    )
