"""A proxy of connections that can be cut, delayed, held up and pointed elsewhere: one link for each process and store.

It runs in the loop of the conductor, so a link is told what to do by plain calls.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, cast

__all__ = ["Link"]


@dataclass(eq=False)
class Link:
    """Listens on a loopback port and passes bytes on to `target`: a unix socket, or a port of this machine."""

    name: str
    target: Path | int
    port: int = 0
    delay_s: float = 0.0
    closed: bool = False
    _held_until: float = 0.0
    _pairs: set["_Near"] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self) -> Self:
        """Begins to listen; `port` is known then."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Near(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def shut(self) -> None:
        """Ends listening and every connection."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def cut(self) -> None:
        """Resets every connection; new ones are taken."""
        for near in tuple(self._pairs):
            near.end()

    def close_gate(self) -> None:
        """Resets every connection and each new one, until the gate opens."""
        self.closed = True
        self.cut()

    def open_gate(self, target: Path | int | None = None) -> None:
        """Takes connections again, to another target where one is given."""
        self.target = self.target if target is None else target
        self.closed = False

    def hold(self, seconds: float) -> None:
        """Nothing arrives for so long; nothing is lost."""
        self._held_until = asyncio.get_running_loop().time() + seconds

    def joined(self, near: "_Near") -> bool:
        """Whether a new connection is taken."""
        if self.closed:
            return False
        self._pairs.add(near)
        return True

    def left(self, near: "_Near") -> None:
        """A connection has ended."""
        self._pairs.discard(near)

    def arrival(self, now: float) -> float:
        """When bytes that were sent now arrive."""
        return max(now + self.delay_s, self._held_until)


class _Side(asyncio.Protocol):
    """One end of a connection: writes what the other end gets, in order, each piece when it arrives."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None
        # Pieces with the time of their arrival; None is the end. The first one that may not go yet holds up the rest.
        self._coming: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.arrive()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            self.other.deliver(data)

    def deliver(self, data: bytes | None) -> None:
        self._coming.append((self.link.arrival(asyncio.get_running_loop().time()), data))
        self.arrive()

    def arrive(self) -> None:
        """Writes what has arrived, in the order in which it was sent."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._coming and self.transport is not None:
            arrival, data = self._coming[0]
            if arrival > loop.time():
                self._timer = loop.call_at(arrival, self.arrive)
                return
            self._coming.popleft()
            if data is None:
                self.transport.close()
            elif not self.transport.is_closing():
                self.transport.write(data)

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.other is not None:
            # What was sent before the end arrives before it.
            self.other.deliver(None)


class _Near(_Side):
    """The end that faces the process; it opens the far end, which faces the store."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self.link.joined(self):
            cast("asyncio.Transport", transport).abort()
            return
        self.other = _Side(self.link)
        self.other.other = self
        self._opening = asyncio.get_running_loop().create_task(self._open(self.other))

    def connection_lost(self, exc: Exception | None) -> None:
        self.link.left(self)
        super().connection_lost(exc)

    def end(self) -> None:
        for side in (self, self.other):
            if side is not None:
                side.abort()

    async def _open(self, far: _Side) -> None:
        loop = asyncio.get_running_loop()
        target = self.link.target
        try:
            if isinstance(target, int):
                await loop.create_connection(lambda: far, "127.0.0.1", target)
            else:
                await loop.create_unix_connection(lambda: far, str(target))
        except OSError:
            self.end()
            return
        if self.transport is None or self.transport.is_closing():
            far.abort()
