"""Coupons that leave a lock: what each becomes, and the moves with their ledger rows.

A coupon whose end falls into its lock comes back with its grace. A lapse counts from the lock's end, whoever notices it
and whenever: so LOCKED rows carry the end that they have should the lock lapse.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from couponry.clock import from_sql
from couponry.orders.ledger import RELEASE
from couponry.store.holds import Back, BudgetMove, Hold, clear_reserved, give_back_coupon, select_hold
from couponry.store.ledger import LedgerRow, append_ledger
from couponry.store.mysql import Row, Tx
from couponry.v1 import coupon_pb2

__all__ = [
    "add_budget",
    "end_after_release",
    "end_after_return",
    "end_if_lapsed",
    "give_back_attempt",
    "give_back_lapsed",
    "is_held_by",
    "status_for",
]

_UNUSED = coupon_pb2.COUPON_STATE_UNUSED
_EXPIRED = coupon_pb2.COUPON_STATE_EXPIRED


def end_if_lapsed(own_end: datetime, grace_ms: int, locked_until: datetime) -> datetime:
    """The end of a coupon whose lock runs out at `locked_until`."""
    return _with_grace(own_end, grace_ms, locked_until) if own_end <= locked_until else own_end


def end_after_release(own_end: datetime, grace_ms: int, now: datetime) -> datetime:
    """The end of a coupon whose order was cancelled at `now`: grace only where it ended while it was locked."""
    return _with_grace(own_end, grace_ms, now) if own_end <= now else own_end


def end_after_return(own_end: datetime, grace_ms: int, now: datetime) -> datetime:
    """The end of a coupon whose order came back in full at `now`: at least the grace from then on."""
    return max(own_end, _with_grace(own_end, grace_ms, now))


def status_for(end: datetime, now: datetime) -> int:
    """What a coupon that comes back is."""
    return _UNUSED if end > now else _EXPIRED


def lapsed(row: Row, now: datetime) -> Back:
    """What becomes of a LOCKED row whose lock has lapsed."""
    return _back(row, from_sql(row["valid_until"]), now)


def released(row: Row, hold: Hold, now: datetime) -> Back:
    """What becomes of a LOCKED row whose live lock is given up at `now`."""
    return _back(row, end_after_release(hold.valid_until, hold.grace_ms, now), now)


async def give_back_attempt(
    tx: Tx, rows: Iterable[Row], holds: Sequence[Hold], *, live: bool, now: datetime
) -> tuple[list[Back], dict[int, BudgetMove]]:
    """Gives up one attempt: those of `rows`, which the caller has locked, that still name it, and all it has reserved.

    `holds` were read after the rows were locked.
    """
    by_coupon = {hold.coupon_id: hold for hold in holds}
    moves: dict[int, BudgetMove] = {}
    backs = []
    for row in rows:
        hold = by_coupon.get(row["id"])
        if hold is not None and is_held_by(row, hold):
            backs.append(released(row, hold, now) if live else lapsed(row, now))
    await move_back(tx, backs, now)
    for hold in holds:
        if hold.reserved:
            add_budget(moves, hold.template_id, BudgetMove(reserved=-hold.reserved))
    if moves:
        await clear_reserved(tx, holds[0].order_id, holds[0].attempt)
    return backs, moves


async def give_back_lapsed(tx: Tx, rows: Iterable[Row], now: datetime) -> tuple[list[Back], dict[int, BudgetMove]]:
    """Takes coupons, whose rows the caller has locked, out of lapsed locks of whichever orders, with their budget."""
    moves: dict[int, BudgetMove] = {}
    backs = [lapsed(row, now) for row in rows]
    await move_back(tx, backs, now)
    for back in backs:
        hold = await select_hold(tx, back.order_id, back.attempt, back.coupon_id)
        if hold is not None and hold.reserved:
            add_budget(moves, hold.template_id, BudgetMove(reserved=-hold.reserved))
            await clear_reserved(tx, hold.order_id, hold.attempt, hold.coupon_id)
    return backs, moves


async def move_back(tx: Tx, backs: Iterable[Back], now: datetime) -> None:
    """The guarded moves and their ledger rows, in id order."""
    by_attempt: defaultdict[tuple[str, int], list[LedgerRow]] = defaultdict(list)
    for back in sorted(backs, key=lambda back: back.coupon_id):
        if await give_back_coupon(tx, back) != 1:
            raise RuntimeError(f"coupon {back.coupon_id} moved under its lock")
        by_attempt[back.order_id, back.attempt].append(LedgerRow(RELEASE, back.coupon_id))
    for (order_id, attempt), rows in by_attempt.items():
        await append_ledger(tx, order_id, attempt, rows, now)


def is_held_by(row: Row, hold: Hold) -> bool:
    """Whether a coupon's row names the lock of a hold."""
    return bool(
        row["status"] == coupon_pb2.COUPON_STATE_LOCKED
        and row["order_id"] == hold.order_id.encode()
        and row["attempt"] == hold.attempt
    )


def add_budget(moves: dict[int, BudgetMove], template_id: int, move: BudgetMove) -> None:
    """Adds a move to those of a template."""
    moves[template_id] = moves.get(template_id, BudgetMove()) + move


def _with_grace(own_end: datetime, grace_ms: int, at: datetime) -> datetime:
    return at + timedelta(milliseconds=grace_ms) if grace_ms else own_end


def _back(row: Row, valid_until: datetime, now: datetime) -> Back:
    return Back(
        user_id=row["user_id"].decode(),
        coupon_id=row["id"],
        order_id=row["order_id"].decode(),
        attempt=row["attempt"],
        status=status_for(valid_until, now),
        valid_until=valid_until,
    )
