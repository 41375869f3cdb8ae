"""The admin socket: one JSON line in, one JSON line out, then the end. `{"do": NAME, ...}` is answered by
`{"ok": ...}` or `{"error": TEXT}`.
"""

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from couponry.errors import CouponryError

__all__ = ["Handler", "Refused", "ask", "listening", "of_worker", "workers_of"]

_log = structlog.get_logger(__name__)

Handler = Callable[[Mapping[str, Any]], Awaitable[Any]]

_LONGEST_LINE: Final = 8192
_PATIENCE_S: Final = 10.0
_MODE: Final = 0o600


class Refused(Exception):
    """The worker did not do it; the text is for the person who asked."""


def of_worker(path: Path, index: int) -> Path:
    """The socket of one of several workers: the first has the name itself, the others a number behind it."""
    return path if index == 0 else path.with_name(f"{path.name}.{index}")


def workers_of(path: Path) -> list[Path]:
    """The sockets that are there, of all workers of an instance, in their order."""
    others = (each for each in path.parent.glob(f"{path.name}.*") if each.suffix[1:].isdigit())
    found = [path, *sorted(others, key=lambda each: int(each.suffix[1:]))]
    return [each for each in found if each.is_socket()]


@asynccontextmanager
async def listening(path: Path | None, handlers: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Answers on `path` while the block runs; with None, not at all. Raises OSError where somebody else serves it."""
    if path is None:
        yield
        return
    server = await asyncio.start_unix_server(
        lambda reader, writer: _serve(reader, writer, handlers), sock=_bound(path), limit=_LONGEST_LINE
    )
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _bound(path: Path) -> socket.socket:
    """Bound, closed to other users, and not listening yet: nobody can connect before the mode is right."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _is_served(path):
            path.unlink()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(str(path))
        path.chmod(_MODE)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"the admin socket {path}: {error.strerror}") from None
    return made


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handlers: Mapping[str, Handler]) -> None:
    try:
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_PATIENCE_S):
                writer.write(json.dumps(await _answer(reader, handlers)).encode() + b"\n")
                await writer.drain()
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, handlers: Mapping[str, Handler]) -> dict[str, Any]:
    try:
        order = json.loads(await reader.readline())
        handler = handlers[order["do"]]
    except (ValueError, TypeError, KeyError):
        return {"error": "is no order of this socket"}
    try:
        return {"ok": await handler(order)}
    except (Refused, CouponryError) as error:
        return {"error": str(error)}
    except Exception:  # noqa: BLE001 - the answer says nothing of the inside, the log does
        _log.exception("an order of the admin socket failed", order=order["do"])
        return {"error": "failed; the log of the worker says why"}


def ask(path: Path, do: str, **values: Any) -> Any:
    """What a worker answers. Raises Refused with a text, where it cannot be reached too."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(_PATIENCE_S)
        try:
            link.connect(str(path))
            link.sendall(json.dumps({"do": do, **values}).encode() + b"\n")
            with link.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise Refused(f"{path}: {error.strerror or error}") from None
    if not line:
        raise Refused(f"{path}: the worker did not answer")
    answer = json.loads(line)
    if "error" in answer:
        raise Refused(answer["error"])
    return answer["ok"]
