"""The statements of a running sale: progress, wins, adjustments.

Whoever writes any of them holds the row of activity_progress; the statements that lock it come first in a transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from couponry._core import Wins
from couponry.store.mysql import MAX_STATEMENT_BYTES, MySQL, Row, Tx
from couponry.v1 import coupon_pb2, flash_sale_pb2

__all__ = [
    "APPLIED",
    "ARRIVAL",
    "CANCEL",
    "CANCELLED",
    "END",
    "FAILED",
    "MOVE",
    "PENDING",
    "REFUSED",
    "STOCK",
    "TAKE",
    "TRIED",
    "add_total",
    "any_pending",
    "any_pending_change",
    "any_tried",
    "cancel_record",
    "count_coupons",
    "count_gaps",
    "count_records",
    "count_twice",
    "end_state",
    "find_adjustment",
    "finish_adjustment",
    "finish_change",
    "first_pending",
    "insert_adjustment",
    "insert_change",
    "insert_coupons",
    "insert_records",
    "last_finished",
    "list_records",
    "lock_all_progress",
    "lock_progress",
    "lock_win",
    "most_wins",
    "move_cursor",
    "new_epoch",
    "pending_increases",
    "raise_limit",
    "select_adjustment",
    "select_all_pending",
    "select_all_progress",
    "select_change",
    "select_held",
    "select_kept",
    "select_known",
    "select_parts",
    "select_pending_changes",
    "select_pending_changes_of",
    "select_persisted",
    "select_progress",
    "select_win",
    "select_winners",
    "set_mark",
    "sum_adjusted",
    "sum_reserved",
    "try_lock_progress",
]

TRIED: Final = flash_sale_pb2.RECORD_STATE_TRIED
CANCELLED: Final = flash_sale_pb2.RECORD_STATE_CANCELLED
FAILED: Final = flash_sale_pb2.RECORD_STATE_FAILED
PENDING: Final = 1
APPLIED: Final = 2
REFUSED: Final = 3
# Kinds of adjustments: of one bucket's stock, the end, a cancelled win, what goes to another bucket, what comes from
# one (or back from a decrease that was refused), and a bucket's part in a decrease of all.
STOCK: Final = 1
END: Final = 2
CANCEL: Final = 3
MOVE: Final = 4
ARRIVAL: Final = 5
TAKE: Final = 6

_PROGRESS: Final = (
    "activity_id, bucket, epoch, number, base, total, sold, failed, returned, highest_limit, mark_epoch, mark_number,"
    " marked_at, UTC_TIMESTAMP(3) AS now"
)
SELECT_PROGRESS: Final = f"SELECT {_PROGRESS} FROM activity_progress WHERE activity_id = %s AND bucket = %s"
LOCK_PROGRESS: Final = f"{SELECT_PROGRESS} FOR UPDATE"
SELECT_ALL_PROGRESS: Final = f"SELECT {_PROGRESS} FROM activity_progress WHERE activity_id = %s ORDER BY bucket"
LOCK_ALL_PROGRESS: Final = f"{SELECT_ALL_PROGRESS} FOR UPDATE"
TRY_LOCK_PROGRESS: Final = f"{SELECT_PROGRESS} FOR UPDATE SKIP LOCKED"
MOVE_CURSOR: Final = (
    "UPDATE activity_progress SET number = GREATEST(number, %s), sold = sold + %s, failed = failed + %s"
    " WHERE activity_id = %s AND bucket = %s"
)
NEW_EPOCH: Final = "UPDATE activity_progress SET epoch = %s, base = %s WHERE activity_id = %s AND bucket = %s"
ADD_TOTAL: Final = (
    "UPDATE activity_progress SET total = total + %s, returned = returned + %s WHERE activity_id = %s AND bucket = %s"
)
SUBTRACT_SOLD: Final = "UPDATE activity_progress SET sold = sold - 1 WHERE activity_id = %s AND bucket = %s"
RAISE_LIMIT: Final = "UPDATE activity_progress SET highest_limit = GREATEST(highest_limit, %s) WHERE activity_id = %s"
SET_MARK: Final = (
    "UPDATE activity_progress SET mark_epoch = epoch, mark_number = GREATEST(number, base),"
    " marked_at = UTC_TIMESTAMP(3) WHERE activity_id = %s AND bucket = %s"
)

# Wins of users, each looked for by the claim index. With a list of users the server would at times rather read all wins
# of the activity.
SELECT_HELD: Final = (
    b"WITH v (user_id) AS (VALUES %b) SELECT h.user_id, h.request_hash FROM v STRAIGHT_JOIN user_coupons h"
    b" FORCE INDEX (by_claim) ON h.activity_id = %d AND h.user_id = v.user_id"
)
SELECT_HELD_RECORDS: Final = (
    b"WITH v (user_id) AS (VALUES %%b) SELECT h.user_id, h.request_hash FROM v STRAIGHT_JOIN flash_sale_records h"
    b" FORCE INDEX (by_claim) ON h.activity_id = %%d AND h.user_id = v.user_id WHERE h.state = %d" % TRIED
)
SELECT_ANY_RECORD: Final = "SELECT 1 FROM flash_sale_records WHERE activity_id = %s LIMIT 1"
SELECT_KNOWN: Final = (
    "SELECT id, user_id, request_hash FROM user_coupons WHERE id IN %s"
    " UNION ALL SELECT coupon_id, user_id, request_hash FROM flash_sale_records WHERE coupon_id IN %s"
)
SELECT_PERSISTED: Final = (
    f"SELECT coupon_id AS id, user_id, state = {FAILED} AS failed FROM flash_sale_records WHERE coupon_id IN %s"
    " UNION ALL SELECT id, user_id, 0 FROM user_coupons WHERE id IN %s"
)
SELECT_WINNERS: Final = (
    "SELECT user_id, request_hash, number, received_at AS claimed_at FROM user_coupons"
    " WHERE activity_id = %s AND bucket = %s AND user_id > %s ORDER BY user_id LIMIT %s"
)
SELECT_KEPT: Final = (
    "SELECT user_id, request_hash, number, claimed_at, state FROM flash_sale_records"
    f" WHERE activity_id = %s AND bucket = %s AND state IN ({TRIED}, {CANCELLED})"
)
SELECT_WIN: Final = (
    "SELECT id AS coupon_id, 0 AS record FROM user_coupons"
    " WHERE activity_id = %s AND user_id = %s AND request_hash = %s"
    " UNION ALL SELECT coupon_id, state FROM flash_sale_records"
    " WHERE activity_id = %s AND user_id = %s AND request_hash = %s"
    " ORDER BY record LIMIT 1"
)
_RECORD: Final = "activity_id, coupon_id, state, claimed_at"
_COUPON_RECORD: Final = (
    f"activity_id, id AS coupon_id, {flash_sale_pb2.RECORD_STATE_WON} AS state, received_at AS claimed_at"
)
LIST_RECORDS: Final = (
    f"(SELECT {_COUPON_RECORD} FROM user_coupons WHERE user_id = %s AND id >= %s AND id < %s ORDER BY id DESC LIMIT %s)"
    f" UNION ALL (SELECT {_RECORD} FROM flash_sale_records WHERE user_id = %s AND coupon_id >= %s AND coupon_id < %s"
    " ORDER BY coupon_id DESC LIMIT %s) ORDER BY coupon_id DESC LIMIT %s"
)
# What differs from win to win comes as rows, the rest once: most of what an INSERT costs the server is to read values.
_WIN: Final = "user_id, id, number, epoch, request_hash"
INSERT_RECORDS: Final = (
    "INSERT IGNORE INTO flash_sale_records (activity_id, bucket, epoch, number, user_id, coupon_id, request_hash,"
    " state, claimed_at) VALUES"
)
INSERT_RECORDS_ROW: Final = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
LOCK_WIN: Final = (
    "SELECT epoch, number, user_id, coupon_id, request_hash, state, claimed_at FROM flash_sale_records"
    " WHERE activity_id = %s AND user_id = %s AND request_hash = %s AND bucket = %s FOR UPDATE"
)
CANCEL_RECORD: Final = (
    f"UPDATE flash_sale_records SET state = {CANCELLED} WHERE activity_id = %s AND bucket = %s AND epoch = %s"
    f" AND number = %s AND state = {TRIED}"
)
SELECT_ANY_TRIED: Final = (
    f"SELECT 1 FROM flash_sale_records WHERE activity_id = %s AND bucket = %s AND state = {TRIED} LIMIT 1"
)

# Of coupons the audit reads every row of an activity, by its index, and keeps those of the bucket.
COUNT_COUPONS: Final = "SELECT COUNT(*) AS held FROM user_coupons WHERE activity_id = %s AND bucket = %s"
MOST_WINS: Final = (
    "SELECT COALESCE(MAX(u.wins), 0) AS most FROM (SELECT COUNT(*) AS wins FROM"
    " (SELECT user_id FROM user_coupons WHERE activity_id = %s AND bucket = %s"
    f" UNION ALL SELECT user_id FROM flash_sale_records WHERE activity_id = %s AND bucket = %s AND state = {TRIED})"
    " AS w GROUP BY w.user_id) AS u"
)
COUNT_TWICE: Final = (
    "SELECT COUNT(*) AS twice FROM (SELECT w.number FROM"
    " (SELECT number FROM user_coupons WHERE activity_id = %s AND bucket = %s"
    " UNION ALL SELECT number FROM flash_sale_records"
    f" WHERE activity_id = %s AND bucket = %s AND state IN ({TRIED}, {CANCELLED})) AS w"
    " GROUP BY w.number HAVING COUNT(*) > 1) AS t"
)
COUNT_RECORDS: Final = (
    f"SELECT COALESCE(SUM(state = {TRIED}), 0) AS tried, COALESCE(SUM(state = {FAILED}), 0) AS failed,"
    f" COALESCE(SUM(state = {CANCELLED}), 0) AS cancelled"
    " FROM flash_sale_records WHERE activity_id = %s AND bucket = %s"
)
COUNT_GAPS: Final = (
    "SELECT COALESCE(SUM(e.highest - e.lowest + 1 - e.wins), 0) AS gaps FROM"
    " (SELECT MAX(n.number) AS highest, MIN(n.number) AS lowest, COUNT(*) AS wins FROM"
    " (SELECT epoch, number FROM user_coupons WHERE activity_id = %s AND bucket = %s AND epoch > 0"
    " UNION ALL SELECT epoch, number FROM flash_sale_records WHERE activity_id = %s AND bucket = %s AND epoch > 0)"
    " AS n GROUP BY n.epoch) AS e"
)
SUM_ADJUSTED: Final = (
    f"SELECT COALESCE(SUM(IF(state = {PENDING}, GREATEST(delta, 0), applied)), 0) AS adjusted FROM adjustments"
    f" WHERE activity_id = %s AND bucket = %s AND kind IN ({STOCK}, {MOVE}, {ARRIVAL}, {TAKE})"
)
SUM_RESERVED: Final = (
    "SELECT (SELECT COALESCE(SUM(p.total - p.sold), 0) FROM activities a"
    " JOIN activity_progress p ON p.activity_id = a.id WHERE a.template_id = %s)"
    " + (SELECT COUNT(*) FROM activities a"
    f" JOIN flash_sale_records r ON r.activity_id = a.id AND r.state = {TRIED} WHERE a.template_id = %s) AS stock"
)

_ADJUSTMENT: Final = (
    "activity_id, bucket, place, nonce, adjustment_id, kind, delta, state, applied, left_after, total_after, target,"
    " win_number, user_id, request_hash, claimed_at, part_of"
)
SELECT_ADJUSTMENT: Final = (
    f"SELECT {_ADJUSTMENT} FROM adjustments WHERE activity_id = %s AND bucket = %s AND place = %s"
)
FIND_ADJUSTMENT: Final = f"SELECT {_ADJUSTMENT} FROM adjustments WHERE activity_id = %s AND adjustment_id = %s"
FIRST_PENDING: Final = (
    f"SELECT {_ADJUSTMENT} FROM adjustments WHERE state = {PENDING} AND activity_id = %s AND bucket = %s"
    " ORDER BY place LIMIT 1"
)
LAST_FINISHED: Final = (
    f"SELECT {_ADJUSTMENT} FROM adjustments WHERE activity_id = %s AND bucket = %s AND state <> {PENDING}"
    " ORDER BY place DESC LIMIT 1"
)
LAST_PLACE: Final = "SELECT MAX(place) AS place FROM adjustments WHERE activity_id = %s AND bucket = %s"
PENDING_INCREASES: Final = (
    f"SELECT COALESCE(SUM(IF(kind = {CANCEL}, 0, delta)), 0) AS delta, COALESCE(SUM(kind = {CANCEL}), 0) AS cancelled"
    f" FROM adjustments WHERE state = {PENDING} AND activity_id = %s AND bucket = %s AND delta > 0"
)
ANY_PENDING: Final = f"SELECT 1 FROM adjustments WHERE state = {PENDING} AND activity_id = %s LIMIT 1"
FIND_END: Final = (
    f"SELECT state FROM adjustments WHERE activity_id = %s AND bucket = %s AND kind = {END} ORDER BY place DESC LIMIT 1"
)
ALL_PENDING: Final = f"SELECT DISTINCT activity_id, bucket FROM adjustments WHERE state = {PENDING}"
INSERT_ADJUSTMENT: Final = (
    "INSERT INTO adjustments (activity_id, bucket, place, nonce, adjustment_id, kind, delta, target, win_number,"
    " user_id, request_hash, claimed_at, part_of, state, created_at)"
    f" VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, {PENDING}, UTC_TIMESTAMP(3))"
)
FINISH_ADJUSTMENT: Final = (
    "UPDATE adjustments SET state = %s, applied = %s, left_after = %s, total_after = %s, finished_at = UTC_TIMESTAMP(3)"
    f" WHERE activity_id = %s AND bucket = %s AND place = %s AND state = {PENDING}"
)

_CHANGE: Final = "activity_id, adjustment_id, delta, state, left_after, total_after"
SELECT_CHANGE: Final = f"SELECT {_CHANGE} FROM stock_changes WHERE activity_id = %s AND adjustment_id = %s"
SELECT_PENDING_CHANGES: Final = (
    f"SELECT activity_id, adjustment_id FROM stock_changes WHERE state = {PENDING} ORDER BY activity_id"
)
SELECT_PENDING_CHANGES_OF: Final = (
    f"SELECT adjustment_id FROM stock_changes WHERE state = {PENDING} AND activity_id = %s ORDER BY created_at"
)
SELECT_PARTS: Final = f"SELECT {_ADJUSTMENT} FROM adjustments WHERE activity_id = %s AND part_of = %s"
INSERT_CHANGE: Final = (
    "INSERT INTO stock_changes (activity_id, adjustment_id, delta, state, created_at)"
    f" VALUES (%s, %s, %s, {PENDING}, UTC_TIMESTAMP(3))"
)
FINISH_CHANGE: Final = (
    "UPDATE stock_changes SET state = %s, left_after = %s, total_after = %s, finished_at = UTC_TIMESTAMP(3)"
    f" WHERE activity_id = %s AND adjustment_id = %s AND state = {PENDING}"
)


async def select_progress(source: Tx | MySQL, place: tuple[int, int]) -> Row | None:
    """The progress of a bucket, unlocked; `now` is the database's clock."""
    return await source.fetch_one(SELECT_PROGRESS, place)


