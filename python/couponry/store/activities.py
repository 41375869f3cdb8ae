"""The statements of activities: the cached rows, and the stock that they take out of their template.

Locks go progress row, activity, template counters, in this order. Columns that a sale moves are in store/flash_sale.py.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from couponry.store.mysql import MySQL, Row, Tx

__all__ = [
    "ENDING",
    "OPEN",
    "SETTLED",
    "insert_activity",
    "list_active",
    "list_activities",
    "lock_activity",
    "lock_template",
    "move_reserved",
    "select_activities",
    "select_by_key",
    "select_configuration",
    "select_ids",
    "select_ids_by_key",
    "select_unsettled",
    "select_unsettled_of_template",
    "set_state",
    "take_id",
    "update_activity",
]

_COLUMNS: Final = (
    "id, activity_key, spec_fingerprint, template_id, name, metadata, stock, per_user_limit, start_at, end_at, ack,"
    " buckets, state, paused, version, created_at, updated_at"
)
# Numbers of couponry.v1.ActivityState: SCHEDULED stands for every activity that nobody has ended.
OPEN: Final = 1
ENDING: Final = 4
SETTLED: Final = 5

SELECT_ACTIVITIES: Final = f"SELECT {_COLUMNS} FROM activities WHERE id IN %s ORDER BY id"
LOCK_ACTIVITY: Final = f"SELECT {_COLUMNS}, UTC_TIMESTAMP(3) AS now FROM activities WHERE id = %s FOR UPDATE"
SELECT_BY_KEY: Final = f"SELECT {_COLUMNS} FROM activities WHERE activity_key = %s"
SELECT_IDS_BY_KEY: Final = "SELECT activity_key, id, version FROM activities WHERE activity_key IN %s"
LIST_ALL: Final = f"SELECT {_COLUMNS} FROM activities WHERE id < %s ORDER BY id DESC LIMIT %s"
LIST_BY_TEMPLATE: Final = (
    f"SELECT {_COLUMNS} FROM activities WHERE template_id = %s AND id < %s ORDER BY id DESC LIMIT %s"
)
LIST_ACTIVE: Final = (
    f"SELECT {_COLUMNS} FROM activities WHERE state = {OPEN} AND end_at > %s AND start_at <= %s AND paused = 0"
    " AND (end_at > %s OR id > %s) AND end_at >= %s ORDER BY end_at, id LIMIT %s"
)
# Of an activity that has not begun nothing is to be done yet; a minute ahead, because clocks differ.
SELECT_UNSETTLED: Final = (
    "SELECT p.activity_id, p.bucket, a.state, a.buckets FROM activities a"
    " JOIN activity_progress p ON p.activity_id = a.id"
    f" WHERE a.state IN ({OPEN}, {ENDING})"
    f" AND (a.state = {ENDING} OR a.start_at < UTC_TIMESTAMP(3) + INTERVAL 60 SECOND)"
    " ORDER BY a.state, a.end_at, a.id, p.bucket"
)
SELECT_CONFIGURATION: Final = (
    "SELECT a.id, a.template_id, a.stock, a.buckets, a.state, a.start_at, a.end_at, a.per_user_limit, a.paused,"
    " a.version, t.state AS template_state, t.version AS template_version, t.valid_from, t.valid_until, t.valid_days,"
    " UTC_TIMESTAMP(3) AS now FROM activities a JOIN templates t ON t.id = a.template_id WHERE a.id = %s"
)
SELECT_UNSETTLED_OF_TEMPLATE: Final = (
    f"SELECT id FROM activities WHERE template_id = %s AND state IN ({OPEN}, {ENDING}) ORDER BY id"
)
SELECT_IDS: Final = f"SELECT id FROM activities WHERE state IN ({OPEN}, {ENDING}) ORDER BY id"
SELECT_ALL_IDS: Final = "SELECT id FROM activities WHERE id > 0 ORDER BY id"
TAKE_ID: Final = "UPDATE id_blocks SET next_id = LAST_INSERT_ID(next_id) + 1 WHERE name = 'activity'"
INSERT_ACTIVITY: Final = (
    "INSERT INTO activities (id, activity_key, spec_fingerprint, template_id, name, metadata, stock, per_user_limit,"
    " start_at, end_at, ack, buckets, state, paused, version, created_at, updated_at)"
    f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {OPEN}, 0, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"
)
INSERT_PROGRESS: Final = "INSERT INTO activity_progress (activity_id, bucket, total, highest_limit, marked_at) VALUES"
INSERT_PROGRESS_ROW: Final = "(%s, %s, %s, %s, UTC_TIMESTAMP(3))"
UPDATE_ACTIVITY: Final = (
    "UPDATE activities SET name = %s, metadata = %s, per_user_limit = %s, start_at = %s, end_at = %s, paused = %s,"
    " version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = %s"
)
SET_STATE: Final = (
    "UPDATE activities SET state = %s, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = %s"
)
LOCK_TEMPLATE_COUNTERS: Final = "SELECT issued, reserved FROM template_counters WHERE template_id = %s FOR UPDATE"
SELECT_TEMPLATE: Final = "SELECT total, valid_until, UTC_TIMESTAMP(3) AS now FROM templates WHERE id = %s"
MOVE_RESERVED: Final = (
    "UPDATE template_counters SET issued = issued + %s, reserved = reserved + %s WHERE template_id = %s"
)


async def select_activities(source: Tx | MySQL, ids: Sequence[int]) -> list[Row]:
    """The activities of these ids that exist, in id order."""
    return await source.fetch_all(SELECT_ACTIVITIES, (tuple(ids),)) if ids else []


async def lock_activity(tx: Tx, activity_id: int) -> Row | None:
    """One activity, locked, with the database's clock as `now`."""
    return await tx.fetch_one(LOCK_ACTIVITY, (activity_id,))


