"""An effect with an answer that a repeated request id gets again, both in one transaction."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from google.protobuf.message import Message

from couponry.store import requests
from couponry.store.mysql import MySQL, Tx
from couponry.store.requests import RequestKey
from couponry.validation import fingerprint

__all__ = ["answer_once", "request_key"]

Answer = TypeVar("Answer", bound=Message)


def request_key(method: str, scope: str, request: Message) -> RequestKey:
    """What a request's `request_id` is bound to; `scope` is the user, for admin calls the caller."""
    request_id: str = request.request_id  # type: ignore[attr-defined]
    return RequestKey(method, scope, request_id, fingerprint(request))


async def answer_once(
    mysql: MySQL, key: RequestKey, kind: type[Answer], effect: Callable[[Tx], Awaitable[Answer]]
) -> Answer:
    """Runs `effect` in a transaction and remembers its answer, or gives the one that the request id has already.

    What `effect` raises rolls everything back: refusals are not remembered. Raises InvalidArgument /
    IDEMPOTENCY_MISMATCH where the request id came with another body.
    """

    async def work(tx: Tx) -> bytes:
        known = await requests.claim(tx, key)
        if known is not None:
            return known
        answer = (await effect(tx)).SerializeToString()
        await requests.remember(tx, key, answer)
        return answer

    return kind.FromString(await mysql.run(work))
