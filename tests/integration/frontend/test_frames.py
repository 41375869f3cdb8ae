"""What the native front end answers to requests that no gRPC client would send."""

from typing import Any

import pytest

from .conftest import SERVICE, Serve
from .raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    connected,
    frame,
    grpc_headers,
    header_block,
    message,
    request,
)

hpack = pytest.importorskip("hpack")

UNARY = f"/{SERVICE}/Unary"
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = "0", "3", "8", "12", "13"


async def answer(serve_native: Serve, *frames: bytes, **arguments: Any) -> dict[str, str]:
    """The headers and trailers of the reply to stream 1."""
    seen: dict[str, str] = {}
    async with serve_native(**arguments) as running, connected(running.port) as raw:
        await raw.send(*frames)
        decoder = hpack.Decoder()
        while True:
            got = await raw.until(HEADERS, stream=1)
            seen.update(decoder.decode(got.payload))
            if got.flags & END_STREAM:
                return seen


BLOCK = header_block(grpc_headers(UNARY))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (message(b"x"), OK),
        (message(b"x") + message(b"y"), INTERNAL),
        (message(b"xyz")[:-1], INTERNAL),
        (b"\0\0\0", INTERNAL),
        (b"", INTERNAL),
        (message(b"x", flag=1), INTERNAL),
        (message(b"x", flag=7), INTERNAL),
    ],
    ids=["one", "two", "truncated", "short prefix", "none", "compressed without encoding", "unknown flag"],
)
async def test_a_unary_request_is_exactly_one_message(serve_native: Serve, data: bytes, status: str) -> None:
    seen = await answer(serve_native, request(1, BLOCK, data))
    assert (seen[":status"], seen["grpc-status"]) == ("200", status)


async def test_a_length_of_four_gib_is_refused_before_anything_of_it_came(serve_native: Serve) -> None:
    open_ended = frame(HEADERS, END_HEADERS, 1, BLOCK) + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff")
    seen = await answer(serve_native, open_ended)
    assert seen["grpc-status"] == RESOURCE_EXHAUSTED


async def test_a_message_in_many_pieces_is_put_together(serve_native: Serve) -> None:
    pieces = [frame(DATA, 0, 1, bytes((byte,))) for byte in message(b"hello")]
    seen = await answer(serve_native, frame(HEADERS, END_HEADERS, 1, BLOCK), *pieces, frame(DATA, END_STREAM, 1))
    assert seen["grpc-status"] == OK


@pytest.mark.parametrize(
    ("extra", "http", "status"),
    [
        ({"content_type": "application/json"}, "415", INVALID_ARGUMENT),
        ({"content_type": "application/grpc-web"}, "415", INVALID_ARGUMENT),
        ({"content_type": "application/grpc+proto"}, "200", OK),
        ({"method": "PUT"}, "405", INTERNAL),
        ({"grpc_timeout": "soon"}, "400", INTERNAL),
        ({"x_bin": "", "y-bin": "***"}, "400", INTERNAL),
        ({"grpc_encoding": "br"}, "200", UNIMPLEMENTED),
        ({"grpc_timeout": "0n"}, "200", "4"),
    ],
)
async def test_headers_that_do_not_speak_grpc_have_their_status(
    serve_native: Serve, extra: dict[str, str], http: str, status: str
) -> None:
    block = header_block(grpc_headers(UNARY, **extra))
    seen = await answer(serve_native, request(1, block, message(b"x")))
    assert (seen[":status"], seen["grpc-status"]) == (http, status)
    assert seen.get("grpc-accept-encoding") == ("identity,deflate,gzip" if status == UNIMPLEMENTED else None)


async def test_headers_may_come_in_continuations(serve_native: Serve) -> None:
    parts = [frame(HEADERS, 0, 1, BLOCK[:10]), frame(CONTINUATION, 0, 1, BLOCK[10:20])]
    parts.append(frame(CONTINUATION, END_HEADERS, 1, BLOCK[20:]))
    seen = await answer(serve_native, *parts, frame(DATA, END_STREAM, 1, message(b"x")))
    assert seen["grpc-status"] == OK


async def test_a_list_of_headers_over_the_limit_is_refused_and_the_next_call_is_not(serve_native: Serve) -> None:
    headers = [*grpc_headers(UNARY), *((f"x-{number}", "y" * 100) for number in range(300))]
    block = header_block(headers)
    large = [frame(HEADERS, 0, 1, block[:16_000])]
    large.extend(frame(CONTINUATION, 0, 1, block[at : at + 16_000]) for at in range(16_000, len(block), 16_000))
    large.append(frame(CONTINUATION, END_HEADERS, 1))
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(*large, frame(DATA, END_STREAM, 1), request(3, BLOCK, message(b"x")))
        got = await raw.until(HEADERS, flags=END_STREAM, stream=3)
        assert got.flags & END_STREAM


async def test_a_half_closed_connection_still_gets_its_reply(serve_native: Serve) -> None:
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(request(1, BLOCK, message(b"size 100000")))
        raw.writer.write_eof()
        frames = await raw.until_closed()
    data = b"".join(got.payload for got in frames if got.kind == DATA)
    # As much as the client's window lets through at once, which it could no longer open.
    assert data == message(b"x" * 100_000)[:65_535]


async def test_a_small_reply_to_a_half_closed_connection_is_whole(serve_native: Serve) -> None:
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(request(1, BLOCK, message(b"hello")))
        raw.writer.write_eof()
        frames = await raw.until_closed()
    assert [got.payload for got in frames if got.kind == DATA and got.payload] == [message(b"hello")]
    assert [got.flags & END_STREAM for got in frames if got.kind == HEADERS] == [0, 1]


async def test_a_reply_before_the_request_ends_is_followed_by_a_reset_without_error(serve_native: Serve) -> None:
    block = header_block(grpc_headers(f"/{SERVICE}/Both"))
    async with serve_native() as running, connected(running.port) as raw:
        await raw.send(frame(HEADERS, END_HEADERS, 1, block), frame(DATA, 0, 1, message(b"stop")))
        reset = await raw.until(RST_STREAM, stream=1)
    assert reset.payload == b"\0\0\0\0"
