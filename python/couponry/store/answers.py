"""Answers by request id, many at once: for a transaction that serves a batch of calls.

The batch holds a lock that all calls of its subject need, so it looks for the answers it has and inserts the new ones
whole, instead of claiming each id on its own.
"""

from collections.abc import Sequence
from typing import Final

from couponry.store.mysql import Row, Tx
from couponry.store.requests import RequestKey

__all__ = ["find_answers", "insert_answers"]

FIND: Final = (
    b"WITH v (method, scope, request_id) AS (VALUES %b) SELECT r.scope, r.request_id, r.fingerprint, r.answer"
    b" FROM v STRAIGHT_JOIN request_log r"
    b" ON r.method = v.method AND r.scope = v.scope AND r.request_id = v.request_id"
)
_INSERT: Final = (
    b"INSERT INTO request_log (method, scope, request_id, fingerprint, answer, created_at)"
    b" WITH v (method, scope, request_id, fingerprint, answer) AS (VALUES %b) SELECT v.*, UTC_TIMESTAMP(3) FROM v"
)


async def find_answers(tx: Tx, keys: Sequence[RequestKey]) -> dict[tuple[str, str], Row]:
    """By (scope, request id): the fingerprint and the answer of those ids that were used before."""
    given = [_place(key) for key in keys if key.given]
    rows = [row for place in tx.tables(given) for row in await tx.fetch_all(FIND % place)]
    return {(row["scope"].decode(), row["request_id"].decode()): row for row in rows}


async def insert_answers(tx: Tx, answers: Sequence[tuple[RequestKey, bytes]]) -> None:
    """Remembers answers of new request ids, in the order of their keys, so that two batches never wait crosswise.

    Raises DuplicateKey where another transaction used one of the ids since `find_answers`.
    """
    rows = sorted((*_place(key), key.fingerprint, answer) for key, answer in answers if key.given)
    for table in tx.tables(rows):
        await tx.execute(_INSERT % table)


def _place(key: RequestKey) -> tuple[bytes, bytes, bytes]:
    return key.method.encode(), key.scope.encode(), key.request_id.encode()