async def select_by_key(source: Tx | MySQL, key: str) -> Row | None:
    """The activity of the shop's key."""
    return await source.fetch_one(SELECT_BY_KEY, (key.encode(),))


async def select_ids_by_key(mysql: MySQL, keys: Sequence[str]) -> list[Row]:
    """(activity_key, id, version) of the keys that exist."""
    return await mysql.fetch_all(SELECT_IDS_BY_KEY, (tuple(key.encode() for key in keys),)) if keys else []


async def list_activities(mysql: MySQL, *, below_id: int, template_id: int, limit: int) -> list[Row]:
    """The newest `limit` activities below an id; template 0 is any."""
    if template_id:
        return await mysql.fetch_all(LIST_BY_TEMPLATE, (template_id, below_id, limit))
    return await mysql.fetch_all(LIST_ALL, (below_id, limit))


async def list_active(mysql: MySQL, *, now: datetime, after_end: datetime, after_id: int, limit: int) -> list[Row]:
    """`limit` activities that run at `now`, by (end, id), behind the given pair."""
    return await mysql.fetch_all(LIST_ACTIVE, (now, now, after_end, after_id, after_end, limit))


async def select_unsettled(mysql: MySQL) -> list[Row]:
    """(activity_id, bucket, state, buckets) of all that has begun, or begins within a minute, and is not settled."""
    return await mysql.fetch_all(SELECT_UNSETTLED)


async def select_unsettled_of_template(mysql: MySQL, template_id: int) -> list[int]:
    """The ids of the activities of a template that are not settled."""
    return [row["id"] for row in await mysql.fetch_all(SELECT_UNSETTLED_OF_TEMPLATE, (template_id,))]


async def select_ids(mysql: MySQL, *, settled: bool) -> list[int]:
    """The ids of activities that are not settled; with `settled` of all."""
    return [row["id"] for row in await mysql.fetch_all(SELECT_ALL_IDS if settled else SELECT_IDS)]


async def select_configuration(source: Tx | MySQL, activity_id: int) -> Row | None:
    """What Redis and a new coupon need to know of an activity and its template."""
    return await source.fetch_one(SELECT_CONFIGURATION, (activity_id,))


async def take_id(tx: Tx) -> int:
    """The next activity id. In the caller's transaction: ids are few (2^20), so a refused activity must not use one."""
    return await tx.insert_id(TAKE_ID)


async def insert_activity(tx: Tx, columns: Sequence[Any], *, totals: Sequence[int], limit: int) -> None:
    """A new activity with a progress row for each bucket, whose stock `totals` says; `columns` from id to buckets.

    Raises DuplicateKey `by_key`.
    """
    await tx.execute(INSERT_ACTIVITY, columns)
    await tx.insert_rows(
        INSERT_PROGRESS,
        INSERT_PROGRESS_ROW,
        [(columns[0], bucket, total, limit) for bucket, total in enumerate(totals)],
    )


async def update_activity(tx: Tx, activity_id: int, columns: Sequence[Any]) -> None:
    """Writes name, metadata, per_user_limit, start_at, end_at, paused."""
    await tx.execute(UPDATE_ACTIVITY, (*columns, activity_id))


async def set_state(tx: Tx, activity_id: int, state: int) -> None:
    """ENDING or SETTLED."""
    await tx.execute(SET_STATE, (state, activity_id))


async def lock_template(tx: Tx, template_id: int) -> Row | None:
    """issued, reserved (locked), total, valid_until and the database's `now`; None where there is no such template.

    Whoever changes a template holds its counters, so the template's own row needs no lock.
    """
    counters = await tx.fetch_one(LOCK_TEMPLATE_COUNTERS, (template_id,))
    if counters is None:
        return None
    template = await tx.fetch_one(SELECT_TEMPLATE, (template_id,))
    return None if template is None else {**counters, **template}


async def move_reserved(tx: Tx, template_id: int, *, issued: int = 0, reserved: int = 0) -> None:
    """Adds to the template's counters."""
    if issued or reserved:
        await tx.execute(MOVE_RESERVED, (issued, reserved, template_id))
