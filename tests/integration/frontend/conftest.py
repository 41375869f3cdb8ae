"""One servicer under both front ends, written with raw bytes so that a test sees exactly what is sent."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from couponry.frontend.native import NativeServer

SERVICE = "couponry.test.Echo"


def dial(address: str, **arguments: Any) -> Any:
    """A channel of grpcio, whose typing knows no calls without serializers."""
    return grpc.aio.insecure_channel(address, **arguments)


@dataclass
class Echo:
    """Does what the request says. What happened to its calls is written down."""

    ended: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    written: int = 0

    async def unary(self, request: bytes, context: Any) -> bytes:  # noqa: C901, PLR0912 - one line a case
        match request.split(b" ", 1):
            case [b"abort", details]:
                await context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION, details.decode(), (("why", "x"), ("b-bin", b"\0\xff"))
                )
            case [b"code", _]:
                context.set_code(grpc.StatusCode.DATA_LOSS)
                context.set_details("set")
                context.set_trailing_metadata((("t", "1"), ("t", "2")))
            case [b"raise", what]:
                raise ValueError(what.decode())
            case [b"metadata", _]:
                sent = [(entry[0], entry[1]) for entry in context.invocation_metadata() if entry[0].startswith("x-")]
                await context.send_initial_metadata([(key, value) for key, value in sent])
                context.set_trailing_metadata(tuple(sent))
                return repr(sorted(sent)).encode()
            case [b"wait", _]:
                return await self._wait(context)
            case [b"peer", _]:
                return bytes(context.peer(), "ascii")
            case [b"size", size]:
                return b"x" * int(size)
            case [b"remaining", _]:
                return b"none" if context.time_remaining() is None else b"some"
            case [b"gzip", _]:
                context.set_compression(grpc.Compression.Gzip)
                return b"z" * 10_000
            case [b"badmetadata", _]:
                context.set_trailing_metadata((("k", "\n"),))
            case [b"badinitial", _]:
                await context.send_initial_metadata((("k", "\n"),))
            case [b"callback", _]:
                context.add_done_callback(lambda _: self.ended.put_nowait("callback"))
            case [b"auth", _]:
                identities = list(context.peer_identities() or ())
                return repr(
                    (context.peer_identity_key(), identities, list(context.auth_context()["transport_security_type"]))
                ).encode()
        return request

    async def _wait(self, context: Any) -> bytes:
        self.ended.put_nowait("waiting")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise
        return b""

    async def server_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        count, size = map(int, request.split())
        try:
            for number in range(count):
                yield b"%0*d" % (size, number)
                self.written += 1
            if size == 13:
                await context.abort(grpc.StatusCode.OUT_OF_RANGE, "after the messages")
        except (asyncio.CancelledError, GeneratorExit):
            self.ended.put_nowait("stream cancelled")
            raise

    async def server_stream_writing(self, request: bytes, context: Any) -> None:
        for number in range(int(request)):
            await context.write(b"%d" % number)

    async def client_stream(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        sizes = [len(request) async for request in requests]
        return b"%d %d" % (len(sizes), sum(sizes))

    async def both(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            if request == b"stop":
                return
            yield request

    async def both_reading(self, _: AsyncIterator[bytes], context: Any) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:
            await context.write(request)

    def thread_unary(self, request: bytes, context: Any) -> bytes:
        if request == b"abort":
            context.abort(grpc.StatusCode.NOT_FOUND, "from a thread")
        context.set_trailing_metadata((("thread", "yes"),))
        return request

    def thread_stream(self, requests: Any, context: Any) -> Any:
        for request in requests:
            yield request * 2

    def handlers(self) -> dict[str, Any]:
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "ServerStream": grpc.unary_stream_rpc_method_handler(self.server_stream),
            "ServerStreamWriting": grpc.unary_stream_rpc_method_handler(self.server_stream_writing),
            "ClientStream": grpc.stream_unary_rpc_method_handler(self.client_stream),
            "Both": grpc.stream_stream_rpc_method_handler(self.both),
            "BothReading": grpc.stream_stream_rpc_method_handler(self.both_reading),
            "ThreadUnary": grpc.unary_unary_rpc_method_handler(self.thread_unary),
            "ThreadStream": grpc.stream_stream_rpc_method_handler(self.thread_stream),
        }


@dataclass
class Running:
    """A server that runs, and where."""

    server: Any
    echo: Echo
    port: int
    kind: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


Serve = Callable[..., AbstractAsyncContextManager[Running]]


@asynccontextmanager
async def serving(kind: str, **arguments: Any) -> AsyncIterator[Running]:
    """The echo service under one front end, on a free port."""
    server: Any = NativeServer(**arguments) if kind == "native" else grpc.aio.server(**arguments)
    echo = Echo()
    handlers = echo.handlers()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_registered_method_handlers(SERVICE, handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Running(server, echo, port, kind)
    finally:
        await server.stop(None)


@pytest.fixture(params=["reference", "native"])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Serves the echo service, under each front end in turn."""

    def start(**arguments: Any) -> AbstractAsyncContextManager[Running]:
        return serving(request.param, **arguments)

    return start


@pytest.fixture
def serve_native() -> Serve:
    """Serves the echo service under the native front end."""

    def start(**arguments: Any) -> AbstractAsyncContextManager[Running]:
        return serving("native", **arguments)

    return start


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: an authority, and a key and certificate for localhost and for a client."""

    authority: bytes
    server_key: bytes
    server: bytes
    client_key: bytes
    client: bytes


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates made for this run."""
    folder = tmp_path_factory.mktemp("certificates")
    elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(
        folder, "req", "-x509", *elliptic, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority"
    )
    for name, alternative in (("localhost", "DNS:localhost"), ("buyer", "DNS:buyer.test")):
        (folder / "extensions").write_text(f"subjectAltName={alternative}")
        _openssl(folder, "req", *elliptic, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
        _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signing)

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    return Certificates(
        read("ca.pem"), read("localhost.key"), read("localhost.pem"), read("buyer.key"), read("buyer.pem")
    )
