"""Which way the server takes through a statement: no SELECT may read a whole table or a whole index.

The tables must be filled before, else a scan of a few rows is what the optimizer rightly prefers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from couponry.store.mysql import MySQL

__all__ = ["Step", "explain", "scans"]


@dataclass(frozen=True, slots=True)
class Step:
    """One table of a plan. `access` is EXPLAIN's type: const, eq_ref, ref, range, index, ALL."""

    table: str
    access: str
    key: str | None
    rows: int
    extra: str


async def explain(mysql: MySQL, sql: str, args: Sequence[Any] = ()) -> list[Step]:
    """The plan of a SELECT with these arguments."""
    return [
        Step(row["table"], row["type"], row["key"], int(row["rows"] or 0), row["Extra"] or "")
        for row in await mysql.fetch_all(f"EXPLAIN {sql}", args)
        # A constant that was looked up while planning, or a table that is not there.
        if row["table"] is not None and row["type"] is not None
    ]


async def scans(mysql: MySQL, sql: str, args: Sequence[Any] = ()) -> list[Step]:
    """The steps that read a whole table or a whole index, or use no index at all."""
    return [step for step in await explain(mysql, sql, args) if step.access in {"ALL", "index"} or step.key is None]
