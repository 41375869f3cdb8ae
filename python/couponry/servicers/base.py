"""What every RPC goes through: unknown enum numbers are refused at the door, errors become statuses, and an unexpected
one becomes INTERNAL with an id that also stands in the log, and nothing else of it.
"""

import asyncio
import contextlib
import functools
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message

from couponry.errors import CouponryError
from couponry.servicers.status import grpc_status
from couponry.store.layers import traced
from couponry.validation import Violations, refuse_unknown_enums

__all__ = ["caller_of", "rpc", "rpc_stream", "status_and_log"]

_log = structlog.get_logger(__name__)

CALLER_KEY = "couponry-caller"
DEBUG_KEY = "couponry-debug"
CACHE_KEY = "couponry-cache"

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]


def rpc(
    method: Callable[[Any, Request, Context], Awaitable[Response]],
) -> Callable[[Any, Request, Context], Awaitable[Response]]:
    """Wraps a unary method of a servicer."""

    @functools.wraps(method)
    async def call(servicer: Any, request: Request, context: Context) -> Response:
        try:
            refuse_unknown_enums(request)
            return await _told_of_layer(method(servicer, request, context), context)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            await context.abort_with_status(status_and_log(method.__name__, error))
        raise AssertionError("abort does not return")

    return call


def status_and_log(method: str, error: Exception) -> grpc.Status:
    """What a caller is told of an error, and the line in the log that has the same request id."""
    request_id = secrets.token_hex(8)
    if isinstance(error, CouponryError):
        _log.info("refused", method=method, reason=error.reason, request_id=request_id)
        return grpc_status(error, request_id)
    _log.error("failed", method=method, request_id=request_id, exc_info=error)
    return grpc_status(CouponryError("internal error"), request_id)


def rpc_stream(
    method: Callable[[Any, Request, Context], AsyncGenerator[Response, None]],
) -> Callable[[Any, Request, Context], AsyncIterator[Response]]:
    """Wraps a method of a servicer that answers one request with a stream, an async generator."""

    @functools.wraps(method)
    async def call(servicer: Any, request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            refuse_unknown_enums(request)
            async with contextlib.aclosing(method(servicer, request, context)) as responses:
                async for response in responses:
                    yield response
        except Exception as error:
            if isinstance(error, grpc.aio.AbortError):
                raise
            await context.abort_with_status(status_and_log(method.__name__, error))

    return call


async def _told_of_layer(answering: Awaitable[Response], context: Context) -> Response:
    """Says in `couponry-cache` that an answer is stale, always; and which layer gave it, where that was asked for."""
    with traced() as trace:
        response = await answering
    if trace.stale:
        context.set_trailing_metadata(((CACHE_KEY, "stale"),))
    elif trace.layer and (DEBUG_KEY, "cache") in (context.invocation_metadata() or ()):
        context.set_trailing_metadata(((CACHE_KEY, f"l{trace.layer}"),))
    return response


def caller_of(context: Context) -> str:
    """Who makes an admin call, as the metadata `couponry-caller` says; empty where it says nothing."""
    for key, value in context.invocation_metadata() or ():
        if key == CALLER_KEY:
            text = value if isinstance(value, str) else value.decode("utf-8", "replace")
            violations = Violations()
            violations.request_id(f"metadata {CALLER_KEY}", text)
            violations.raise_if_any()
            return text
    return ""
