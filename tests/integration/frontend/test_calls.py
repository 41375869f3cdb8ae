"""Calls of every kind, by grpcio's clients, under both front ends: they must not be told apart."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from .conftest import SERVICE, Running, Serve, dial


def path(method: str) -> str:
    return f"/{SERVICE}/{method}"


@asynccontextmanager
async def channel(running: Running, **arguments: Any) -> AsyncIterator[Any]:
    async with dial(running.address, **arguments) as made:
        yield made


async def outcome(call: Any) -> tuple[Any, ...]:
    """Everything that a client can see of a unary reply."""
    try:
        reply = await call
    except grpc.aio.AioRpcError as error:
        return (error.code(), error.details(), tuple(error.initial_metadata()), tuple(error.trailing_metadata()))
    return (reply, tuple(await call.initial_metadata()), tuple(await call.trailing_metadata()))


UNARY = {
    b"hello": (b"hello", (), ()),
    b"": (b"", (), ()),
    b"abort 50% of \xc3\xbc\n": (
        grpc.StatusCode.FAILED_PRECONDITION,
        "50% of ü\n",
        (),
        (("why", "x"), ("b-bin", b"\0\xff")),
    ),
    b"code x": (grpc.StatusCode.DATA_LOSS, "set", (), (("t", "1"), ("t", "2"))),
    b"raise oops": (grpc.StatusCode.UNKNOWN, "Unexpected <class 'ValueError'>: oops", (), ()),
    b"badmetadata x": (grpc.StatusCode.INTERNAL, "Invalid metadata", (), ()),
    b"badinitial x": (grpc.StatusCode.INTERNAL, "Invalid metadata", (), ()),
    b"remaining x": (b"some", (), ()),
    b"gzip x": (b"z" * 10_000, (), ()),
    b"size 1000000": (b"x" * 1_000_000, (), ()),
}


@pytest.mark.parametrize("request_bytes", UNARY, ids=lambda request: request.decode().split(" ")[0] or "empty")
async def test_a_unary_call_ends_the_same(serve: Serve, request_bytes: bytes) -> None:
    async with serve() as running, channel(running) as made:
        call = made.unary_unary(path("Unary"))(request_bytes, timeout=20)
        seen = await outcome(call)
    assert seen == UNARY[request_bytes]


async def test_metadata_goes_both_ways_with_several_and_binary_values(serve: Serve) -> None:
    metadata = (("x-a", "1"), ("x-b-bin", b"\x00\x01\xff"), ("x-a", "2"), ("x-c", "with, comma"), ("x-d-bin", b""))
    async with serve() as running, channel(running) as made:
        call = made.unary_unary(path("Unary"))(b"metadata x", metadata=metadata, timeout=20)
        reply, initial, trailing = await outcome(call)
    assert reply == repr(sorted(metadata)).encode()
    assert sorted(initial) == sorted(metadata)
    assert sorted(trailing) == sorted(metadata)


async def test_server_streams_arrive_whole_and_in_order(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        stream = made.unary_stream(path("ServerStream"))(b"3000 100", timeout=20)
        assert [int(message) async for message in stream] == list(range(3000))
        writing = made.unary_stream(path("ServerStreamWriting"))(b"500", timeout=20)
        assert [int(message) async for message in writing] == list(range(500))
        failing = made.unary_stream(path("ServerStream"))(b"3 13", timeout=20)
        got = []
        with pytest.raises(grpc.aio.AioRpcError) as caught:  # noqa: PT012
            async for message in failing:
                got.append(message)  # noqa: PERF401 - the messages before the error count
        assert len(got) == 3
        assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "after the messages")


async def test_client_streams_are_read_to_their_end(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        send = made.stream_unary(path("ClientStream"))
        assert await send((b"x" * 1000 for _ in range(2000)), timeout=20) == b"2000 2000000"
        assert await send(iter(()), timeout=20) == b"0 0"


@pytest.mark.parametrize("method", ["Both", "BothReading"])
async def test_both_sides_stream_at_once(serve: Serve, method: str) -> None:
    async with serve() as running, channel(running) as made:
        call = made.stream_stream(path(method))(timeout=20)
        for number in range(200):
            await call.write(b"%d" % number)
            assert await call.read() == b"%d" % number
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_a_handler_may_end_before_the_client_does(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        call = made.stream_stream(path("Both"))(timeout=20)
        await call.write(b"stop")
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_handlers_on_threads_work(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        unary = made.unary_unary(path("ThreadUnary"))
        assert await outcome(unary(b"hi", timeout=20)) == (b"hi", (), (("thread", "yes"),))
        code, details, *_ = await outcome(unary(b"abort", timeout=20))
        assert (code, details) == (grpc.StatusCode.NOT_FOUND, "from a thread")
        stream = made.stream_stream(path("ThreadStream"))(iter([b"a", b"b"]), timeout=20)
        assert [message async for message in stream] == [b"aa", b"bb"]


async def test_an_unknown_method_is_unimplemented(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        for unknown in (path("Nope"), "/other.Service/Unary", "/"):
            code, details, *_ = await outcome(made.unary_unary(unknown)(b"", timeout=20))
            assert (code, details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


async def test_a_deadline_cancels_the_handler(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        code, *_ = await outcome(made.unary_unary(path("Unary"))(b"wait x", timeout=0.2))
        assert code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"


async def test_a_cancelled_call_cancels_the_handler(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        call = made.unary_unary(path("Unary"))(b"wait x")
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        call.cancel()
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"


async def test_a_lost_connection_cancels_the_handler(serve: Serve) -> None:
    async with serve() as running:
        async with channel(running) as made:
            call = made.unary_unary(path("Unary"))(b"wait x")
            assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        assert call.done()
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"


async def test_done_callbacks_are_called(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        await made.unary_unary(path("Unary"))(b"callback x", timeout=20)
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "callback"


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_compressed_requests_are_understood(serve: Serve, compression: grpc.Compression) -> None:
    async with serve(compression=compression) as running, channel(running, compression=compression) as made:
        request = b"y" * 50_000
        assert await made.unary_unary(path("Unary"))(request, timeout=20) == request
        echoed = made.stream_stream(path("Both"))(iter([request] * 5), timeout=20)
        assert [message async for message in echoed] == [request] * 5


async def test_messages_over_the_limits_are_refused(serve: Serve) -> None:
    options = (("grpc.max_receive_message_length", 1000), ("grpc.max_send_message_length", 2000))
    async with serve(options=options) as running, channel(running) as made:
        unary = made.unary_unary(path("Unary"))
        assert await unary(b"x" * 1000, timeout=20) == b"x" * 1000
        for request, details in (
            (b"x" * 1001, "SERVER: Received message larger than max (1001 vs. 1000)"),
            (b"size 2001", "SERVER: Sent message larger than max (2001 vs. 2000)"),
        ):
            code, seen, *_ = await outcome(unary(request, timeout=20))
            assert (code, seen) == (grpc.StatusCode.RESOURCE_EXHAUSTED, details)
        stream = made.stream_unary(path("ClientStream"))(iter([b"x", b"y" * 1001]), timeout=20)
        code, *_ = await outcome(stream)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_allowed_are_refused(serve: Serve) -> None:
    async with serve(maximum_concurrent_rpcs=1) as running, channel(running) as made:
        unary = made.unary_unary(path("Unary"))
        first = unary(b"wait x")
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        code, details, *_ = await outcome(unary(b"x", timeout=20))
        assert (code, details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "Concurrent RPC limit exceeded!")
        first.cancel()


async def test_the_peer_is_named_as_grpc_names_it(serve: Serve) -> None:
    async with serve() as running, channel(running) as made:
        peer = await made.unary_unary(path("Unary"))(b"peer x", timeout=20)
        assert peer.startswith(b"ipv4:127.0.0.1:")
        auth = await made.unary_unary(path("Unary"))(b"auth x", timeout=20)
        assert auth == b"(None, [], [b'insecure'])"


async def test_the_synchronous_client_works(serve: Serve) -> None:
    def use(address: str) -> list[Any]:
        channel: Any = grpc.insecure_channel(address)
        with channel as made:

            def requests() -> Iterator[bytes]:
                yield from (b"a", b"b")

            return [
                made.unary_unary(path("Unary"))(b"hi", timeout=20),
                list(made.unary_stream(path("ServerStream"))(b"3 1", timeout=20)),
                made.stream_unary(path("ClientStream"))(requests(), timeout=20),
                list(made.stream_stream(path("Both"))(requests(), timeout=20)),
            ]

    async with serve() as running:
        seen = await asyncio.to_thread(use, running.address)
    assert seen == [b"hi", [b"0", b"1", b"2"], b"2 2", [b"a", b"b"]]


class Tag(grpc.aio.ServerInterceptor):
    """Refuses one method, wraps the others, and shows the order of interceptors."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name = name
        self.seen = seen

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.seen.append(self.name)
        if handler_call_details.method.endswith("ServerStream"):

            async def refuse(_: Any, context: Any) -> None:
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not for you")

            return grpc.unary_unary_rpc_method_handler(refuse)
        assert ("x-k", "v") in [tuple(entry) for entry in handler_call_details.invocation_metadata]
        return await continuation(handler_call_details)


async def test_interceptors_run_in_their_order(serve: Serve) -> None:
    seen: list[str] = []
    async with serve(interceptors=(Tag("a", seen), Tag("b", seen))) as running, channel(running) as made:
        metadata = (("x-k", "v"),)
        assert await made.unary_unary(path("Unary"))(b"hi", metadata=metadata, timeout=20) == b"hi"
        assert seen == ["a", "b"]
        stream = made.stream_unary(path("ClientStream"))(iter([b"a"]), metadata=metadata, timeout=20)
        assert await stream == b"1 1"
        code, details, *_ = await outcome(made.unary_unary(path("ServerStream"))(b"1 1", timeout=20))
        assert (code, details) == (grpc.StatusCode.PERMISSION_DENIED, "not for you")
        code, *_ = await outcome(made.unary_unary(path("Nope"))(b"", metadata=metadata, timeout=20))
        assert code is grpc.StatusCode.UNIMPLEMENTED
