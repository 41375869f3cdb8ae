"""Peers that misuse the protocol are cut off, cost little, and do not disturb the others."""

import asyncio
import contextlib
import random
import struct
from collections.abc import Coroutine
from pathlib import Path

import pytest

from .conftest import SERVICE, Running, Serve, dial
from .raw import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Raw,
    bare,
    connected,
    frame,
    grpc_headers,
    header_block,
    message,
    request,
)

ENHANCE_YOUR_CALM = 11
BLOCK = header_block(grpc_headers(f"/{SERVICE}/Unary"))
STREAM_BLOCK = header_block(grpc_headers(f"/{SERVICE}/ServerStream"))


async def assert_healthy(running: Running) -> None:
    async with dial(running.address) as made:
        assert await made.unary_unary(f"/{SERVICE}/Unary")(b"hi", timeout=20) == b"hi"


async def assert_nothing_left(running: Running) -> None:
    async with asyncio.timeout(20):
        while running.server._engine.connections or running.server._tasks:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def send_all(raw: Raw, data: bytes) -> None:
    """Sends as long as the server takes it."""
    # uvloop's transport raises RuntimeError when it has closed.
    with contextlib.suppress(ConnectionError, RuntimeError):
        await raw.send(data)


@pytest.mark.parametrize(
    ("flood", "why"),
    [
        (frame(PING, 0, 0, bytes(8)), b"too_many_pings"),
        (frame(SETTINGS, 0, 0), b"too_many_settings"),
        (frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)), b"too_many_window_updates"),
        (frame(2, 0, 1, bytes(5)), b"too_many_frames"),
        (frame(0xBE, 0, 0, b"?"), b"too_many_frames"),
    ],
    ids=["ping", "settings", "window update", "priority", "unknown"],
)
async def test_a_flood_of_control_frames_is_cut_off(serve_native: Serve, flood: bytes, why: bytes) -> None:
    async with serve_native() as running:
        async with connected(running.port) as raw:
            await send_all(raw, flood * 20_000)
            assert await raw.goaway() == (ENHANCE_YOUR_CALM, why)
        await assert_healthy(running)
        await assert_nothing_left(running)


async def test_pings_at_a_decent_pace_are_answered(serve_native: Serve) -> None:
    options = (("grpc.http2.min_recv_ping_interval_without_data_ms", 0),)
    async with serve_native(options=options) as running, connected(running.port) as raw:
        for number in range(50):
            await raw.send(frame(PING, 0, 0, struct.pack(">Q", number)))
            assert (await raw.until(PING, flags=ACK)).payload == struct.pack(">Q", number)


async def test_rapid_resets_of_running_calls_are_cut_off_and_their_handlers_cancelled(serve_native: Serve) -> None:
    async with serve_native() as running:
        async with connected(running.port) as raw:
            for first in range(1, 4001, 200):
                batch = b"".join(
                    request(stream, BLOCK, message(b"wait x")) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
                    for stream in range(first, first + 200, 2)
                )
                await send_all(raw, batch)
                await asyncio.sleep(0)
            code, why = await raw.goaway()
        assert (code, why) in {(ENHANCE_YOUR_CALM, b"too_many_resets"), (ENHANCE_YOUR_CALM, b"")}
        await assert_healthy(running)
        await assert_nothing_left(running)


async def test_a_flood_of_empty_data_frames_is_cut_off(serve_native: Serve) -> None:
    async with serve_native() as running:
        async with connected(running.port) as raw:
            await send_all(raw, frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(DATA, 0, 1) * 5000)
            assert (await raw.goaway())[0] == ENHANCE_YOUR_CALM
        await assert_nothing_left(running)


async def test_headers_without_an_end_are_cut_off(serve_native: Serve) -> None:
    async with serve_native() as running:
        async with connected(running.port) as raw:
            await send_all(raw, frame(HEADERS, 0, 1, BLOCK) + frame(9, 0, 1, header_block([("x", "y" * 100)])) * 5000)
            frames = await raw.until_closed()
        assert any(got.kind == GOAWAY for got in frames)
        await assert_healthy(running)
        await assert_nothing_left(running)


async def test_a_peer_that_asks_and_never_reads_costs_little_and_is_cut_off(serve_native: Serve) -> None:
    options = (
        ("couponry.stall_timeout_ms", 1000),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 0),
    )
    wide_open = struct.pack(">HI", 4, 2**31 - 1)
    async with serve_native(options=options) as running:
        before = resident_bytes()
        async with connected(running.port, settings=wide_open) as raw:
            raw.reader._limit = 1024  # type: ignore[attr-defined]
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await raw.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 2**31 - 70_000)))
            await raw.send(*(request(stream, STREAM_BLOCK, message(b"100000000 100")) for stream in range(1, 200, 2)))
            await assert_nothing_left(running)
        assert resident_bytes() - before < 20 * 2**20
        assert running.echo.written < 300_000
        await assert_healthy(running)