async def lock_progress(tx: Tx, place: tuple[int, int]) -> Row | None:
    """The progress of a bucket, locked; waits for whoever holds it."""
    return await tx.fetch_one(LOCK_PROGRESS, place)


async def select_all_progress(source: Tx | MySQL, activity_id: int) -> list[Row]:
    """The progress of all buckets in their order, unlocked."""
    return await source.fetch_all(SELECT_ALL_PROGRESS, (activity_id,))


async def lock_all_progress(tx: Tx, activity_id: int) -> list[Row]:
    """The progress of all buckets in their order, locked."""
    return await tx.fetch_all(LOCK_ALL_PROGRESS, (activity_id,))


async def try_lock_progress(tx: Tx, place: tuple[int, int]) -> Row | None:
    """The progress of a bucket, locked; None where somebody else holds it."""
    return await tx.fetch_one(TRY_LOCK_PROGRESS, place)


async def move_cursor(tx: Tx, place: tuple[int, int], *, number: int, sold: int, failed: int) -> None:
    """The cursor goes to `number` (never back); what became coupons and what failed is counted."""
    await tx.execute(MOVE_CURSOR, (number, sold, failed, *place))


async def new_epoch(tx: Tx, place: tuple[int, int], *, epoch: int, base: int) -> None:
    """What a fence pass writes."""
    await tx.execute(NEW_EPOCH, (epoch, base, *place))


