"""What the native front end does beyond calls: ports and TLS, an orderly end, timers, flow control, hot methods, and
the servicers of grpcio that run on it unchanged.
"""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from couponry._core import L1, Call
from couponry.frontend.native import NativeServer, tls_credentials
from couponry.v1 import template_pb2, template_pb2_grpc

from .conftest import SERVICE, Certificates, Echo, Serve, dial
from .raw import (
    ACK,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    bare,
    connected,
    frame,
    grpc_headers,
    header_block,
    message,
    request,
)

UNARY = f"/{SERVICE}/Unary"
BLOCK = header_block(grpc_headers(UNARY))
NO_ERROR = 0
FAR = 1 << 60


@asynccontextmanager
async def started(server: NativeServer) -> AsyncIterator[Echo]:
    echo = Echo()
    server.add_registered_method_handlers(SERVICE, echo.handlers())
    await server.start()
    try:
        yield echo
    finally:
        await server.stop(None)


def health_stub(channel: Any) -> Any:
    return health_pb2_grpc.HealthStub(channel)


async def say(channel: Any, data: bytes = b"hi") -> bytes:
    reply: bytes = await channel.unary_unary(UNARY)(data, timeout=20)
    return reply


# Ports and TLS


async def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    server = NativeServer()
    path = tmp_path / "couponry.sock"
    assert server.add_insecure_port(f"unix:{path}") == 1
    async with started(server), dial(f"unix:{path}") as channel:
        assert await say(channel) == b"hi"
        assert await say(channel, b"peer x") == b"unix:"
        assert await say(channel, b"size 500000") == b"x" * 500_000
    assert not path.exists()


async def test_a_stale_unix_socket_is_taken_over_and_a_live_one_is_not(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/couponry.sock"
    first = NativeServer()
    first.add_insecure_port(address)
    async with started(first):
        with pytest.raises(RuntimeError, match="Failed to bind to address unix:"):
            NativeServer().add_insecure_port(address)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "couponry.sock"))
    second = NativeServer()
    second.add_insecure_port(address)
    async with started(second), dial(address) as channel:
        assert await say(channel) == b"hi"


async def test_a_port_is_known_before_the_start_and_taken_once() -> None:
    server = NativeServer(options=(("grpc.so_reuseport", 0),))
    port = server.add_insecure_port("127.0.0.1:0")
    assert port > 0
    with pytest.raises(RuntimeError, match="Failed to bind to address"):
        NativeServer(options=(("grpc.so_reuseport", 0),)).add_insecure_port(f"127.0.0.1:{port}")
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        assert await say(channel) == b"hi"


async def test_several_ports_serve_at_once() -> None:
    server = NativeServer()
    ports = [server.add_insecure_port("localhost:0"), server.add_insecure_port("127.0.0.1:0")]
    async with started(server):
        for port in ports:
            async with dial(f"127.0.0.1:{port}") as channel:
                assert await say(channel) == b"hi"


