"""The lane past h2 with a real client: grpc's own, whose bytes go through a relay that looks at the replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from grpc_health.v1 import health_pb2, health_pb2_grpc

from couponry.frontend.native import NativeServer

from .conftest import SERVICE, Echo, dial

# How the lane begins a reply; h2 writes these headers otherwise.
PAST_H2 = b"\x88\x0f\x10\x10application/grpc"


@asynccontextmanager
async def relayed(port: int, seen: bytearray) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, into: bytearray | None) -> None:
        while data := await reader.read(65536):
            if into is not None:
                into += data
            writer.write(data)
            await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", port)
        for task in (
            asyncio.ensure_future(copy(reader, downstream, None)),
            asyncio.ensure_future(copy(upstream, writer, seen)),
        ):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    finally:
        listener.close()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_grpcs_own_client_is_answered_past_h2_and_notices_nothing() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    health = server.answer_health()
    cast("Any", health_pb2_grpc).add_HealthServicer_to_server(health, server)
    echo = Echo()
    server.add_registered_method_handlers(SERVICE, echo.handlers())
    await health.set("shop", health_pb2.HealthCheckResponse.SERVING)
    await health.set("attic", health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    seen = bytearray()
    try:
        async with relayed(port, seen) as address, dial(address) as channel:
            check = cast("Any", health_pb2_grpc).HealthStub(channel).Check
            unary = channel.unary_unary(f"/{SERVICE}/Unary")

            async def shop() -> None:
                reply = await check(health_pb2.HealthCheckRequest(service="shop"), timeout=30)
                assert reply.status == health_pb2.HealthCheckResponse.SERVING

            async def attic() -> None:
                reply = await check(health_pb2.HealthCheckRequest(service="attic"))
                assert reply.status == health_pb2.HealthCheckResponse.NOT_SERVING

            async def handled(number: int) -> None:
                # Enough of them open the client's window, of which the lane gets its share.
                body = b"%d" % number * 2000
                assert await unary(body, timeout=30) == body

            for _ in range(20):
                await asyncio.gather(*(one() for one in (shop, attic) * 5), *(handled(number) for number in range(5)))
    finally:
        await server.stop(None)
    assert seen.count(PAST_H2) > 100