async def add_total(tx: Tx, place: tuple[int, int], delta: int, *, returned: int = 0) -> None:
    """Changes the stock; `returned` counts what the end gave back to the template."""
    await tx.execute(ADD_TOTAL, (delta, returned, *place))


async def raise_limit(tx: Tx, activity_id: int, limit: int) -> None:
    """The persister refuses nothing that a limit once allowed."""
    await tx.execute(RAISE_LIMIT, (limit, activity_id))


async def set_mark(tx: Tx, place: tuple[int, int]) -> None:
    """Notes how far was committed by now, so that the outbox may be trimmed to here later."""
    await tx.execute(SET_MARK, place)


async def select_held(tx: Tx, activity_id: int, wins: Wins) -> list[tuple[bytes, bytes]]:
    """(user_id, request_hash) of the wins that the users of a batch have in MySQL."""
    statements = [SELECT_HELD]
    if await tx.fetch_one(SELECT_ANY_RECORD, (activity_id,)) is not None:
        statements.append(SELECT_HELD_RECORDS)
    held = []
    for users in wins.users(tx.row_lead, most=MAX_STATEMENT_BYTES):
        for statement in statements:
            rows = await tx.fetch_all(statement % (users, activity_id))
            held += [(row["user_id"], row["request_hash"]) for row in rows]
    return held


