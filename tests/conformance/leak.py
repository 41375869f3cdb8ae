"""The leak check: millions of calls and a hundred thousand connections that are cut at random points, in windows of the
same make; after each window the server holds what it held before, and its memory does not grow from window to window.

Run: `python -m tests.conformance.leak [--calls 10000000] [--connections 100000] [--windows 20] [--seed 5]`.
"""

import argparse
import asyncio
import gc
import json
import os
import random
import socket
import ssl
import statistics
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import grpc.aio
import uvloop
from hpack import Encoder
from hyperframe.frame import DataFrame, HeadersFrame, SettingsFrame

from couponry._core import L1, Call
from couponry.frontend.native import NativeServer
from tests.conformance import server as conformance_server
from tests.conformance import servicers, tools
from tests.conformance.harness import Report, Server, running
from tests.conformance.offender import frame, message
from tests.conformance.servicers import BARE_SERVICE, SCRIPT_SERVICE

__all__ = ["main"]

_MEGABYTE = 1 << 20
_MOST_GROWTH = 10 * _MEGABYTE
# Objects that Python's collector knows of. A connection or a call that leaves one behind leaves thousands.
_MOST_OBJECTS = 1000
_WARM_UP = 0.2
_LOOK_EVERY = 0.05
# Seconds in which the server is rid of a window's calls and connections.
_SETTLE = 10.0
_AT_ONCE = 48
_CONNECTION_TIMEOUT = 30.0

_SERVICE = "couponry.conformance.Leak"
_KIND = "held"
_HELD = 1000
_HELD_BYTES = 40
_HOUR_MS = 3_600_000


# The server: the conformance service, with calls that the extension answers, batches, and a method that says what is
# left.


def _add(server: grpc.aio.Server) -> None:
    assert isinstance(server, NativeServer)
    l1 = L1({_KIND: _MEGABYTE})
    for number in range(1, _HELD + 1):
        l1.put(_KIND, str(number), bytes(_HELD_BYTES), time.time_ns() // 1_000_000 + _HOUR_MS)

    async def missed(request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "not held")
        return b""

    async def state(request: bytes, context: Any) -> bytes:
        engine = server._engine
        assert engine is not None
        found = {"tasks": len(asyncio.all_tasks()), "calls": engine.calls, "connections": engine.connections}
        if request:
            gc.collect()
            found["objects"] = len(gc.get_objects())
        return json.dumps(found).encode()

    def answer(calls: list[Call]) -> None:
        for call in calls:
            call.finish(0, "", None, call.request())

    unary = grpc.unary_unary_rpc_method_handler
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Held": unary(missed),
        "Batched": unary(missed),
        "State": unary(state),
    }
    server.add_registered_method_handlers(_SERVICE, handlers)
    server.answer_from_l1(f"/{_SERVICE}/Held", l1, _KIND, item_field=0)
    server.answer_in_batches(f"/{_SERVICE}/Batched", answer)
    servicers.add_all(server)


# Calls


@dataclass(frozen=True, slots=True)
class Load:
    """One way of calling, and its share of all calls."""

    name: str
    share: float
    method: str
    options: tuple[str, ...]


_LOADS = (
    Load("from L1", 0.70, f"{_SERVICE}/Held", ("--field", f"1=int:1..{_HELD}", "--expect-length", str(_HELD_BYTES))),
    Load("batched", 0.18, f"{_SERVICE}/Batched", ("--message-hex", b"again".hex(), "--expect-hex", b"again".hex())),
    Load("Python unary", 0.10, f"{BARE_SERVICE}/Echo", ("--message-hex", b"once".hex(), "--expect-hex", b"once".hex())),
    Load(
        "server stream",
        0.012,
        f"{BARE_SERVICE}/Stream",
        ("--message-hex", b"5 100".hex(), "--expect-length", "100", "--expect-messages", "5"),
    ),
    Load("unknown method", 0.005, f"{BARE_SERVICE}/None", ("--expect-status", "12")),
    Load("deadline passed", 0.003, f"{BARE_SERVICE}/Hang", ("-H", "grpc-timeout:10m", "--expect-status", "4")),
)


