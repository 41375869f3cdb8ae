"""The statements of orders' ledgers and returns.

The ledger is append-only: what a return takes back is read from it, never computed again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from couponry.clock import from_sql, to_sql
from couponry.store.mysql import MySQL, Row, Tx
from couponry.v1 import order_pb2

__all__ = [
    "LedgerRow",
    "add_returned_units",
    "append_ledger",
    "insert_return",
    "select_coupon_balances",
    "select_ledger",
    "select_return",
    "select_returned_units",
    "select_used_runs",
    "sum_ledgers",
    "sum_ledgers_of_activity",
]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A run of equal units of one line and coupon; LOCK and RELEASE are of a whole coupon and have no line."""

    kind: int
    coupon_id: int
    line_kind: int = 0
    line_id: str = ""
    unit_from: int = 0
    unit_count: int = 0
    amount_each: int = 0
    return_id: str = ""
    at: datetime | None = None


_INSERT_LEDGER: Final = (
    "INSERT INTO order_ledger (order_id, attempt, kind, line_kind, line_id, unit_from, unit_count, coupon_id,"
    " amount_each, return_id, at) VALUES"
)
SELECT_LEDGER: Final = (
    "SELECT kind, line_kind, line_id, unit_from, unit_count, coupon_id, amount_each, return_id, at FROM order_ledger"
    " WHERE order_id = %s AND attempt = %s ORDER BY id"
)
SELECT_USED_RUNS: Final = (
    "SELECT kind, line_kind, line_id, unit_from, unit_count, coupon_id, amount_each, return_id, at FROM order_ledger"
    " WHERE order_id = %s AND attempt = %s AND kind = 2 ORDER BY id"
)
SELECT_COUPON_BALANCES: Final = (
    "SELECT coupon_id, SUM(unit_count * amount_each) AS balance FROM order_ledger"
    " WHERE order_id = %s AND attempt = %s GROUP BY coupon_id"
)

# Amounts begin with the use; what is locked or released has none.
_WITH_AMOUNTS: Final = (
    f"{order_pb2.ORDER_STATE_USED}, {order_pb2.ORDER_STATE_PARTLY_RETURNED}, {order_pb2.ORDER_STATE_RETURNED}"
)
_SUM_LEDGERS: Final = (
    "SELECT COALESCE(SUM(s.declared), 0) AS declared, COALESCE(SUM(s.ledger), 0) AS ledger,"
    " COALESCE(SUM(s.declared <> s.ledger), 0) AS wrong FROM"
    f" (SELECT IF(a.state IN ({_WITH_AMOUNTS}), a.discount - a.discount_returned, 0) AS declared,"
    " (SELECT COALESCE(SUM(l.unit_count * l.amount_each), 0) FROM order_ledger l"
    " WHERE l.order_id = a.order_id AND l.attempt = a.attempt) AS ledger FROM"
)
SUM_LEDGERS: Final = f"{_SUM_LEDGERS} order_attempts a) AS s"
SUM_LEDGERS_OF_ACTIVITY: Final = (
    f"{_SUM_LEDGERS} (SELECT DISTINCT order_id FROM user_coupons WHERE activity_id = %s AND order_id IS NOT NULL) AS o"
    " JOIN order_attempts a ON a.order_id = o.order_id) AS s"
)

SELECT_RETURN: Final = (
    "SELECT fingerprint, answer FROM order_returns WHERE order_id = %s AND attempt = %s AND return_id = %s"
)
INSERT_RETURN: Final = (
    "INSERT INTO order_returns (order_id, attempt, return_id, fingerprint, answer, at) VALUES (%s, %s, %s, %s, %s, %s)"
)
SELECT_RETURNED_UNITS: Final = (
    "SELECT line_kind, line_id, units FROM order_returned_lines WHERE order_id = %s AND attempt = %s"
)
_ADD_RETURNED_UNITS: Final = "INSERT INTO order_returned_lines (order_id, attempt, line_kind, line_id, units) VALUES"