async def select_known(tx: Tx, coupon_ids: Sequence[int]) -> list[Row]:
    """(id, user_id, request_hash) of the wins that MySQL has in any state."""
    ids = tuple(coupon_ids)
    return await tx.fetch_all(SELECT_KNOWN, (ids, ids)) if ids else []


async def select_persisted(mysql: MySQL, coupon_ids: Sequence[int]) -> dict[tuple[int, bytes], bool]:
    """Of the wins (coupon id, user) that MySQL has: whether they failed."""
    ids = tuple(coupon_ids)
    rows = await mysql.fetch_all(SELECT_PERSISTED, (ids, ids)) if ids else []
    # A coupon comes after a record, so it is what stays.
    return {(row["id"], row["user_id"]): bool(row["failed"]) for row in rows}


async def select_winners(tx: Tx, place: tuple[int, int], *, after: bytes, limit: int) -> list[Row]:
    """Up to `limit` wins that are coupons, by user, behind a user."""
    return await tx.fetch_all(SELECT_WINNERS, (*place, after, limit))


async def select_kept(tx: Tx, place: tuple[int, int]) -> list[Row]:
    """The wins that are no coupons and that Redis must know: tried and cancelled ones."""
    return await tx.fetch_all(SELECT_KEPT, place)


async def select_win(source: Tx | MySQL, activity_id: int, user_id: bytes, request_hash: bytes) -> Row | None:
    """coupon_id and record (0 for a coupon, else its state) of one request, a coupon first."""
    key = (activity_id, user_id, request_hash)
    return await source.fetch_one(SELECT_WIN, key * 2)