async def _call(server: Server, load: Load, calls: int, tally: "Tally") -> None:
    command = (str(tools.loadgen()), server.address, f"/{load.method}", "-c", "8", "-m", "32", *load.options)
    # The number of calls ends it.
    end = ("-n", str(calls), "--warmup", "0", "--duration", "100000")
    loadgen = await asyncio.create_subprocess_exec(
        *command, *end, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        output, errors = await loadgen.communicate()
    finally:
        if loadgen.returncode is None:
            loadgen.kill()
    if not output:
        raise RuntimeError(f"{load.name}: {errors.decode()[-400:]}")
    result = json.loads(output)
    tally.calls[load.name] += result["calls"]
    tally.call_seconds[load.name] += result["seconds"]
    tally.wrong += result["wrong"]


# Connections


def _opening(service: str, method: str, encoder: Encoder, stream: int = 1) -> bytes:
    """The HEADERS frame of a call."""
    block = encoder.encode(
        [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", f"/{service}/{method}"),
            (":authority", "localhost"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ]
    )
    return frame(HeadersFrame(stream, data=block, flags=["END_HEADERS"]))


def _body(data: bytes, *, stream: int = 1, last: bool = True) -> bytes:
    """A message in DATA frames of the size that every peer takes."""
    whole, most = message(data), 16_384
    parts = [whole[at : at + most] for at in range(0, len(whole), most)]
    made = [DataFrame(stream, part) for part in parts]
    if last:
        made[-1].flags.add("END_STREAM")
    return b"".join(map(frame, made))


def _echoes(count: int) -> tuple[bytes, ...]:
    encoder = Encoder()
    streams = range(1, 2 * count, 2)
    return tuple(_opening(BARE_SERVICE, "Echo", encoder, s) + _body(b"echo", stream=s) for s in streams)


_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SettingsFrame(0, settings={}))
_ECHO_HEADERS = _opening(BARE_SERVICE, "Echo", Encoder())
_ECHO_BODY = _body(bytes(40_000))
_UPLOAD_HEADERS = _opening(SCRIPT_SERVICE, "FromStream", Encoder()) + _body(b"{}", last=False)
_UPLOAD_BODY = _body(bytes(20_000), last=False)
# More than a stream's window, so the handler waits for the peer when it goes.
_STREAM = _opening(BARE_SERVICE, "Stream", Encoder()) + _body(b"1000 1000")
_STREAM_SEEN = 60_000
_HANG = _opening(BARE_SERVICE, "Hang", Encoder()) + _body(b"")
_ECHOES = _echoes(3)


class Replies:
    """Counts the unary calls that the server has answered, in whatever pieces its bytes come."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._messages = 0
        self.ended = 0

    def take(self, data: bytes) -> None:
        self._bytes += data
        while len(self._bytes) >= 9:
            length = int.from_bytes(self._bytes[:3], "big")
            if len(self._bytes) < 9 + length:
                return
            kind, flags = self._bytes[3], self._bytes[4]
            del self._bytes[: 9 + length]
            self._messages += kind == DataFrame.type
            if kind == HeadersFrame.type and flags & 1:
                self.ended += 1
                if self._messages < self.ended:
                    raise ConnectionError("a call has ended without its message")


class Peer:
    """A connection that will be cut."""

    def __init__(self, sock: socket.socket, server: Server, chance: random.Random) -> None:
        self.sock = sock
        self.server = server
        self.chance = chance
        self._loop = asyncio.get_running_loop()

    async def connect(self, port: int) -> None:
        await self._loop.sock_connect(self.sock, ("127.0.0.1", port))

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    async def hear(self) -> bytes:
        """Some of what the server says, which shows that it has taken the connection."""
        data = await self._loop.sock_recv(self.sock, 1 << 16)
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data

    def part(self, data: bytes) -> bytes:
        """The beginning of it, up to a random byte that is not the last."""
        return data[: self.chance.randrange(1, len(data))]


async def _in_preface(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(peer.part(_HELLO))


async def _in_headers(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(_HELLO + peer.part(_ECHO_HEADERS))
    await peer.hear()


async def _in_body(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(_HELLO + _ECHO_HEADERS + peer.part(_ECHO_BODY))
    await peer.hear()


async def _in_request_stream(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(_HELLO + _UPLOAD_HEADERS + peer.part(_UPLOAD_BODY))
    await peer.hear()


async def _in_reply_stream(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(_HELLO + _STREAM)
    seen, enough = 0, peer.chance.randrange(_STREAM_SEEN)
    while seen <= enough:
        seen += len(await peer.hear())


async def _in_handler(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    await peer.send(_HELLO + _HANG)
    await peer.hear()


async def _after_call(peer: Peer) -> None:
    await peer.connect(peer.server.port)
    calls = peer.chance.randint(1, len(_ECHOES))
    await peer.send(_HELLO + b"".join(_ECHOES[:calls]))
    replies = Replies()
    while replies.ended < calls:
        replies.take(await peer.hear())


def _client_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


async def _in_tls_handshake(peer: Peer) -> None:
    outgoing = ssl.MemoryBIO()
    client = _client_tls().wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        hello = outgoing.read()
    await peer.connect(peer.server.tls_port)
    if peer.chance.random() < 0.5:
        await peer.send(peer.part(hello))
    else:
        await peer.send(hello)
        await peer.hear()


async def _after_call_over_tls(peer: Peer) -> None:
    await peer.connect(peer.server.tls_port)
    reader, writer = await asyncio.open_connection(sock=peer.sock, ssl=_client_tls(), server_hostname="localhost")
    try:
        writer.write(_HELLO + _ECHOES[0])
        replies = Replies()
        while not replies.ended:
            data = await reader.read(1 << 16)
            if not data:
                raise ConnectionError("the server has closed the connection")
            replies.take(data)
    finally:
        # Neither TLS's nor HTTP/2's goodbye.
        writer.transport.abort()


Cut: TypeAlias = Callable[[Peer], Awaitable[None]]

# Of 100 connections, how many are cut there.
_CUTS: dict[str, tuple[int, Cut]] = {
    "in the preface": (20, _in_preface),
    "in the headers": (20, _in_headers),
    "in the body": (10, _in_body),
    "in a stream of requests": (10, _in_request_stream),
    "in a stream of replies": (12, _in_reply_stream),
    "while the handler runs": (8, _in_handler),
    "after the call": (15, _after_call),
    "in the TLS handshake": (3, _in_tls_handshake),
    "after a call over TLS": (2, _after_call_over_tls),
}


# How the server learns that the peer has gone: a FIN (or what the kernel makes of unread bytes), or a RST at once.
_WAYS = ("FIN", "RST")


def _all_cuts() -> list[str]:
    return [f"{where}, {way}" for where in _CUTS for way in _WAYS]


async def _cut(server: Server, cut: str, chance: random.Random, tally: "Tally") -> None:
    where, way = cut.rsplit(", ", 1)
    with socket.socket() as sock:
        sock.setblocking(False)
        # Spread over addresses, or the ports of connections that ended a moment ago run out.
        sock.bind((f"127.0.0.{chance.randint(2, 60)}", 0))
        if way == "RST":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            async with asyncio.timeout(_CONNECTION_TIMEOUT):
                await _CUTS[where][1](Peer(sock, server, chance))
        except (OSError, TimeoutError) as error:
            tally.failures[f"{cut}: {type(error).__name__} {error}"] += 1
    tally.cuts[cut] += 1


async def _cut_all(server: Server, cuts: list[str], chance: random.Random, tally: "Tally") -> None:
    left = iter(cuts)

    async def cut_in_turn() -> None:
        for cut in left:
            await _cut(server, cut, chance, tally)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(cut_in_turn())


# Windows


@dataclass(slots=True)
class Tally:
    """What was done, and what was seen of the server meanwhile."""

    calls: Counter[str] = field(default_factory=Counter)
    call_seconds: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    cuts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    # One for each window: bytes.
    memory: list[float] = field(default_factory=list)


class Held:
    """What the server holds: asked over a connection that stays."""

    def __init__(self, server: Server, channel: grpc.Channel) -> None:
        self._server = server
        self._ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{_SERVICE}/State")

    def now(self, *, objects: bool = False) -> dict[str, int]:
        found: dict[str, int] = json.loads(self._ask(b"objects" if objects else b"", timeout=30))
        return found | {"files": self._server.files()}

    async def more_than(self, base: dict[str, int]) -> dict[str, int]:
        """What is held above the base, once that is nothing or the time for it is over."""
        until = time.monotonic() + _SETTLE
        while True:
            now = self.now()
            more = {name: now[name] - count for name, count in base.items() if now[name] > count}
            if not more or time.monotonic() > until:
                return more
            await asyncio.sleep(_LOOK_EVERY)


async def _watch(server: Server, seen: list[int]) -> None:
    while True:
        seen.append(server.rss())
        await asyncio.sleep(_LOOK_EVERY)


async def _window(server: Server, calls: int, cuts: list[str], chance: random.Random, tally: Tally) -> None:
    """Calls one way after the other, and connections that are cut meanwhile."""
    seen: list[int] = []
    watch = asyncio.create_task(_watch(server, seen))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_cut_all(server, cuts, chance, tally))
            for load in _LOADS:
                await _call(server, load, max(1, round(calls * load.share)), tally)
    finally:
        watch.cancel()
    tally.memory.append(statistics.median(seen))


async def _run(server: Server, arguments: argparse.Namespace, report: Report) -> None:
    begin = time.monotonic()
    chance = random.Random(arguments.seed)
    windows, tally = arguments.windows, Tally()
    shares = {cut: _CUTS[cut.rsplit(", ", 1)[0]][0] for cut in _all_cuts() if cut not in arguments.without}
    cuts = chance.choices(list(shares), list(shares.values()), k=arguments.connections)
    with grpc.insecure_channel(server.address) as channel:
        held = Held(server, channel)
        before = held.now(objects=True)["objects"]
        base = held.now()
        warm = max(1, round(windows * _WARM_UP))
        more: dict[str, int] = {}
        for number in range(windows):
            calls = arguments.calls * (number + 1) // windows - arguments.calls * number // windows
            await _window(server, calls, cuts[number::windows], chance, tally)
            more = await held.more_than(base)
            found = f"{tally.memory[-1] / _MEGABYTE:.2f} MB, {time.monotonic() - begin:.0f} s"
            print(f"  window {number + 1} of {windows}: {found}", flush=True)
            if number + 1 == warm:
                before = held.now(objects=True)["objects"]
            if more:
                print(f"  stopped: {_SETTLE:.0f} s after the window the server still holds {more} too many", flush=True)
                break
        objects = held.now(objects=True)["objects"] - before
    _judge(tally, arguments, warm, report)
    for name, bar in (("tasks", "tasks"), ("calls", "calls"), ("connections", "connections"), ("files", "open files")):
        report.add(f"{bar} left", f"{more.get(name, 0)} above {base[name]}", "none", name not in more)
    report.add("Python objects since the warm-up", f"{objects:+,}", f"<= {_MOST_OBJECTS:,}", objects <= _MOST_OBJECTS)


def _judge(tally: Tally, arguments: argparse.Namespace, warm: int, report: Report) -> None:
    for name, count in tally.calls.items():
        report.add(f"calls: {name}", f"{count:,}, {count / tally.call_seconds[name] / 1000:,.1f} k/s", "", met=True)
    calls = tally.calls.total()
    right = calls >= arguments.calls and not tally.wrong
    report.add("calls", f"{calls:,}, {tally.wrong:,} wrong", f">= {arguments.calls:,}, none wrong", right)
    for cut in _all_cuts():
        if cut in arguments.without:
            report.skip(f"cut {cut}", "left out as asked")
        else:
            report.add(f"cut {cut}", f"{tally.cuts[cut]:,}", "", met=True)
    cuts, failures = tally.cuts.total(), tally.failures.total()
    found = "; ".join((f"{cuts:,}, {failures:,} failed before", *(f"{n} x {e}" for e, n in tally.failures.items())))
    bar = f"{arguments.connections:,}, none failed"
    report.add("connections cut", found, bar, cuts == arguments.connections and not failures)
    first, *later = tally.memory[warm:] or tally.memory[-1:]
    growth = max(later, default=first) - first
    figures = (f"{size / _MEGABYTE:.1f}" for size in (tally.memory[0], first, *later[-1:]))
    found = f"grew {growth / _MEGABYTE:.2f} MB at most (first window, after warm-up, last: {', '.join(figures)})"
    enough = bool(later) and growth <= _MOST_GROWTH
    report.add("median RSS of the windows", found, f"grows <= {_MOST_GROWTH // _MEGABYTE} MB", enough)


def main() -> int:
    if "--serve" in sys.argv:
        sys.argv.remove("--serve")
        return conformance_server.main(_add)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=int(os.environ.get("LEAK_CALLS", "10000000")))
    parser.add_argument("--connections", type=int, default=int(os.environ.get("LEAK_CONNECTIONS", "100000")))
    parser.add_argument("--windows", type=int, default=20, help="at least 4")
    parser.add_argument("--without", nargs="*", choices=_all_cuts(), default=[], help="leave out these cuts")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.windows < 4 or min(arguments.calls, arguments.connections) < arguments.windows:
        parser.error("--windows is at least 4, --calls and --connections are at least --windows")
    report = Report("Leaks of the native front end")
    try:
        tools.loadgen()
    except tools.Missing as missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return 2
    with running("native", "--serve", module="tests.conformance.leak") as server:
        uvloop.run(_run(server, arguments, report))
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
