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
    b"WITH v (user_id) AS (VALUES %b) SELECT c.user_id, COUNT(*) AS receipts FROM v STRAIGHT_JOIN user_coupons c"
    b" FORCE INDEX (by_template_user) ON c.template_id = %d AND c.user_id = v.user_id WHERE c.source IN (1, 2)"
    b" GROUP BY c.user_id"
)
# What the coupons have in common comes once.
_INSERT: Final = (
    b"INSERT INTO user_coupons (user_id, id, template_id, source, valid_from, valid_until, received_at, status,"
    b" version) WITH v (user_id, id) AS (VALUES %b) SELECT v.*, %b, 1, 1 FROM v"
)
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


async def count_receipts(tx: Tx, template_id: int, user_ids: Iterable[str]) -> dict[str, int]:
    """How many coupons of the template each user received or was granted, whatever became of them."""
    receipts: dict[str, int] = {}
    for users in tx.tables((user_id.encode(),) for user_id in set(user_ids)):
        rows = await tx.fetch_all(COUNT_RECEIPTS % (users, template_id))
        receipts.update((row["user_id"].decode(), row["receipts"]) for row in rows)
    return receipts


async def insert_coupons(tx: Tx, issue: Issue, owners: Iterable[tuple[str, int]]) -> None:
    """Gives coupons to (user, coupon id): UNUSED, of version 1."""
    common = (issue.template_id, issue.source, issue.valid_from, issue.valid_until, issue.received_at)
    text = tx.text("%s, %s, %s, %s, %s", common)
    for rows in tx.tables((user_id.encode(), coupon_id) for user_id, coupon_id in owners):
        await tx.execute(_INSERT % (rows, text))


async def revoke(tx: Tx, user_id: str, coupon_id: int) -> int:
    """Revokes a coupon that is neither used nor locked; the number of rows changed."""
    return await tx.execute(REVOKE, (user_id.encode(), coupon_id))