async def list_records(mysql: MySQL, user_id: bytes, *, least_id: int, below_id: int, limit: int) -> list[Row]:
    """A user's wins in MySQL, newest first within [least_id, below_id)."""
    part = (user_id, least_id, below_id, limit)
    return await mysql.fetch_all(LIST_RECORDS, (*part, *part, limit))


async def insert_coupons(tx: Tx, wins: Wins, least_id: int, by_time: Mapping[int, Row], common: Row) -> None:
    """One row a win. `least_id`: the id of number 0; columns that follow from the time of a claim, and common ones."""
    timed = ", ".join(next(iter(by_time.values())))
    common = {
        **common,
        "source": coupon_pb2.COUPON_SOURCE_FLASH_SALE,
        "status": coupon_pb2.COUPON_STATE_UNUSED,
        "version": 1,
    }
    head = f"INSERT INTO user_coupons ({_WIN}, {timed}, {', '.join(common)}) WITH v ({_WIN}, {timed}) AS (VALUES "
    tail = tx.text(f") SELECT v.*, {', '.join(['%s'] * len(common))} FROM v", tuple(common.values()))
    texts = {ms: tx.text(", ".join(["%s"] * len(row)), tuple(row.values())) for ms, row in by_time.items()}
    for rows in wins.rows(tx.row_lead, least_id, texts, most=MAX_STATEMENT_BYTES):
        await tx.execute(head.encode() + rows + tail)


