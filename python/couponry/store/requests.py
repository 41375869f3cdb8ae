"""Answers of mutating calls by request id, stored in the effect's own transaction.

`claim` comes first in the transaction: a second call with the same id waits for the row's lock, and then finds either
the answer or, where the first one failed and rolled back, nothing.
"""

from dataclasses import dataclass
from typing import Final

from couponry.errors import InvalidArgument
from couponry.store.mysql import DuplicateKey, Tx

__all__ = ["RequestKey", "claim", "find", "forget_older_than", "remember"]

_INSERT: Final = (
    "INSERT INTO request_log (method, scope, request_id, fingerprint, answer, created_at)"
    " VALUES (%s, %s, %s, %s, NULL, UTC_TIMESTAMP(3))"
)
_SELECT: Final = "SELECT fingerprint, answer FROM request_log WHERE method = %s AND scope = %s AND request_id = %s"
_UPDATE: Final = "UPDATE request_log SET answer = %s WHERE method = %s AND scope = %s AND request_id = %s"
_DELETE: Final = (
    "DELETE FROM request_log WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL %s SECOND ORDER BY created_at LIMIT 1000"
)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A call's request id with what it is bound to: the method, the user (for admin calls: the caller), the body."""

    method: str
    scope: str
    request_id: str
    fingerprint: bytes

    @property
    def given(self) -> bool:
        """Whether the caller gave a request id at all."""
        return bool(self.request_id)


async def find(tx: Tx, key: RequestKey) -> bytes | None:
    """The stored answer, or None. Raises InvalidArgument / IDEMPOTENCY_MISMATCH for another body."""
    if not key.given:
        return None
    row = await tx.fetch_one(_SELECT, (key.method, key.scope, key.request_id))
    if row is None:
        return None
    if row["fingerprint"] != key.fingerprint:
        raise InvalidArgument.of("request_id", "was used before with another body", reason="IDEMPOTENCY_MISMATCH")
    answer: bytes | None = row["answer"]
    return answer


async def claim(tx: Tx, key: RequestKey) -> bytes | None:
    """Takes the request id for this transaction, or returns the answer that it already has.

    Raises InvalidArgument / IDEMPOTENCY_MISMATCH for another body.
    """
    if not key.given:
        return None
    try:
        await tx.execute(_INSERT, (key.method, key.scope, key.request_id, key.fingerprint))
    except DuplicateKey:
        return await find(tx, key)
    return None


async def remember(tx: Tx, key: RequestKey, answer: bytes) -> None:
    """Stores the answer of a claimed request id."""
    if key.given:
        await tx.execute(_UPDATE, (answer, key.method, key.scope, key.request_id))


async def forget_older_than(tx: Tx, seconds: int) -> int:
    """Removes up to 1,000 of the oldest answers past their age; the number removed."""
    return await tx.execute(_DELETE, (seconds,))
