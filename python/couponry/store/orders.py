"""The statements of orders and their attempts.

Every move of an order locks its row first, then coupons in id order, then template counters in id order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from couponry.clock import from_sql, to_sql
from couponry.store.mysql import Row, Tx

__all__ = [
    "Attempt",
    "Order",
    "database_now",
    "drop_holders",
    "insert_marker",
    "lock_lapsed_orders",
    "lock_order",
    "make_order",
    "raise_latest_attempt",
    "read_order",
    "select_attempt",
    "set_holder",
    "update_attempt",
    "write_locked_attempt",
]


@dataclass(frozen=True, slots=True)
class Order:
    """An order's row. `holder` is the attempt whose coupons are locked or used."""

    order_id: str
    user_id: str
    latest_attempt: int | None
    holder: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt's row. `holds` is false where its lock lapsed and was tidied, or it was released or returned."""

    order_id: str
    user_id: str
    number: int
    state: int
    holds: bool
    content: bytes
    cart: bytes
    decision: bytes
    locked_until: datetime | None
    discount: int
    discount_returned: int


SELECT_NOW: Final = "SELECT UTC_TIMESTAMP(3) AS now"
READ_ORDER: Final = (
    "SELECT order_id, user_id, latest_attempt, holder FROM orders WHERE order_id = %s LOCK IN SHARE MODE"
)
LOCK_ORDER: Final = "SELECT order_id, user_id, latest_attempt, holder FROM orders WHERE order_id = %s FOR UPDATE"
# Unlike INSERT IGNORE, which takes a shared lock on a row that exists, this one takes the lock that is needed next.
MAKE_ORDER: Final = (
    "INSERT INTO orders (order_id, user_id, created_at) VALUES (%s, %s, UTC_TIMESTAMP(3))"
    " ON DUPLICATE KEY UPDATE user_id = user_id"
)
SET_HOLDER: Final = (
    "UPDATE orders SET latest_attempt = GREATEST(COALESCE(latest_attempt, 0), %s), holder = %s, lapses_at = %s"
    " WHERE order_id = %s"
)
RAISE_LATEST: Final = "UPDATE orders SET latest_attempt = GREATEST(COALESCE(latest_attempt, 0), %s) WHERE order_id = %s"
LOCK_LAPSED_ORDERS: Final = (
    "SELECT order_id, user_id, latest_attempt, holder FROM orders WHERE lapses_at <= UTC_TIMESTAMP(3)"
    " ORDER BY lapses_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
DROP_HOLDERS: Final = "UPDATE orders SET holder = NULL, lapses_at = NULL WHERE order_id IN %s"

SELECT_ATTEMPT: Final = (
    "SELECT UTC_TIMESTAMP(3) AS now, o.order_id, o.user_id, o.holder, a.attempt, a.state, a.content, a.cart,"
    " a.decision, a.locked_until, a.discount, a.discount_returned FROM orders o"
    " LEFT JOIN order_attempts a ON a.order_id = o.order_id AND a.attempt = %s WHERE o.order_id = %s"
)
WRITE_LOCKED_ATTEMPT: Final = (
    "INSERT INTO order_attempts (order_id, attempt, state, content, cart, minimum_payable, decision, locked_until,"
    " discount, discount_returned, created_at, updated_at) VALUES (%s, %s, 1, %s, %s, %s, %s, %s, %s, 0, %s, %s)"
    " ON DUPLICATE KEY UPDATE state = 1, content = VALUES(content), cart = VALUES(cart),"
    " minimum_payable = VALUES(minimum_payable), decision = VALUES(decision), locked_until = VALUES(locked_until),"
    " discount = VALUES(discount), updated_at = VALUES(updated_at)"
)
INSERT_MARKER: Final = (
    "INSERT INTO order_attempts (order_id, attempt, state, minimum_payable, discount, discount_returned, created_at,"
    " updated_at) VALUES (%s, %s, 3, 0, 0, 0, %s, %s)"
)
UPDATE_ATTEMPT: Final = (
    "UPDATE order_attempts SET state = %s, locked_until = %s, discount_returned = %s, updated_at = %s"
    " WHERE order_id = %s AND attempt = %s AND state = %s"
)


async def database_now(tx: Tx) -> datetime:
    """The database's clock: what decides whether a lock has lapsed. Ask after the locks are held."""
    row = await tx.fetch_one(SELECT_NOW)
    assert row is not None  # noqa: S101 - a SELECT without a table gives one row
    return from_sql(row["now"])


async def read_order(tx: Tx, order_id: str) -> Order | None:
    """The order, kept from changing until the transaction ends."""
    return _order(await tx.fetch_one(READ_ORDER, (order_id.encode(),)))


async def lock_order(tx: Tx, order_id: str) -> Order | None:
    """The order's row, locked."""
    return _order(await tx.fetch_one(LOCK_ORDER, (order_id.encode(),)))


async def make_order(tx: Tx, order_id: str, user_id: str) -> Order:
    """The order's row, made where there was none, and locked."""
    order = await lock_order(tx, order_id)
    if order is None:
        await tx.execute(MAKE_ORDER, (order_id.encode(), user_id.encode()))
        order = await lock_order(tx, order_id)
    assert order is not None  # noqa: S101 - it was just made, and is locked
    return order


async def set_holder(tx: Tx, order_id: str, attempt: int, lapses_at: datetime | None) -> None:
    """This attempt holds coupons: locked until `lapses_at`, or used (None)."""
    await tx.execute(SET_HOLDER, (attempt, attempt, _sql(lapses_at), order_id.encode()))


async def raise_latest_attempt(tx: Tx, order_id: str, attempt: int) -> None:
    """An attempt exists that holds nothing."""
    await tx.execute(RAISE_LATEST, (attempt, order_id.encode()))


async def lock_lapsed_orders(tx: Tx, limit: int) -> list[Order]:
    """Orders whose lock has lapsed and was not tidied, without those that somebody works on."""
    rows = await tx.fetch_all(LOCK_LAPSED_ORDERS, (limit,))
    return [order for order in map(_order, rows) if order is not None]


async def drop_holders(tx: Tx, order_ids: Sequence[str]) -> None:
    """These orders hold nothing any more."""
    await tx.execute(DROP_HOLDERS, (tuple(order_id.encode() for order_id in order_ids),))


async def select_attempt(tx: Tx, order_id: str, number: int) -> tuple[datetime, Attempt | None]:
    """The database's clock and the attempt of an order that exists and is locked."""
    row = await tx.fetch_one(SELECT_ATTEMPT, (number, order_id.encode()))
    assert row is not None  # noqa: S101 - the caller holds the order's row
    now = from_sql(row["now"])
    if row["attempt"] is None:
        return now, None
    return now, Attempt(
        order_id=row["order_id"].decode(),
        user_id=row["user_id"].decode(),
        number=row["attempt"],
        state=row["state"],
        holds=row["holder"] == row["attempt"],
        content=row["content"] or b"",
        cart=row["cart"] or b"",
        decision=row["decision"] or b"",
        locked_until=None if row["locked_until"] is None else from_sql(row["locked_until"]),
        discount=row["discount"],
        discount_returned=row["discount_returned"],
    )


async def write_locked_attempt(tx: Tx, attempt: Attempt, *, minimum_payable: int, now: datetime) -> None:
    """A new lock, in a new attempt or in the place of one that lapsed or was replaced."""
    await tx.execute(
        WRITE_LOCKED_ATTEMPT,
        (
            attempt.order_id.encode(),
            attempt.number,
            attempt.content,
            attempt.cart,
            minimum_payable,
            attempt.decision,
            _sql(attempt.locked_until),
            attempt.discount,
            to_sql(now),
            to_sql(now),
        ),
    )


async def insert_marker(tx: Tx, order_id: str, number: int, now: datetime) -> None:
    """A RELEASED attempt that was never locked: a late lock of it is refused."""
    await tx.execute(INSERT_MARKER, (order_id.encode(), number, to_sql(now), to_sql(now)))


async def update_attempt(tx: Tx, attempt: Attempt, *, was: int, now: datetime) -> int:
    """Writes state, expiry and what was returned; the number of rows that were in state `was`."""
    return await tx.execute(
        UPDATE_ATTEMPT,
        (
            attempt.state,
            _sql(attempt.locked_until),
            attempt.discount_returned,
            to_sql(now),
            attempt.order_id.encode(),
            attempt.number,
            was,
        ),
    )


def _sql(instant: datetime | None) -> datetime | None:
    return None if instant is None else to_sql(instant)


def _order(row: Row | None) -> Order | None:
    if row is None:
        return None
    return Order(row["order_id"].decode(), row["user_id"].decode(), row["latest_attempt"], row["holder"])