async def insert_records(tx: Tx, rows: Sequence[Sequence[Any]]) -> int:
    """Wins that are no coupons: activity, bucket, epoch, number, user, coupon id, request hash, state, claim time."""
    return await tx.insert_rows(INSERT_RECORDS, INSERT_RECORDS_ROW, rows)


async def any_tried(tx: Tx, place: tuple[int, int]) -> bool:
    """Whether a transaction still holds a win."""
    return await tx.fetch_one(SELECT_ANY_TRIED, place) is not None


async def count_coupons(tx: Tx, place: tuple[int, int]) -> Row:
    """held: wins that are coupons."""
    return await _only(tx, COUNT_COUPONS, place)


async def most_wins(tx: Tx, place: tuple[int, int]) -> int:
    """The most wins of one user: coupons and what a transaction holds."""
    return int((await _only(tx, MOST_WINS, (*place, *place)))["most"])


async def count_twice(tx: Tx, place: tuple[int, int]) -> int:
    """Numbers that more than one win has; those of wins that failed do not count."""
    return int((await _only(tx, COUNT_TWICE, (*place, *place)))["twice"])


async def sum_adjusted(tx: Tx, place: tuple[int, int]) -> int:
    """What adjustments have added to the total, those among them that are written and not applied."""
    return int((await _only(tx, SUM_ADJUSTED, place))["adjusted"])


async def count_records(tx: Tx, place: tuple[int, int]) -> Row:
    """tried, failed, cancelled."""
    return await _only(tx, COUNT_RECORDS, place)


async def count_gaps(tx: Tx, place: tuple[int, int]) -> int:
    """Numbers that are missing within an epoch, between its first and its last in MySQL."""
    return int((await _only(tx, COUNT_GAPS, (*place, *place)))["gaps"])


async def sum_reserved(tx: Tx, template_id: int) -> int:
    """What the activities of a template hold: unsold stock, and wins that a transaction has not finished."""
    return int((await _only(tx, SUM_RESERVED, (template_id, template_id)))["stock"])


async def _only(tx: Tx, sql: str, args: Sequence[Any]) -> Row:
    row = await tx.fetch_one(sql, args)
    if row is None:
        raise LookupError("an aggregate has one row")
    return row


async def select_adjustment(tx: Tx | MySQL, place: tuple[int, int], number: int) -> Row | None:
    """The adjustment at a place of the activity's order."""
    return await tx.fetch_one(SELECT_ADJUSTMENT, (*place, number))


async def find_adjustment(tx: Tx | MySQL, activity_id: int, adjustment_id: str) -> Row | None:
    """The adjustment of the caller's id."""
    return await tx.fetch_one(FIND_ADJUSTMENT, (activity_id, adjustment_id.encode()))


async def first_pending(tx: Tx | MySQL, place: tuple[int, int]) -> Row | None:
    """The next adjustment to apply."""
    return await tx.fetch_one(FIRST_PENDING, place)


async def last_finished(tx: Tx, place: tuple[int, int]) -> Row | None:
    """The last adjustment that was applied or refused."""
    return await tx.fetch_one(LAST_FINISHED, place)


async def pending_increases(tx: Tx, place: tuple[int, int]) -> tuple[int, int]:
    """What `total` holds already and Redis does not; how many cancelled wins `sold` lacks whose units Redis has yet to
    give back.
    """
    row = await _only(tx, PENDING_INCREASES, place)
    return int(row["delta"]), int(row["cancelled"])