async def test_windows_that_stay_shut_do_not_hold_replies_for_ever(serve_native: Serve) -> None:
    options = (("couponry.stall_timeout_ms", 500),)
    shut = struct.pack(">HI", 4, 0)
    async with serve_native(options=options) as running:
        async with connected(running.port, settings=shut) as raw:
            await raw.send(*(request(stream, BLOCK, message(b"x")) for stream in range(1, 2001, 2)))
            assert await raw.goaway() == (ENHANCE_YOUR_CALM, b"stalled")
        await assert_healthy(running)
        await assert_nothing_left(running)


@pytest.mark.parametrize("said", [b"", PREFACE[:10], PREFACE, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_a_slow_or_wrong_preface_is_cut_off(serve_native: Serve, said: bytes) -> None:
    options = (("grpc.server_handshake_timeout_ms", 300),)
    async with serve_native(options=options) as running:
        async with bare(running.port) as raw:
            await raw.send(said)
            await raw.until_closed()
        await assert_nothing_left(running)


@pytest.mark.parametrize("inside", [frame(HEADERS, 0, 1, BLOCK), frame(HEADERS, 4, 1, BLOCK)[:20]])
async def test_a_frame_that_never_ends_is_cut_off(serve_native: Serve, inside: bytes) -> None:
    options = (("couponry.stall_timeout_ms", 300),)
    async with serve_native(options=options) as running:
        async with connected(running.port) as raw:
            await raw.send(inside)
            await raw.until_closed()
        await assert_nothing_left(running)


async def test_a_request_that_never_ends_is_reset(serve_native: Serve) -> None:
    options = (("couponry.stall_timeout_ms", 300),)
    async with serve_native(options=options) as running, connected(running.port) as raw:
        await raw.send(frame(HEADERS, END_HEADERS, 1, BLOCK), frame(DATA, 0, 1, message(b"xyz")[:6]))
        assert (await raw.until(RST_STREAM, stream=1)).payload == struct.pack(">I", 8)


async def test_more_connections_than_allowed_are_refused(serve_native: Serve) -> None:
    async with serve_native(options=(("couponry.max_connections", 3),)) as running:
        async with connected(running.port), connected(running.port), connected(running.port) as last:
            async with bare(running.port) as refused:
                await send_all(refused, PREFACE)
                assert await refused.until_closed() == []
            await last.send(request(1, BLOCK, message(b"x")))
            await last.until(HEADERS, flags=END_STREAM)
        await assert_nothing_left(running)


async def test_more_streams_than_allowed_are_refused(serve_native: Serve) -> None:
    async with (
        serve_native(options=(("grpc.max_concurrent_streams", 2),)) as running,
        connected(running.port) as raw,
    ):
        await raw.send(*(request(stream, BLOCK, message(b"wait x")) for stream in (1, 3, 5)))
        assert (await raw.until(RST_STREAM, stream=5)).payload == struct.pack(">I", 7)


async def test_connections_cut_anywhere_leave_nothing(serve_native: Serve) -> None:
    """2,000 of them; the whole of it is in docs/frontend.md."""
    pieces = random.Random(5)
    script = PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0)
    script += request(1, BLOCK, message(b"wait x")) + request(3, STREAM_BLOCK, message(b"1000000 50"))
    script += request(5, BLOCK, message(b"hi")) + frame(HEADERS, END_HEADERS, 7, BLOCK)

    async def cut(port: int) -> None:
        async with bare(port) as raw:
            await send_all(raw, script[: pieces.randrange(len(script) + 1)])
            if pieces.random() < 0.5:
                await raw.reader.read(pieces.randrange(1, 200))

    async with serve_native(options=(("grpc.server_handshake_timeout_ms", 500),)) as running:
        files = open_files()
        for number in range(100):
            if number == 20:
                warm = resident_bytes()
            cuts = (asyncio.wait_for(_quietly(cut(running.port)), 0.3) for _ in range(20))
            await asyncio.gather(*cuts, return_exceptions=True)
        await assert_nothing_left(running)
        assert resident_bytes() - warm < 10 * 2**20
        async with asyncio.timeout(20):
            while open_files() > files:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await assert_healthy(running)


async def _quietly(cut: Coroutine[None, None, None]) -> None:
    with contextlib.suppress(ConnectionError):
        await cut


async def test_a_hundred_thousand_calls_leave_nothing(serve_native: Serve) -> None:
    async with serve_native() as running, connected(running.port) as raw:
        stream = 1
        for batch in range(100):
            if batch == 20:
                warm = resident_bytes()
            streams = range(stream, stream + 2000, 2)
            stream += 2000
            await raw.send(*(request(number, BLOCK, message(b"hi")) for number in streams))
            for _ in streams:
                await raw.until(HEADERS, flags=END_STREAM)
            raw.frames.clear()
            await raw.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 7 * 1000)))
        assert resident_bytes() - warm < 5 * 2**20
        assert running.server._tasks == set()
        assert running.server._engine.calls == 0