async def append_ledger(tx: Tx, order_id: str, attempt: int, rows: Sequence[LedgerRow], now: datetime) -> None:
    """Adds rows to the ledger of an attempt."""
    values: list[tuple[Any, ...]] = [
        (
            order_id.encode(),
            attempt,
            row.kind,
            row.line_kind,
            row.line_id.encode(),
            row.unit_from,
            row.unit_count,
            row.coupon_id,
            row.amount_each,
            row.return_id.encode(),
            to_sql(now),
        )
        for row in rows
    ]
    await tx.insert_rows(_INSERT_LEDGER, "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)", values)


async def select_ledger(tx: Tx, order_id: str, attempt: int) -> list[LedgerRow]:
    """All rows of an attempt, oldest first."""
    return [_ledger(row) for row in await tx.fetch_all(SELECT_LEDGER, (order_id.encode(), attempt))]


async def select_used_runs(tx: Tx, order_id: str, attempt: int) -> list[LedgerRow]:
    """The USE rows of an attempt: what every unit got off, coupon by coupon."""
    return [_ledger(row) for row in await tx.fetch_all(SELECT_USED_RUNS, (order_id.encode(), attempt))]


async def select_coupon_balances(tx: Tx, order_id: str, attempt: int) -> dict[int, int]:
    """By coupon: used - returned, in minor units."""
    rows = await tx.fetch_all(SELECT_COUPON_BALANCES, (order_id.encode(), attempt))
    return {row["coupon_id"]: int(row["balance"]) for row in rows}


async def sum_ledgers(source: Tx | MySQL) -> dict[str, int]:
    """Of all attempts: declared (discount - returned), ledger (the sum of all rows), wrong (attempts that differ)."""
    return _sums(await source.fetch_one(SUM_LEDGERS))


async def sum_ledgers_of_activity(source: Tx | MySQL, activity_id: int) -> dict[str, int]:
    """The same of orders that hold or used a coupon of an activity."""
    return _sums(await source.fetch_one(SUM_LEDGERS_OF_ACTIVITY, (activity_id,)))


async def select_return(tx: Tx, order_id: str, attempt: int, return_id: str) -> tuple[bytes, bytes] | None:
    """(fingerprint, answer) of a return that was made."""
    row = await tx.fetch_one(SELECT_RETURN, (order_id.encode(), attempt, return_id.encode()))
    return None if row is None else (row["fingerprint"], row["answer"])


async def insert_return(
    tx: Tx, order_id: str, attempt: int, return_id: str, *, fingerprint: bytes, answer: bytes, now: datetime
) -> None:
    """Remembers a return and its answer."""
    await tx.execute(INSERT_RETURN, (order_id.encode(), attempt, return_id.encode(), fingerprint, answer, to_sql(now)))


async def select_returned_units(tx: Tx, order_id: str, attempt: int) -> dict[tuple[int, str], int]:
    """By (line kind, line id): how many units are back."""
    rows = await tx.fetch_all(SELECT_RETURNED_UNITS, (order_id.encode(), attempt))
    return {(row["line_kind"], row["line_id"].decode()): row["units"] for row in rows}


async def add_returned_units(tx: Tx, order_id: str, attempt: int, units: Mapping[tuple[int, str], int]) -> None:
    """Counts units that came back."""
    await tx.insert_rows(
        _ADD_RETURNED_UNITS,
        "(%s, %s, %s, %s, %s)",
        [
            (order_id.encode(), attempt, line_kind, line_id.encode(), count)
            for (line_kind, line_id), count in units.items()
        ],
        "ON DUPLICATE KEY UPDATE units = units + VALUES(units)",
    )


def _sums(row: Row | None) -> dict[str, int]:
    return {name: int(value) for name, value in (row or {}).items()}


def _ledger(row: Row) -> LedgerRow:
    return LedgerRow(
        kind=row["kind"],
        coupon_id=row["coupon_id"],
        line_kind=row["line_kind"],
        line_id=row["line_id"].decode(),
        unit_from=row["unit_from"],
        unit_count=row["unit_count"],
        amount_each=row["amount_each"],
        return_id=row["return_id"].decode(),
        at=from_sql(row["at"]),
    )
