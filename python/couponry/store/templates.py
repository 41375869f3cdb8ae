"""The statements of templates and their counters.

Whoever changes a template, or gives its coupons, holds its row of template_counters first: so a template read after
that lock stays as it is until the commit, and the templates row itself needs no lock.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from couponry.store.mysql import MySQL, Row, Tx

__all__ = [
    "add_issued",
    "insert_template",
    "list_templates",
    "lock_counters",
    "select_by_key",
    "select_counters",
    "select_ids_by_key",
    "select_offers",
    "select_templates",
    "set_state",
    "set_total",
    "try_lock_counters",
    "update_template",
]

_COLUMNS: Final = (
    "id, template_key, spec_fingerprint, name, description, metadata, terms, total, per_user_limit,"
    " receive_from, receive_until, valid_from, valid_until, valid_days, budget, returns_on_full_refund,"
    " return_grace_ms, state, version, created_at, updated_at"
)
_COUNTERS: Final = "template_id, issued, reserved, budget_reserved, budget_spent"

SELECT_TEMPLATES: Final = f"SELECT {_COLUMNS} FROM templates WHERE id IN %s ORDER BY id"
# What an offer needs of them.
SELECT_OFFERS: Final = (
    "SELECT id, total, per_user_limit, receive_from, receive_until, valid_from, valid_until, valid_days, state,"
    " UTC_TIMESTAMP(3) AS now FROM templates WHERE id IN %s"
)
SELECT_BY_KEY: Final = f"SELECT {_COLUMNS} FROM templates WHERE template_key = %s"
SELECT_IDS_BY_KEY: Final = "SELECT template_key, id, version FROM templates WHERE template_key IN %s"
SELECT_COUNTERS: Final = f"SELECT {_COUNTERS} FROM template_counters WHERE template_id IN %s ORDER BY template_id"
LOCK_COUNTERS: Final = f"{SELECT_COUNTERS} FOR UPDATE"
# Row by row: a statement that reads others on its way would wait for those too.
TRY_LOCK_COUNTERS: Final = (
    b"WITH v (template_id) AS (VALUES %b) SELECT c.template_id, c.issued, c.reserved"
    b" FROM v STRAIGHT_JOIN template_counters c FORCE INDEX (PRIMARY) ON c.template_id = v.template_id"
    b" FOR UPDATE SKIP LOCKED"
)

LIST_ALL: Final = f"SELECT {_COLUMNS} FROM templates WHERE id < %s ORDER BY id DESC LIMIT %s"
LIST_BY_STATE: Final = f"SELECT {_COLUMNS} FROM templates WHERE state = %s AND id < %s ORDER BY id DESC LIMIT %s"
LIST_BY_KIND: Final = f"SELECT {_COLUMNS} FROM templates WHERE kind = %s AND id < %s ORDER BY id DESC LIMIT %s"
LIST_BY_STATE_AND_KIND: Final = (
    f"SELECT {_COLUMNS} FROM templates WHERE state = %s AND kind = %s AND id < %s ORDER BY id DESC LIMIT %s"
)

_SPEC_COLUMNS: Final = (
    "name, description, metadata, kind, currency, terms, total, per_user_limit, receive_from, receive_until,"
    " valid_from, valid_until, valid_days, budget, returns_on_full_refund, return_grace_ms"
)
INSERT_TEMPLATE: Final = (
    f"INSERT INTO templates (id, template_key, spec_fingerprint, {_SPEC_COLUMNS}, state, version, created_at,"
    " updated_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 1,"
    " UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))"
)
INSERT_COUNTERS: Final = "INSERT INTO template_counters (template_id) VALUES (%s)"
UPDATE_TEMPLATE: Final = (
    "UPDATE templates SET "
    + ", ".join(f"{column} = %s" for column in _SPEC_COLUMNS.split(", "))
    + ", version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = %s"
)
UPDATE_STATE: Final = (
    "UPDATE templates SET state = %s, version = version + 1, updated_at = UTC_TIMESTAMP(3)"
    " WHERE id = %s AND state <> %s"
)
UPDATE_TOTAL: Final = (
    "UPDATE templates SET total = %s, version = version + 1, updated_at = UTC_TIMESTAMP(3)"
    " WHERE id = %s AND total <> %s"
)
_ADD_ISSUED_HEAD: Final = "INSERT INTO template_counters (template_id, issued) VALUES"
_ADD_ISSUED_TAIL: Final = "ON DUPLICATE KEY UPDATE issued = issued + VALUES(issued)"


async def select_templates(tx: Tx | MySQL, ids: Sequence[int]) -> list[Row]:
    """The templates of these ids that exist, in id order."""
    return await tx.fetch_all(SELECT_TEMPLATES, (tuple(ids),)) if ids else []


async def select_by_key(tx: Tx | MySQL, key: str) -> Row | None:
    """The template of the shop's key."""
    return await tx.fetch_one(SELECT_BY_KEY, (key.encode(),))


