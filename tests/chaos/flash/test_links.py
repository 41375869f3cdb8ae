"""The proxy of the storm: late, cut or moved, but never out of order. A judge must not be misled by its own tools."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.flash.links import Link


@asynccontextmanager
async def echo(path: Path) -> AsyncIterator[Path]:
    """A server that says back what it hears."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield path


async def test_bytes_keep_their_order_while_delays_come_and_go(tmp_path: Path) -> None:
    rng = random.Random(1)
    async with echo(tmp_path / "echo") as path:
        link = await Link("test", path).open()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        sent = bytearray()
        for number in range(2000):
            link.delay_s = rng.choice([0, 0, 0.0002, 0.002])
            piece = b"%d," % number
            sent += piece
            writer.write(piece)
            if number % 3 == 0:
                await asyncio.sleep(0)
        link.delay_s = 0
        async with asyncio.timeout(20):
            assert await reader.readexactly(len(sent)) == bytes(sent)
        writer.close()
        await writer.wait_closed()
        link.shut()


async def test_a_cut_ends_connections_and_a_closed_gate_takes_none(tmp_path: Path) -> None:
    async with echo(tmp_path / "one") as one, echo(tmp_path / "two") as two:
        link = await Link("test", one).open()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        link.close_gate()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        link.open_gate(two)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        writer.close()
        await writer.wait_closed()
        link.shut()
