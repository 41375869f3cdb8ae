"""The admin socket: closed to other users, one order a connection, and nothing of the inside in an answer."""

import asyncio
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from couponry.admin.socket import Refused, ask, listening, of_worker, workers_of
from couponry.errors import Unavailable


async def double(order: Mapping[str, Any]) -> int:
    return 2 * int(order["number"])


async def unavailable(order: Mapping[str, Any]) -> None:
    raise Unavailable("Redis cannot be reached")


async def broken(order: Mapping[str, Any]) -> None:
    raise RuntimeError("SELECT secret FROM inside")


HANDLERS = {"double": double, "unavailable": unavailable, "broken": broken}


async def test_an_order_is_answered(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        assert await asyncio.to_thread(ask, tmp_path / "s", "double", number=21) == 42


async def test_only_its_owner_can_open_it(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


async def test_it_is_gone_at_the_end(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        pass
    assert not (tmp_path / "s").exists()
    with pytest.raises(Refused, match="No such file"):
        ask(tmp_path / "s", "double", number=1)


async def test_without_a_path_nothing_listens(tmp_path: Path) -> None:
    async with listening(None, HANDLERS):
        assert list(tmp_path.iterdir()) == []


async def test_a_socket_that_a_killed_worker_left_is_taken_over(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        (tmp_path / "s").rename(tmp_path / "left")
    async with listening(tmp_path / "left", HANDLERS):
        assert await asyncio.to_thread(ask, tmp_path / "left", "double", number=1) == 2


async def test_a_socket_that_another_worker_serves_is_left_to_it(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        with pytest.raises(OSError, match="admin socket"):
            async with listening(tmp_path / "s", HANDLERS):
                pass
        assert await asyncio.to_thread(ask, tmp_path / "s", "double", number=1) == 2


async def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(OSError, match="admin socket"):
        async with listening(tmp_path / "s", HANDLERS):
            pass
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize(
    "line", [b"\n", b"{}\n", b"[1]\n", b'{"do": "nothing"}\n', b'{"do": []}\n', b"\xff\n", b"9" * 9000]
)
async def test_what_is_no_order_is_refused(tmp_path: Path, line: bytes) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(line)
        writer.write_eof()
        assert "error" in json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()


async def test_a_store_that_is_down_is_named(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        with pytest.raises(Refused, match="Redis cannot be reached"):
            await asyncio.to_thread(ask, tmp_path / "s", "unavailable")


async def test_a_failure_shows_nothing_of_the_inside(tmp_path: Path) -> None:
    async with listening(tmp_path / "s", HANDLERS):
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(ask, tmp_path / "s", "broken")
    assert "SELECT" not in str(refused.value)


async def test_the_sockets_of_an_instance_are_found_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    names = [of_worker(path, index) for index in range(11)]
    async with listening(names[0], HANDLERS), listening(names[10], HANDLERS), listening(names[2], HANDLERS):
        (tmp_path / "admin.sock.old").write_text("")
        assert workers_of(path) == [names[0], names[2], names[10]]