async def select_ids_by_key(tx: Tx | MySQL, keys: Sequence[str]) -> list[Row]:
    """(template_key, id, version) of the keys that exist."""
    return await tx.fetch_all(SELECT_IDS_BY_KEY, (tuple(key.encode() for key in keys),)) if keys else []


async def select_counters(tx: Tx | MySQL, ids: Sequence[int], for_update: bool = False) -> list[Row]:
    """The counters of these templates, in id order; with `for_update` (in a transaction) locked."""
    return await tx.fetch_all(LOCK_COUNTERS if for_update else SELECT_COUNTERS, (tuple(ids),)) if ids else []


async def lock_counters(tx: Tx, template_id: int) -> Row | None:
    """One template's counters, locked: from here on the template does not change under this transaction."""
    rows = await select_counters(tx, [template_id], for_update=True)
    return rows[0] if rows else None


async def try_lock_counters(tx: Tx, ids: Iterable[int]) -> list[Row]:
    """(template_id, issued, reserved) of those among these templates that nobody else holds, locked."""
    rows: list[Row] = []
    for table in tx.tables((template_id,) for template_id in sorted(ids)):
        rows += await tx.fetch_all(TRY_LOCK_COUNTERS % table)
    return rows


async def select_offers(tx: Tx, ids: Iterable[int]) -> list[Row]:
    """What decides who gets coupons of these templates, with the database's clock as `now`."""
    return await tx.fetch_all(SELECT_OFFERS, (tuple(ids),))


async def list_templates(mysql: MySQL, *, below_id: int, state: int, kind: int, limit: int) -> list[Row]:
    """The newest `limit` templates below an id; a state or kind of 0 is any."""
    if state and kind:
        return await mysql.fetch_all(LIST_BY_STATE_AND_KIND, (state, kind, below_id, limit))
    if state:
        return await mysql.fetch_all(LIST_BY_STATE, (state, below_id, limit))
    if kind:
        return await mysql.fetch_all(LIST_BY_KIND, (kind, below_id, limit))
    return await mysql.fetch_all(LIST_ALL, (below_id, limit))


async def insert_template(
    tx: Tx, template_id: int, *, key: str | None, spec_fingerprint: bytes, columns: Sequence[Any], state: int
) -> None:
    """A new template of version 1 with its counters; `columns` as `coupons.specs` orders them.

    Raises DuplicateKey `by_key`.
    """
    encoded_key = None if key is None else key.encode()
    await tx.execute(INSERT_TEMPLATE, (template_id, encoded_key, spec_fingerprint, *columns, state))
    await tx.execute(INSERT_COUNTERS, (template_id,))


async def update_template(tx: Tx, template_id: int, columns: Sequence[Any]) -> None:
    """Writes all columns of a spec; the caller holds the counters' lock."""
    await tx.execute(UPDATE_TEMPLATE, (*columns, template_id))


async def set_state(tx: Tx, template_id: int, state: int) -> int:
    """Pauses or resumes; 0 where the state was that already."""
    return await tx.execute(UPDATE_STATE, (state, template_id, state))


async def set_total(tx: Tx, template_id: int, total: int) -> int:
    """The new total; 0 where it was that already."""
    return await tx.execute(UPDATE_TOTAL, (total, template_id, total))


async def add_issued(tx: Tx, counts: Sequence[tuple[int, int]]) -> None:
    """Counts coupons given, (template id, how many); the caller holds the counters' locks."""
    await tx.insert_rows(_ADD_ISSUED_HEAD, "(%s, %s)", counts, _ADD_ISSUED_TAIL)
