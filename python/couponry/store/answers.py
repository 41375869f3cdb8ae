"""Answers by request id, many at once: for a transaction that serves a batch of calls.

The batch holds a lock that all calls of its subject need, so it looks for the answers it has and inserts the new ones
whole, instead of claiming each id on its own.
"""

from collections.abc import Sequence
from typing import Final

from couponry.store.mysql import Row, Tx
from couponry.store.requests import RequestKey

__all__ = ["find_answers", "insert_answers"]

_FIND: Final = "SELECT scope, request_id, fingerprint, answer FROM request_log WHERE "
_FIND_ONE: Final = "(method = %s AND scope = %s AND request_id = %s)"
_INSERT_HEAD: Final = "INSERT INTO request_log (method, scope, request_id, fingerprint, answer, created_at) VALUES"
_INSERT_ROW: Final = "(%s, %s, %s, %s, %s, UTC_TIMESTAMP(3))"


def find_statement(count: int) -> str:
    """The statement that looks for `count` request ids, each by the primary key."""
    return _FIND + " OR ".join([_FIND_ONE] * count)


async def find_answers(tx: Tx, keys: Sequence[RequestKey]) -> dict[tuple[str, str], Row]:
    """By (scope, request id): the fingerprint and the answer of those ids that were used before."""
    given = [key for key in keys if key.given]
    if not given:
        return {}
    args = [part for key in given for part in (key.method.encode(), key.scope.encode(), key.request_id.encode())]
    rows = await tx.fetch_all(find_statement(len(given)), args)
    return {(row["scope"].decode(), row["request_id"].decode()): row for row in rows}


async def insert_answers(tx: Tx, answers: Sequence[tuple[RequestKey, bytes]]) -> None:
    """Remembers answers of new request ids, in the order of their keys, so that two batches never wait crosswise.

    Raises DuplicateKey where another transaction used one of the ids since `find_answers`.
    """
    rows = sorted(
        (key.method.encode(), key.scope.encode(), key.request_id.encode(), key.fingerprint, answer)
        for key, answer in answers
        if key.given
    )
    if rows:
        await tx.insert_rows(_INSERT_HEAD, _INSERT_ROW, rows)