async def any_pending(tx: Tx, activity_id: int) -> bool:
    """Whether an adjustment of any bucket is still to be applied."""
    return await tx.fetch_one(ANY_PENDING, (activity_id,)) is not None


async def end_state(tx: Tx | MySQL, place: tuple[int, int]) -> int | None:
    """The state of the adjustment that ends the activity, or None where there is none."""
    row = await tx.fetch_one(FIND_END, place)
    return None if row is None else int(row["state"])


async def select_all_pending(mysql: MySQL) -> list[Row]:
    """(activity_id, bucket) of everything that has an adjustment to apply."""
    return await mysql.fetch_all(ALL_PENDING)


async def insert_adjustment(
    tx: Tx,
    place: tuple[int, int],
    *,
    nonce: bytes,
    kind: int,
    delta: int,
    adjustment_id: str | None = None,
    target: int | None = None,
    win: Row | None = None,
    part_of: bytes | None = None,
) -> int:
    """A PENDING adjustment at the end of the bucket's order; its place. `win`: the row of the win that is cancelled.

    Raises DuplicateKey `by_win` where that win was cancelled before.
    """
    row = await tx.fetch_one(LAST_PLACE, place)
    number = 1 + (int(row["place"] or 0) if row else 0)
    encoded = None if adjustment_id is None else adjustment_id.encode()
    of_win = tuple(win[name] if win else None for name in ("number", "user_id", "request_hash", "claimed_at"))
    await tx.execute(INSERT_ADJUSTMENT, (*place, number, nonce, encoded, kind, delta, target, *of_win, part_of))
    return number


async def lock_win(tx: Tx, place: tuple[int, int], user_id: bytes, request_hash: bytes) -> list[Row]:
    """The records of one request, locked; a win that is a coupon has none."""
    return await tx.fetch_all(LOCK_WIN, (place[0], user_id, request_hash, place[1]))


async def cancel_record(tx: Tx, place: tuple[int, int], win: Row) -> None:
    """A win that a transaction held is cancelled, and sold no more."""
    if await tx.execute(CANCEL_RECORD, (*place, win["epoch"], win["number"])) != 1:
        raise LookupError("the record is not TRIED")
    await tx.execute(SUBTRACT_SOLD, place)


async def finish_adjustment(
    tx: Tx, place: tuple[int, int], number: int, *, state: int, applied: int, left: int, total: int
) -> None:
    """APPLIED or REFUSED, with what Redis answered."""
    await tx.execute(FINISH_ADJUSTMENT, (state, applied, left, total, *place, number))


async def select_change(tx: Tx, activity_id: int, adjustment_id: bytes) -> Row | None:
    """A change of the stock of several buckets."""
    return await tx.fetch_one(SELECT_CHANGE, (activity_id, adjustment_id))


async def select_parts(tx: Tx, activity_id: int, adjustment_id: bytes) -> list[Row]:
    """The adjustments that a change consists of so far."""
    return await tx.fetch_all(SELECT_PARTS, (activity_id, adjustment_id))


async def select_pending_changes(mysql: MySQL) -> list[Row]:
    """(activity_id, adjustment_id) of every change that is not finished."""
    return await mysql.fetch_all(SELECT_PENDING_CHANGES)


async def select_pending_changes_of(source: Tx | MySQL, activity_id: int) -> list[Row]:
    """(adjustment_id) of an activity's changes that are not finished, the oldest first."""
    return await source.fetch_all(SELECT_PENDING_CHANGES_OF, (activity_id,))


async def any_pending_change(tx: Tx, activity_id: int) -> bool:
    """Whether a change is not finished."""
    return bool(await select_pending_changes_of(tx, activity_id))


async def insert_change(tx: Tx, activity_id: int, adjustment_id: bytes, delta: int) -> None:
    """A PENDING change."""
    await tx.execute(INSERT_CHANGE, (activity_id, adjustment_id, delta))


async def finish_change(tx: Tx, change: Row, *, state: int, left: int, total: int) -> None:
    """APPLIED or REFUSED, with what is answered."""
    await tx.execute(FINISH_CHANGE, (state, left, total, change["activity_id"], change["adjustment_id"]))
