"""Page tokens: opaque to the caller, bound to the query that they continue.

A token is base64url of a small JSON: a fingerprint of the query and the last key of the page, a position on an index.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from couponry.errors import InvalidArgument

__all__ = ["decode", "encode", "query_of"]

_FIELD: Final = "page_token"
_MAX_CHARS: Final = 1024
_INT64: Final = range(-(2**63), 2**63)


def query_of(request: Message) -> str:
    """What a list request asks for, whichever of its pages: pages of another size continue the same query."""
    query = type(request)()
    query.CopyFrom(request)
    for field in ("page_size", "page_token"):
        query.ClearField(field)
    digest = hashlib.blake2b(query.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    return f"{request.DESCRIPTOR.name} {digest}"


def encode(query: str, position: Sequence[int | str]) -> str:
    """The token that continues `query` after `position`."""
    text = json.dumps({"q": _fingerprint(query), "p": list(position)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(token: str, query: str, shape: Sequence[type[int] | type[str]] = (int,)) -> list[int | str] | None:
    """The position of a token; None for the empty token, which begins at the first page.

    `shape` gives the types of the position's parts, since a token may come back changed. Raises InvalidArgument on
    `page_token` for a token that is broken or continues another query.
    """
    if not token:
        return None
    if len(token) > _MAX_CHARS:
        raise InvalidArgument.of(_FIELD, "is no token of this service")
    try:
        padded = token + "=" * (-len(token) % 4)
        body = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        given, position = body["q"], body["p"]
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        raise InvalidArgument.of(_FIELD, "is no token of this service") from None
    if given != _fingerprint(query):
        raise InvalidArgument.of(_FIELD, "continues another query")
    if not _fits(position, shape):
        raise InvalidArgument.of(_FIELD, "is no token of this service")
    parts: list[int | str] = position
    return parts


def _fits(position: object, shape: Sequence[type[int] | type[str]]) -> bool:
    return (
        isinstance(position, list)
        and len(position) == len(shape)
        # `type() is`: JSON's true is an int to isinstance.
        and all(type(part) is kind for part, kind in zip(position, shape, strict=True))
        and all(part in _INT64 for part in position if isinstance(part, int))
    )


def _fingerprint(query: str) -> str:
    return hashlib.blake2b(query.encode(), digest_size=9).hexdigest()
