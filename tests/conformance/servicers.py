"""What the conformance runs call: gRPC's test service, calls told what to do by a script, and empty calls.

Every handler is written for `grpc.aio`; nothing here knows which front end it runs under.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

__all__ = ["add_all", "protocol"]

_PROTO = Path(__file__).parent / "proto"
_ECHO_INITIAL = "x-grpc-test-echo-initial"
_ECHO_TRAILING = "x-grpc-test-echo-trailing-bin"

SCRIPT_SERVICE = "couponry.conformance.Script"
BARE_SERVICE = "couponry.conformance.Bare"


def protocol() -> tuple[Any, Any]:
    """The modules of messages and services of `testing.proto`, compiled in this process."""
    sys.path.insert(0, str(_PROTO))
    try:
        return grpc.protos_and_services("testing.proto")  # type: ignore[no-any-return, unused-ignore]
    finally:
        sys.path.remove(str(_PROTO))


def add_all(server: grpc.aio.Server) -> None:
    messages, services = protocol()
    services.add_TestServiceServicer_to_server(_test_servicer(messages, services), server)
    server.add_generic_rpc_handlers((_script_handlers(), _bare_handlers()))


def _test_servicer(messages: Any, services: Any) -> Any:  # noqa: C901 (the methods of one class)
    class TestServicer(services.TestServiceServicer):  # type: ignore[misc]
        async def EmptyCall(self, request: Any, context: Any) -> Any:  # noqa: N802
            return messages.Empty()

        async def UnaryCall(self, request: Any, context: Any) -> Any:  # noqa: N802
            await _expect_compression(request, context)
            if request.HasField("response_compressed"):
                _compress_if(request.response_compressed.value, context)
            await _echo_metadata(context)
            await _end_as_asked(request, context)
            server_id = "conformance" if request.fill_server_id else ""
            payload = messages.Payload(body=bytes(request.response_size))
            return messages.SimpleResponse(payload=payload, server_id=server_id)

        async def StreamingOutputCall(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
            await _echo_metadata(context)
            if any(p.HasField("compressed") for p in request.response_parameters):
                context.set_compression(grpc.Compression.Gzip)
            async for message in _outputs(request, context):
                yield message
            await _end_as_asked(request, context)

        async def StreamingInputCall(self, requests: AsyncIterator[Any], context: Any) -> Any:  # noqa: N802
            await _echo_metadata(context)
            total = 0
            async for request in requests:
                await _expect_compression(request, context)
                total += len(request.payload.body)
            return messages.StreamingInputCallResponse(aggregated_payload_size=total)

        async def FullDuplexCall(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
            await _echo_metadata(context)
            async for request in requests:
                await _end_as_asked(request, context)
                async for message in _outputs(request, context):
                    yield message

    async def _outputs(request: Any, context: Any) -> AsyncIterator[Any]:
        for parameters in request.response_parameters:
            if parameters.interval_us:
                await asyncio.sleep(parameters.interval_us / 1e6)
            if parameters.HasField("compressed") and not parameters.compressed.value:
                context.disable_next_message_compression()
            yield messages.StreamingOutputCallResponse(payload=messages.Payload(body=bytes(parameters.size)))

    return TestServicer()


async def _echo_metadata(context: Any) -> None:
    sent = context.invocation_metadata() or ()
    initial = tuple((key, value) for key, value in sent if key == _ECHO_INITIAL)
    trailing = tuple((key, value) for key, value in sent if key == _ECHO_TRAILING)
    if initial:
        await context.send_initial_metadata(initial)
    if trailing:
        context.set_trailing_metadata(trailing)


async def _end_as_asked(request: Any, context: Any) -> None:
    if request.HasField("response_status") and request.response_status.code:
        code = next(c for c in grpc.StatusCode if c.value[0] == request.response_status.code)
        await context.abort(code, request.response_status.message)


async def _expect_compression(request: Any, context: Any) -> None:
    # grpc.aio's context does not say how a message came; there the check is left out.
    if not request.HasField("expect_compressed") or not hasattr(context, "request_compressed"):
        return
    came = context.request_compressed() if callable(context.request_compressed) else context.request_compressed
    if bool(came) is not request.expect_compressed.value:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message is not compressed as expected")


def _compress_if(compressed: bool, context: Any) -> None:
    context.set_compression(grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression)


# Script: the first message is JSON that says what the handler does, in the order of these keys.
#   initial      [[key, value]]  sent before anything else; "hex:…" is a binary value
#   trailing     [[key, value]]
#   read         read at most so many more messages (streams of requests)
#   reply        [size]          messages, each a pattern of that many bytes
#   raise        an exception with this text
#   abort        [code, details]
#   set          [code, details] set_code and set_details, then return
#   wait         until cancelled (by a deadline or the peer)


def _metadata(pairs: list[list[str]]) -> tuple[tuple[str, str | bytes], ...]:
    return tuple((k, bytes.fromhex(v[4:]) if v.startswith("hex:") else v) for k, v in pairs)


def _code(number: int) -> grpc.StatusCode:
    return next(code for code in grpc.StatusCode if code.value[0] == number)


def _pattern(size: int, index: int) -> bytes:
    return bytes([(index * 7 + 1) % 251]) * size


async def _begin(script: dict[str, Any], context: Any) -> None:
    if script.get("initial") is not None:
        await context.send_initial_metadata(_metadata(script["initial"]))
    if script.get("trailing") is not None:
        context.set_trailing_metadata(_metadata(script["trailing"]))


async def _finish(script: dict[str, Any], context: Any) -> None:
    if script.get("raise") is not None:
        raise ValueError(script["raise"])
    if script.get("abort") is not None:
        code, details = script["abort"]
        await context.abort(_code(code), details)
    if script.get("set") is not None:
        code, details = script["set"]
        context.set_code(_code(code))
        context.set_details(details)
    if script.get("wait"):
        await asyncio.Event().wait()


async def _script_unary(request: bytes, context: Any) -> bytes:
    script = json.loads(request)
    await _begin(script, context)
    await _finish(script, context)
    return _pattern((script.get("reply") or [0])[0], 0)


async def _script_to_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    script = json.loads(request)
    await _begin(script, context)
    for index, size in enumerate(script.get("reply") or []):
        yield _pattern(size, index)
    await _finish(script, context)


async def _script_from_stream(requests: AsyncIterator[bytes], context: Any) -> bytes:
    first = await anext(aiter(requests), None)
    script = json.loads(first) if first is not None else {}
    await _begin(script, context)
    seen = await _read(script, requests)
    await _finish(script, context)
    return json.dumps(seen).encode()


async def _script_both(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    first = await anext(aiter(requests), None)
    script = json.loads(first) if first is not None else {}
    await _begin(script, context)
    yield json.dumps(await _read(script, requests)).encode()
    for index, size in enumerate(script.get("reply") or []):
        yield _pattern(size, index)
    await _finish(script, context)


async def _read(script: dict[str, Any], requests: AsyncIterator[bytes]) -> list[int]:
    """The lengths of up to `read` more messages; all of them when the script does not say."""
    most = script.get("read")
    seen: list[int] = []
    if most == 0:
        return seen
    async for message in requests:
        seen.append(len(message))
        if len(seen) == most:
            break
    return seen


def _script_handlers() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        SCRIPT_SERVICE,
        {
            "Unary": grpc.unary_unary_rpc_method_handler(_script_unary),
            "ToStream": grpc.unary_stream_rpc_method_handler(_script_to_stream),
            "FromStream": grpc.stream_unary_rpc_method_handler(_script_from_stream),
            "Both": grpc.stream_stream_rpc_method_handler(_script_both),
        },
    )


# Bare: nothing but the front end's own cost. `Stream` is told "count size"; `Hang` waits for its cancellation.


async def _bare_echo(request: bytes, context: Any) -> bytes:
    return request


async def _bare_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    count, size = map(int, request.split())
    message = bytes(size)
    for _ in range(count):
        yield message


async def _bare_hang(request: bytes, context: Any) -> bytes:
    _hanging.add(context)
    try:
        await asyncio.Event().wait()
    finally:
        _hanging.discard(context)
    return b""


async def _bare_state(request: bytes, context: Any) -> bytes:
    """How many calls of `Hang` run now, and how many tasks the loop has."""
    return json.dumps({"hanging": len(_hanging), "tasks": len(asyncio.all_tasks())}).encode()


_hanging: set[Any] = set()


def _bare_handlers() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        BARE_SERVICE,
        {
            "Echo": grpc.unary_unary_rpc_method_handler(_bare_echo),
            "Stream": grpc.unary_stream_rpc_method_handler(_bare_stream),
            "Hang": grpc.unary_unary_rpc_method_handler(_bare_hang),
            "State": grpc.unary_unary_rpc_method_handler(_bare_state),
        },
    )
