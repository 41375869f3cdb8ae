"""The statements of users' coupons. A coupon is found by its owner first: PRIMARY KEY (user_id, id).

`status` is what was written last; the state that callers see follows from time (coupons/messages.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from couponry.store.mysql import MySQL, Row, Tx

__all__ = [
    "Issue",
    "count_receipts",
    "insert_coupons",
    "list_coupons",
    "revoke",
    "select_coupons",
    "select_live",
]

_COLUMNS: Final = (
    "user_id, id, template_id, source, status, valid_from, valid_until, received_at, order_id, attempt,"
    " locked_until, used_at, activity_id, version"
)

SELECT_COUPONS: Final = (
    f"SELECT {_COLUMNS}, UTC_TIMESTAMP(3) AS now FROM user_coupons WHERE user_id = %s AND id IN %s ORDER BY id"
)
LOCK_COUPONS: Final = f"{SELECT_COUPONS} FOR UPDATE"
SELECT_LIVE: Final = (
    f"SELECT {_COLUMNS} FROM user_coupons WHERE user_id IN %s AND status IN (1, 2) ORDER BY user_id, id"
)
_LIST: Final = (
    f"SELECT {_COLUMNS}, UTC_TIMESTAMP(3) AS now FROM user_coupons WHERE user_id = %s AND id < %s"
    "{states} ORDER BY id DESC LIMIT %s"
)
# What a row reads as now: a lock that lapsed is no lock, and what is past its end is expired.
_READS_AS: Final = {
    1: "status IN (1, 2) AND NOT (status = 2 AND locked_until > UTC_TIMESTAMP(3)) AND valid_until > UTC_TIMESTAMP(3)",
    2: "status = 2 AND locked_until > UTC_TIMESTAMP(3)",
    3: "status = 3",
    4: (
        "status = 4 OR (status IN (1, 2) AND NOT (status = 2 AND locked_until > UTC_TIMESTAMP(3))"
        " AND valid_until <= UTC_TIMESTAMP(3))"
    ),
    5: "status = 5",
}
COUNT_RECEIPTS: Final = (
    b"WITH v (template_id, user_id) AS (VALUES %b) SELECT c.template_id, c.user_id, COUNT(*) AS receipts"
    b" FROM v STRAIGHT_JOIN user_coupons c FORCE INDEX (by_template_user)"
    b" ON c.template_id = v.template_id AND c.user_id = v.user_id WHERE c.source IN (1, 2)"
    b" GROUP BY c.template_id, c.user_id"
)
_ISSUE: Final = "template_id, source, valid_from, valid_until, received_at"
REVOKE: Final = (
    "UPDATE user_coupons SET status = 5, order_id = NULL, attempt = NULL, locked_until = NULL, version = version + 1"
    " WHERE user_id = %s AND id = %s AND (status IN (1, 4) OR (status = 2 AND locked_until <= UTC_TIMESTAMP(3)))"
)


@dataclass(frozen=True, slots=True)
class Issue:
    """What coupons that are given at once have in common. Times are naive UTC, as SQL has them."""

    template_id: int
    source: int
    valid_from: datetime
    valid_until: datetime
    received_at: datetime

    def values(self) -> tuple[int | datetime, ...]:
        """In the order of the columns of the INSERT."""
        return self.template_id, self.source, self.valid_from, self.valid_until, self.received_at

    def row(self, user_id: str, coupon_id: int) -> Row:
        """The row of one of them, as a SELECT will give it."""
        return {
            "user_id": user_id.encode(),
            "id": coupon_id,
            "template_id": self.template_id,
            "source": self.source,
            "status": 1,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "received_at": self.received_at,
            "order_id": None,
            "attempt": None,
            "locked_until": None,
            "used_at": None,
            "activity_id": None,
            "version": 1,
        }


async def select_coupons(tx: Tx | MySQL, user_id: str, ids: Iterable[int], *, for_update: bool = False) -> list[Row]:
    """The user's coupons of these ids, in id order, with the database's clock as `now`; others' are not found."""
    wanted = tuple(ids)
    if not wanted:
        return []
    return await tx.fetch_all(LOCK_COUPONS if for_update else SELECT_COUPONS, (user_id.encode(), wanted))


async def select_live(tx: Tx | MySQL, user_ids: Sequence[str]) -> list[Row]:
    """UNUSED and LOCKED coupons of these users, by user and id."""
    return await tx.fetch_all(SELECT_LIVE, (tuple(user.encode() for user in user_ids),)) if user_ids else []


def list_statement(states: Iterable[int]) -> str:
    """The statement of `list_coupons` for these states; none is all."""
    conditions = [f"({_READS_AS[state]})" for state in sorted(set(states))]
    return _LIST.format(states=f" AND ({' OR '.join(conditions)})" if conditions else "")


async def list_coupons(mysql: MySQL, user_id: str, *, below_id: int, states: Iterable[int], limit: int) -> list[Row]:
    """The user's coupons below an id, the highest first, that read as one of `states` by the database's clock."""
    return await mysql.fetch_all(list_statement(states), (user_id.encode(), below_id, limit))


async def count_receipts(tx: Tx, pairs: Iterable[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """How many coupons of each template each user received or was granted, whatever became of them; 0 is left out."""
    receipts: dict[tuple[int, str], int] = {}
    for table in tx.tables((template_id, user_id.encode()) for template_id, user_id in set(pairs)):
        rows = await tx.fetch_all(COUNT_RECEIPTS % table)
        receipts.update(((row["template_id"], row["user_id"].decode()), row["receipts"]) for row in rows)
    return receipts


async def insert_coupons(tx: Tx, given: Sequence[tuple[Issue, Sequence[tuple[str, int]]]]) -> None:
    """Gives coupons to (user, coupon id): UNUSED, of version 1. What all have in common is sent once."""
    if len(given) == 1:
        own, common = "", tx.text("%s, %s, %s, %s, %s", given[0][0].values())
    else:
        own, common = f", {_ISSUE}", b""
    head = f"INSERT INTO user_coupons (user_id, id, {_ISSUE}, status, version) WITH v (user_id, id{own}) AS (VALUES "
    tail = b") SELECT v.*, %b1, 1 FROM v" % (common + b", " if common else b"")
    rows = (
        (user_id.encode(), coupon_id, *(issue.values() if own else ()))
        for issue, owners in given
        for user_id, coupon_id in owners
    )
    for table in tx.tables(rows):
        await tx.execute(head.encode() + table + tail)


async def revoke(tx: Tx, user_id: str, coupon_id: int) -> int:
    """Revokes a coupon that is neither used nor locked; the number of rows changed."""
    return await tx.execute(REVOKE, (user_id.encode(), coupon_id))