async def test_tls_is_served_and_plain_text_is_not(certificates: Certificates) -> None:
    server = NativeServer()
    credentials = tls_credentials([(certificates.server_key, certificates.server)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with started(server):
        trusted = grpc.ssl_channel_credentials(certificates.authority)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", trusted, options) as channel:
            assert await say(channel) == b"hi"
            assert await say(channel, b"size 3000000") == b"x" * 3_000_000
            assert await say(channel, b"auth x") == b"(None, [], [b'ssl'])"
        async with bare(port) as raw:
            await raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert await raw.until_closed() == []


async def test_mutual_tls_knows_the_client(certificates: Certificates) -> None:
    server = NativeServer()
    pairs = [(certificates.server_key, certificates.server)]
    port = server.add_secure_port("127.0.0.1:0", tls_credentials(pairs, certificates.authority, True))
    options = (("grpc.ssl_target_name_override", "localhost"),)
    async with started(server):
        known = grpc.ssl_channel_credentials(certificates.authority, certificates.client_key, certificates.client)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", known, options) as channel:
            seen = await say(channel, b"auth x")
            assert seen == b"('x509_subject_alternative_name', [b'buyer.test'], [b'ssl'])"
        unknown = grpc.ssl_channel_credentials(certificates.authority)
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", unknown, options) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await say(channel)
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_credentials_that_cannot_work_are_refused(certificates: Certificates) -> None:
    with pytest.raises(ValueError, match="At least one"):
        tls_credentials([])
    with pytest.raises(ValueError, match="without providing root"):
        tls_credentials([(certificates.server_key, certificates.server)], require_client_auth=True)
    hidden = grpc.ssl_server_credentials([(certificates.server_key, certificates.server)])
    with pytest.raises(TypeError, match="tls_credentials"):
        NativeServer().add_secure_port("127.0.0.1:0", hidden)


# The end


async def test_stopping_finishes_what_runs_and_says_goaway() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    echo = Echo()
    release = asyncio.Event()

    async def slow(request_bytes: bytes, _: Any) -> bytes:
        echo.ended.put_nowait("waiting")
        await release.wait()
        return request_bytes

    server.add_registered_method_handlers(SERVICE, {"Unary": grpc.unary_unary_rpc_method_handler(slow)})
    await server.start()
    async with connected(port) as raw:
        await raw.send(request(1, BLOCK, message(b"late")))
        assert await asyncio.wait_for(echo.ended.get(), 10) == "waiting"
        stopping = asyncio.create_task(server.stop(20))
        first = await raw.until(GOAWAY)
        assert (first.payload[:4], first.payload[4:8]) == (b"\x7f\xff\xff\xff", bytes(4))
        ping = await raw.until(PING)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await raw.send(frame(PING, ACK, 0, ping.payload))
        last = await raw.until(GOAWAY)
        assert last.payload[:4] == struct.pack(">I", 1)
        release.set()
        assert (await raw.until(DATA, stream=1)).payload == message(b"late")
        await raw.until(HEADERS, flags=END_STREAM, stream=1)
        await raw.until_closed()
        await asyncio.wait_for(stopping, 10)
    assert await server.wait_for_termination(0.1) is False


async def test_less_grace_ends_a_stop_sooner(serve_native: Serve) -> None:
    async with serve_native() as running, dial(running.address) as channel:
        call = channel.unary_unary(UNARY)(b"wait x")
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        patient = asyncio.create_task(running.server.stop(1000))
        assert await running.server.wait_for_termination(0.05) is True
        await asyncio.wait_for(running.server.stop(None), 10)
        await asyncio.wait_for(patient, 10)
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_an_idle_server_stops_at_once(serve_native: Serve) -> None:
    async with serve_native() as running, dial(running.address) as channel:
        assert await say(channel) == b"hi"
        await asyncio.wait_for(running.server.stop(1000), 10)


# Timers


async def test_an_old_connection_is_told_to_go_and_may_finish(serve_native: Serve) -> None:
    options = (("grpc.max_connection_age_ms", 200), ("grpc.max_connection_age_grace_ms", 200))
    async with serve_native(options=options) as running, connected(running.port) as raw:
        await raw.send(request(1, BLOCK, message(b"wait x")))
        await raw.until(GOAWAY)
        assert await raw.goaway() == (NO_ERROR, b"")
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"


async def test_an_idle_connection_is_told_to_go(serve_native: Serve) -> None:
    options = (("grpc.max_connection_idle_ms", 200),)
    async with serve_native(options=options) as running, connected(running.port) as raw:
        await raw.send(request(1, BLOCK, message(b"x")))
        await raw.until(HEADERS, flags=END_STREAM)
        await raw.until(GOAWAY)
        await raw.send(frame(PING, ACK, 0, (await raw.until(PING)).payload))
        await raw.until_closed()


async def test_a_peer_that_answers_no_ping_is_dropped_and_one_that_does_is_kept(serve_native: Serve) -> None:
    options = (("grpc.keepalive_time_ms", 100), ("grpc.keepalive_timeout_ms", 300))
    async with serve_native(options=options) as running:
        async with connected(running.port) as silent:
            await silent.until(PING)
            assert await silent.until_closed()
        async with connected(running.port) as alive:
            for _ in range(8):
                await alive.send(frame(PING, ACK, 0, (await alive.until(PING)).payload))
            await alive.send(request(1, BLOCK, message(b"x")))
            await alive.until(HEADERS, flags=END_STREAM)


async def test_a_deadline_is_told_by_the_server_too(serve_native: Serve) -> None:
    block = header_block(grpc_headers(UNARY, grpc_timeout="100m"))
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(request(1, block, message(b"wait x")))
        await raw.until(HEADERS, flags=END_STREAM, stream=1)
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "waiting"
        assert await asyncio.wait_for(running.echo.ended.get(), 10) == "cancelled"


# Flow control


async def test_a_slow_reader_of_a_stream_costs_a_bounded_buffer(serve_native: Serve) -> None:
    block = header_block(grpc_headers(f"/{SERVICE}/ServerStream"))
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(request(1, block, message(b"1000000 1000")))
        got = 0
        while got < 65_535:
            got += len((await raw.until(DATA, stream=1)).payload)
        assert got == 65_535
        # What was yielded: a window's worth, and no more than the send buffer ahead of it.
        assert running.echo.written <= (65_535 + 65_536) // 1005 + 2
        before = running.echo.written
        opened = struct.pack(">I", 50_000)
        await raw.send(frame(WINDOW_UPDATE, 0, 0, opened), frame(WINDOW_UPDATE, 0, 1, opened))
        while got < 115_535:
            got += len((await raw.until(DATA, stream=1)).payload)
        assert before < running.echo.written <= before + 55


async def test_a_handler_that_does_not_read_holds_the_sender_back() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    go_on = asyncio.Event()

    async def count(requests: AsyncIterator[bytes], _: Any) -> bytes:
        await go_on.wait()
        return b"%d" % len([each async for each in requests])

    server.add_registered_method_handlers(SERVICE, {"Count": grpc.stream_unary_rpc_method_handler(count)})
    await server.start()
    sent = 0
    async with dial(f"127.0.0.1:{port}") as channel:
        call = channel.stream_unary(f"/{SERVICE}/Count")(timeout=30)

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                await call.write(b"x" * 100_000)
                sent += 1
            await call.done_writing()

        sending = asyncio.create_task(send())
        done, _ = await asyncio.wait([sending], timeout=0.5)
        assert not done
        assert sent < 20
        go_on.set()
        assert await call == b"100"
        await sending
    await server.stop(None)


# Hot methods


class Templates(template_pb2_grpc.TemplateServiceServicer):
    """Says that Python was asked."""

    async def GetTemplate(self, request: Any, context: Any) -> Any:  # noqa: N802 - as generated
        context.set_trailing_metadata((("asked", "python"),))
        return template_pb2.GetTemplateResponse(template=template_pb2.Template(template_id=request.template_id))

    async def BatchGetTemplates(self, request: Any, context: Any) -> Any:  # noqa: N802 - as generated
        context.set_trailing_metadata((("asked", "python"),))
        return template_pb2.BatchGetTemplatesResponse()


async def test_hot_methods_are_answered_from_l1_and_their_misses_by_python() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    template_pb2_grpc.add_TemplateServiceServicer_to_server(cast("Any", Templates)(), server)
    l1 = L1({"template": 1 << 20})
    for number in (7, 8):
        stored = template_pb2.Template(template_id=number, version=number * 10)
        l1.put("template", str(number), stored.SerializeToString(), FAR)
    service = "/couponry.v1.TemplateService"
    server.answer_from_l1(f"{service}/GetTemplate", l1, "template")
    server.answer_from_l1(f"{service}/BatchGetTemplates", l1, "template", many=True)
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        stub = template_pb2_grpc.TemplateServiceStub(channel)

        async def ask(method: Any, request_message: Any) -> tuple[Any, bool]:
            call = method(request_message, timeout=20)
            return await call, bool(await call.trailing_metadata())

        get, batch = template_pb2.GetTemplateRequest, template_pb2.BatchGetTemplatesRequest
        reply, by_python = await ask(stub.GetTemplate, get(template_id=7))
        assert (reply.template.template_id, reply.template.version, by_python) == (7, 70, False)
        for missed in (get(template_id=9), get(key="k"), get(template_id=7, min_version=1), get()):
            assert (await ask(stub.GetTemplate, missed))[1]
        reply, by_python = await ask(stub.BatchGetTemplates, batch(template_ids=[8, 7]))
        assert ([each.template_id for each in reply.templates], by_python) == ([8, 7], False)
        assert (await ask(stub.BatchGetTemplates, batch(template_ids=[8, 9])))[1]
        l1.remove("template", "7")
        assert (await ask(stub.GetTemplate, get(template_id=7)))[1]


async def test_misses_of_hot_methods_are_fetched_together_and_answered_without_a_handler() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    template_pb2_grpc.add_TemplateServiceServicer_to_server(cast("Any", Templates)(), server)
    l1 = L1({"template": 1 << 20})
    fetched: list[list[str]] = []
    arrived = asyncio.Event()

    async def fetch(keys: Sequence[str]) -> dict[str, bytes]:
        fetched.append(list(keys))
        await arrived.wait()
        return {
            key: template_pb2.Template(template_id=int(key), version=1).SerializeToString()
            for key in keys
            if int(key) < 100
        }

    get, batch = "/couponry.v1.TemplateService/GetTemplate", "/couponry.v1.TemplateService/BatchGetTemplates"
    server.answer_from_l1(get, l1, "template", fetch=fetch)
    server.answer_from_l1(batch, l1, "template", many=True, fetch=fetch)
    one = template_pb2.GetTemplateRequest
    requests: list[tuple[str, Any]] = [(get, one(template_id=number)) for number in (5, 6, 5, 100)]
    requests.append((get, one(template_id=5, min_version=2)))
    requests.append((batch, template_pb2.BatchGetTemplatesRequest(template_ids=[7, 5])))
    async with started(server), connected(port) as raw:
        frames = [
            request(2 * place + 1, header_block(grpc_headers(path)), message(asked.SerializeToString()))
            for place, (path, asked) in enumerate(requests)
        ]
        await raw.send(*frames)
        await raw.until(HEADERS, flags=END_STREAM)
        assert [frame.stream for frame in raw.frames if frame.kind == DATA] == [9], "only the handler could answer it"
        assert fetched == [["5", "6", "100", "7"]]
        arrived.set()
        for _ in requests[1:]:
            await raw.until(HEADERS, flags=END_STREAM)
    replies = {frame.stream: frame.payload[5:] for frame in raw.frames if frame.kind == DATA}
    versions = {
        stream: template_pb2.GetTemplateResponse.FromString(replies[stream]).template.version
        for stream in (1, 3, 5, 7, 9)
    }
    assert versions == {1: 1, 3: 1, 5: 1, 7: 0, 9: 0}, "0: by the handler"
    both = template_pb2.BatchGetTemplatesResponse.FromString(replies[11])
    assert [template.template_id for template in both.templates] == [7, 5]


async def test_a_caller_that_leaves_while_its_miss_is_fetched_leaves_nothing_behind() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    template_pb2_grpc.add_TemplateServiceServicer_to_server(cast("Any", Templates)(), server)
    asked, arrived = asyncio.Event(), asyncio.Event()

    async def fetch(keys: Sequence[str]) -> dict[str, bytes]:
        asked.set()
        await arrived.wait()
        return dict.fromkeys(keys, b"")

    server.answer_from_l1(
        "/couponry.v1.TemplateService/GetTemplate", L1({"template": 1 << 20}), "template", fetch=fetch
    )
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        call = template_pb2_grpc.TemplateServiceStub(channel).GetTemplate(
            template_pb2.GetTemplateRequest(template_id=1), timeout=20
        )
        await asked.wait()
        call.cancel()
        engine = server._engine
        assert engine is not None
        while engine.calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
        arrived.set()
        while server._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert engine.calls == 0


async def test_a_method_is_answered_in_batches_without_a_task_each() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    sizes: list[int] = []

    def answer(calls: list[Call]) -> None:
        sizes.append(len(calls))
        for call in calls:
            asyncio.get_running_loop().call_soon(call.finish, 0, "", None, call.request())

    server.answer_in_batches(UNARY, answer)
    async with started(server), connected(port) as raw:
        await raw.send(*(request(stream, BLOCK, message(b"%d" % stream)) for stream in range(1, 201, 2)))
        for _ in range(100):
            await raw.until(HEADERS, flags=END_STREAM)
        assert {got.stream: got.payload for got in raw.frames if got.kind == DATA} == {
            stream: message(b"%d" % stream) for stream in range(1, 201, 2)
        }
        assert sum(sizes) == 100
        assert len(sizes) < 50
        assert server._tasks == set()


async def test_a_server_with_interceptors_answers_no_method_without_them() -> None:
    class Refuse(grpc.aio.ServerInterceptor):
        async def intercept_service(self, _: Any, __: Any) -> Any:
            async def refuse(_: Any, context: Any) -> None:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you")

            return grpc.unary_unary_rpc_method_handler(refuse)

    server = NativeServer(interceptors=(Refuse(),))
    port = server.add_insecure_port("127.0.0.1:0")
    health_pb2_grpc.add_HealthServicer_to_server(server.answer_health(), server)
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health_stub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_hot_method_must_be_there() -> None:
    server = NativeServer()
    server.answer_from_l1("/not.There/Get", L1({"template": 1 << 20}), "template")
    with pytest.raises(KeyError, match="not a registered method"):
        await server.start()


# Servicers of grpcio


@pytest.mark.parametrize("hot", [False, True], ids=["as it is", "hot"])
@pytest.mark.parametrize("asynchronous", [False, True], ids=["threads", "async"])
async def test_the_health_service_runs_unchanged(hot: bool, asynchronous: bool) -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    if hot:
        servicer: Any = server.answer_health()
    else:
        servicer = health.aio.HealthServicer() if asynchronous else health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    async def set_status(service: str, status: Any) -> None:
        changed = servicer.set(service, status)
        if changed is not None:
            await changed

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        stub = health_stub(channel)
        await set_status("couponry", not_serving)
        check = health_pb2.HealthCheckRequest
        if asynchronous or hot:
            assert (await stub.Check(check(), timeout=20)).status == serving
        assert (await stub.Check(check(service="couponry"), timeout=20)).status == not_serving
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(check(service="nobody"), timeout=20)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(check(service="couponry"), timeout=20)
        assert (await watch.read()).status == not_serving
        await set_status("couponry", serving)
        assert (await watch.read()).status == serving
        assert (await stub.Check(check(service="couponry"), timeout=20)).status == serving
        watch.cancel()


async def test_reflection_runs_unchanged() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")
    names = ("couponry.v1.TemplateService", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    async with started(server), dial(f"127.0.0.1:{port}") as channel:
        stub: Any = cast("Any", reflection_pb2_grpc).ServerReflectionStub(channel)
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=names[0]),
        ]
        listed, file = [reply async for reply in stub.ServerReflectionInfo(iter(asked), timeout=20)]
    assert {each.name for each in listed.list_services_response.service} == set(names)
    assert file.file_descriptor_response.file_descriptor_proto


async def test_compression_can_be_told_from_the_request_and_chosen_per_call() -> None:
    server = NativeServer()
    port = server.add_insecure_port("127.0.0.1:0")

    async def tell(request_bytes: bytes, context: Any) -> AsyncIterator[bytes]:
        context.set_compression(grpc.Compression.Gzip)
        context.disable_next_message_compression()
        yield b"%d" % context.request_compressed + b" " * 1000
        yield request_bytes

    server.add_registered_method_handlers(SERVICE, {"Tell": grpc.unary_stream_rpc_method_handler(tell)})
    await server.start()
    block = header_block(grpc_headers(f"/{SERVICE}/Tell", grpc_accept_encoding="gzip"))
    plain = b"z" * 1000
    async with connected(port) as raw:
        await raw.send(request(1, block, message(plain)))
        await raw.until(HEADERS, flags=END_STREAM)
        data = b"".join(got.payload for got in raw.frames if got.kind == DATA)
    assert data[:7] == b"\0" + struct.pack(">I", 1001) + b"0 "
    assert data[1006] == 1
    assert len(data) < 1200
    async with dial(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel:
        told = [each async for each in channel.unary_stream(f"/{SERVICE}/Tell")(plain, timeout=20)]
    assert told == [b"1" + b" " * 1000, plain]
    await server.stop(None)


async def test_settings_and_windows_are_those_of_the_documentation(serve_native: Serve) -> None:
    async with serve_native() as running, bare(running.port) as raw:
        await raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))
        settings = await raw.until(SETTINGS)
        values = dict(struct.iter_unpack(">HI", settings.payload))
    assert values == {3: 1024, 4: 256 * 1024, 6: 16 * 1024}
