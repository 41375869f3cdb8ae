"""A peer that breaks the rules: raw HTTP/2 frames on a plain socket, with or without reading what comes back."""

import contextlib
import errno
import select
import socket
import struct
import time
from collections.abc import Iterator

from hpack import Encoder
from hyperframe.frame import Frame, HeadersFrame, SettingsFrame

from tests.conformance.harness import Server
from tests.conformance.servicers import BARE_SERVICE

__all__ = ["CutOff", "Offender", "frame", "message"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_READ = 1 << 16
_GONE = select.POLLERR | select.POLLHUP | select.POLLRDHUP


class CutOff(Exception):
    """The server has ended the connection."""


def message(body: bytes) -> bytes:
    return struct.pack(">BI", 0, len(body)) + body


class Offender:
    """One connection. `reads` says whether it takes the server's answers off the socket."""

    def __init__(self, server: Server, *, reads: bool = True) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port))
        self._socket.setblocking(False)
        self._reads = reads
        self._authority = server.address
        self.encoder = Encoder()
        self.sent = 0
        self.received = bytearray()

    def close(self) -> None:
        self._socket.close()

    def hello(self, settings: dict[int, int] | None = None) -> None:
        self.send(_PREFACE + frame(SettingsFrame(0, settings=settings or {})))

    def headers(self, method: str = "Echo", *extra: tuple[str, str]) -> bytes:
        """An encoded header block. The encoder's table goes on, so every block that is made must be sent."""
        block: bytes = self.encoder.encode(
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", f"/{BARE_SERVICE}/{method}"),
                (":authority", self._authority),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                *extra,
            ]
        )
        return block

    def call(self, stream: int, method: str = "Echo") -> bytes:
        """The frame that begins a call and leaves it open."""
        return frame(HeadersFrame(stream, data=self.headers(method), flags=["END_HEADERS"]))

    def send(self, data: bytes, *, within: float = 5.0) -> bool:
        """Sends all of it; False when the server has not taken it within that time. Raises CutOff when it is over."""
        view, until = memoryview(data), time.monotonic() + within
        poller = select.poll()
        poller.register(self._socket, select.POLLOUT | _GONE | (select.POLLIN if self._reads else 0))
        while view:
            left = until - time.monotonic()
            if left <= 0:
                return False
            for _, events in poller.poll(left * 1000):
                if events & _GONE:
                    raise CutOff
                if events & select.POLLIN:
                    self._take()
                if events & select.POLLOUT:
                    with _cut_off():
                        count = self._socket.send(view[: 1 << 20])
                        self.sent += count
                        view = view[count:]
        return True

    def listen(self, seconds: float) -> None:
        """Reads, if it reads at all, until the server ends the connection; then raises CutOff."""
        until = time.monotonic() + seconds
        poller = select.poll()
        poller.register(self._socket, _GONE | (select.POLLIN if self._reads else 0))
        while (left := until - time.monotonic()) > 0:
            for _, events in poller.poll(left * 1000):
                if self._reads and events & select.POLLIN:
                    self._take()
                elif events & _GONE:
                    raise CutOff

    def half_close(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def _take(self) -> None:
        with _cut_off():
            data = self._socket.recv(_READ)
            if not data:
                raise CutOff
            # Enough to see what was answered, without growing in a flood.
            if len(self.received) < 1 << 20:
                self.received += data


def frame(made: Frame) -> bytes:
    return bytes(made.serialize())


@contextlib.contextmanager
def _cut_off() -> Iterator[None]:
    try:
        yield
    except BlockingIOError:
        pass
    except OSError as error:
        if error.errno in {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}:
            raise CutOff from error
        raise
