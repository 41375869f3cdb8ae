"""A client that sends any bytes it is told to: HTTP/2 frames made by hand, for what no decent client does."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def header_block(headers: list[tuple[str, str]]) -> bytes:
    """Headers as literals that touch no table, so that a block can be sent again and again."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            data = text.encode()
            assert len(data) < 127
            block.append(len(data))
            block += data
    return bytes(block)


def grpc_headers(path: str, **extra: str) -> list[tuple[str, str]]:
    """The headers of a gRPC request; `extra` replaces or adds (underscores are hyphens)."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "test",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    for name, value in extra.items():
        headers[":method" if name == "method" else name.replace("_", "-")] = value
    return list(headers.items())


def message(data: bytes, flag: int = 0) -> bytes:
    """A gRPC message with its prefix."""
    return struct.pack(">BI", flag, len(data)) + data


def request(stream: int, block: bytes, data: bytes) -> bytes:
    """A whole unary request."""
    return frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, data)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that the server sent."""

    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Raw:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    frames: list[Frame] = field(default_factory=list)
    rest: bytearray = field(default_factory=bytearray)

    async def send(self, *parts: bytes) -> None:
        """Sends bytes."""
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def frame(self) -> Frame | None:
        """The next frame; None when the server has closed."""
        while len(self.rest) < 9 or len(self.rest) < 9 + int.from_bytes(self.rest[:3], "big"):
            try:
                async with asyncio.timeout(20):
                    more = await self.reader.read(65_536)
            except ConnectionError:
                return None
            if not more:
                return None
            self.rest += more
        end = 9 + int.from_bytes(self.rest[:3], "big")
        head, payload = self.rest[:9], bytes(self.rest[9:end])
        del self.rest[:end]
        got = Frame(head[3], head[4], int.from_bytes(head[5:], "big"), payload)
        self.frames.append(got)
        return got

    async def until(self, kind: int, *, flags: int = 0, stream: int | None = None) -> Frame:
        """Reads on to a frame of a kind with all these flags."""
        while (got := await self.frame()) is not None:
            if got.kind == kind and got.flags & flags == flags and stream in {None, got.stream}:
                return got
        raise EOFError(f"the server closed; it sent {self.frames[-3:]}")

    async def until_closed(self) -> list[Frame]:
        """Reads to the end of the connection: all frames that came."""
        while await self.frame() is not None:
            pass
        return self.frames

    async def goaway(self) -> tuple[int, bytes]:
        """Reads to the end: code and debug data of the last GOAWAY."""
        payload = [got for got in await self.until_closed() if got.kind == GOAWAY][-1].payload
        return int.from_bytes(payload[4:8], "big"), payload[8:]


@asynccontextmanager
async def connected(port: int, *, settings: bytes = b"") -> AsyncIterator[Raw]:
    """A connection that has said its preface and acknowledges the server's settings."""
    async with bare(port) as raw:
        await raw.send(PREFACE, frame(SETTINGS, 0, 0, settings))
        await raw.until(SETTINGS)
        await raw.send(frame(SETTINGS, ACK, 0))
        yield raw


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[Raw]:
    """A connection that has said nothing."""
    raw = Raw(*await asyncio.open_connection("127.0.0.1", port))
    try:
        yield raw
    finally:
        raw.writer.transport.abort()
