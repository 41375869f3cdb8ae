"""Runs the handler of one call, of each of the four arities: coroutines and async generators on the loop, plain
functions and generators on a thread. Whatever a handler does, its call ends with exactly one status.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import structlog

from couponry._core import Call
from couponry.frontend.native_context import Context, SyncContext, SyncMessages

__all__ = ["Method", "method_of", "serve"]

_log = structlog.get_logger(__name__)
_END = object()


@dataclass(frozen=True, slots=True)
class Method:
    """A handler, taken apart once."""

    run: Callable[[Method, Context, Any], Awaitable[None]]
    behavior: Callable[..., Any]
    request_streaming: bool
    response_streaming: bool
    deserialize: Callable[[bytes], Any] | None
    serialize: Callable[[Any], bytes] | None
    pool: Executor | None


def method_of(handler: grpc.RpcMethodHandler[Any, Any], pool: Executor | None) -> Method:
    """Takes a handler apart."""
    parts: Any = handler
    behavior = {
        (False, False): parts.unary_unary,
        (False, True): parts.unary_stream,
        (True, False): parts.stream_unary,
        (True, True): parts.stream_stream,
    }[bool(parts.request_streaming), bool(parts.response_streaming)]
    streaming = bool(parts.response_streaming)
    if _is_async(behavior):
        run = _stream if streaming else _unary
    else:
        run = _stream_on_thread if streaming else _unary_on_thread
    return Method(
        run=run,
        behavior=behavior,
        request_streaming=bool(parts.request_streaming),
        response_streaming=streaming,
        deserialize=parts.request_deserializer,
        serialize=parts.response_serializer,
        pool=pool,
    )


def _is_async(behavior: Any) -> bool:
    for candidate in (behavior, getattr(behavior, "__call__", None), getattr(behavior, "func", None)):  # noqa: B004
        if inspect.iscoroutinefunction(candidate) or inspect.isasyncgenfunction(candidate):
            return True
    return False


async def serve(
    call: Call, context: Context, method: Method | None, find: Callable[[Call, Context], Awaitable[Method | None]]
) -> None:
    """Runs a call to its end. `find` is asked where the method is not known."""
    try:
        method = method or await find(call, context)
        if method is None:
            context.fail_with(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            return
        context.use(method.deserialize, method.serialize)
        if method.request_streaming:
            await method.run(method, context, None)
        else:
            data = call.request()
            if data is None:
                data = await _only_message(context)
                if data is None:
                    return
            try:
                request = data if method.deserialize is None else method.deserialize(data)
            except Exception:  # noqa: BLE001 - whatever a deserializer raises, the bytes are wrong
                # As in grpc-go; grpc.aio would tell the client the exception's text.
                context.fail_with(grpc.StatusCode.INTERNAL, "the request is no message of this method's type")
                return
            await method.run(method, context, request)
    except grpc.aio.AbortError as error:
        context.fail(error)
    except asyncio.CancelledError:
        if not call.cancelled:
            context.fail_with(grpc.StatusCode.CANCELLED, "the handler was cancelled")
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets a status
        _log.exception("a handler raised", method=call.path)
        context.fail(error)
    finally:
        context.run_callbacks()


async def _only_message(context: Context) -> bytes | None:
    """The message of a unary request whose method was not known in advance; None if the call ended for want of it."""
    data = await context.read_bytes()
    if data is not None and await context.read_bytes() is None:
        return data
    many = "a unary request of more than one message"
    none = "a unary request without a message"
    context.fail_with(grpc.StatusCode.INTERNAL, none if data is None else many)
    return None


async def _unary(method: Method, context: Context, request: Any) -> None:
    if method.request_streaming:
        request = context.messages()
    response = await method.behavior(request, context)
    context.finish(response, has_message=True)


async def _stream(method: Method, context: Context, request: Any) -> None:
    if method.request_streaming:
        request = context.messages()
    responses = method.behavior(request, context)
    if inspect.isawaitable(responses):
        # The handler writes by itself.
        await responses
    else:
        write = context.write
        async for response in responses:
            await write(response)
    context.finish()


async def _unary_on_thread(method: Method, context: Context, request: Any) -> None:
    loop = asyncio.get_running_loop()
    if method.request_streaming:
        request = SyncMessages(context, loop)
    response = await loop.run_in_executor(method.pool, method.behavior, request, SyncContext(context, loop))
    if inspect.isawaitable(response):
        response = await response
    context.finish(response, has_message=True)


async def _stream_on_thread(method: Method, context: Context, request: Any) -> None:
    loop = asyncio.get_running_loop()
    if method.request_streaming:
        request = SyncMessages(context, loop)
    responses = await loop.run_in_executor(method.pool, method.behavior, request, SyncContext(context, loop))
    if hasattr(responses, "__aiter__"):
        async for response in responses:
            await context.write(response)
    else:
        iterator = iter(responses)
        while (response := await loop.run_in_executor(method.pool, next, iterator, _END)) is not _END:
            await context.write(response)
    context.finish()
