"""Tidies what time has ended: lapsed locks give their coupons and budget back, coupons past their end become EXPIRED.

Answers follow from time and never wait for this. Any number may run: orders and coupons that somebody works on are
left for the next round.
"""

from collections import defaultdict
from collections.abc import Mapping

from couponry.orders.giving_back import add_budget, is_held_by
from couponry.orders.ledger import RELEASE
from couponry.store.holds import (
    BudgetMove,
    Hold,
    clear_reserved,
    expire_coupons,
    move_budgets,
    select_holds_of_orders,
    select_locked_coupons,
    tidy_coupons,
)
from couponry.store.ledger import LedgerRow, append_ledger
from couponry.store.mysql import MySQL, Tx
from couponry.store.orders import database_now, drop_holders, lock_lapsed_orders

__all__ = ["Expirer"]


class Expirer:
    """Moves at most `batch` orders and `batch` coupons a round, each kind in one transaction."""

    def __init__(self, *, mysql: MySQL, batch: int) -> None:
        self._mysql = mysql
        self._batch = batch

    async def run_once(self) -> int:
        """How many orders and coupons were tidied."""
        orders = await self._mysql.run(self._tidy_locks)
        coupons = await self._mysql.run(lambda tx: expire_coupons(tx, self._batch))
        return orders + coupons

    async def _tidy_locks(self, tx: Tx) -> int:
        orders = await lock_lapsed_orders(tx, self._batch)
        if not orders:
            return 0
        holder = {order.order_id: order.holder for order in orders}
        coupon_ids = sorted({hold.coupon_id for hold in await _holds_of(tx, holder)})
        rows = {row["id"]: row for row in await select_locked_coupons(tx, coupon_ids)}
        # Until its coupon was locked another order could take it and clear the reservation.
        holds = await _holds_of(tx, holder)
        now = await database_now(tx)
        moves: dict[int, BudgetMove] = {}
        by_attempt: defaultdict[tuple[str, int], list[LedgerRow]] = defaultdict(list)
        for hold in holds:
            if hold.coupon_id in rows and is_held_by(rows[hold.coupon_id], hold):
                by_attempt[hold.order_id, hold.attempt].append(LedgerRow(RELEASE, hold.coupon_id))
            if hold.reserved:
                add_budget(moves, hold.template_id, BudgetMove(reserved=-hold.reserved))
                await clear_reserved(tx, hold.order_id, hold.attempt, hold.coupon_id)
        own = [row.coupon_id for released in by_attempt.values() for row in released]
        if own and await tidy_coupons(tx, own, now) != len(own):
            raise RuntimeError("a lapsed coupon moved under its lock")
        for (order_id, attempt), released in by_attempt.items():
            await append_ledger(tx, order_id, attempt, released, now)
        await move_budgets(tx, moves)
        await drop_holders(tx, list(holder))
        return len(orders)


async def _holds_of(tx: Tx, holder: Mapping[str, int | None]) -> list[Hold]:
    """What the holding attempts of these orders hold or held."""
    found = await select_holds_of_orders(tx, list(holder))
    return [hold for hold in found if hold.attempt == holder[hold.order_id]]
