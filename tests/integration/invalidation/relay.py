"""A relay between a reader and its server that can hold back the stream: what a slow or broken network does."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Final

_DUMP: Final = b"\x12"
_PATIENCE_S: Final = 0.05


class Relay:
    """Listens on a unix socket and passes on to another. `hold` keeps back what a binlog stream sends."""

    def __init__(self, path: Path, to: str) -> None:
        self.path = path
        self._to = to
        self._flows = threading.Event()
        self._flows.set()
        self._ends = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(_PATIENCE_S)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def hold(self) -> None:
        """From now on streams are silent; other connections are not."""
        self._flows.clear()

    def let_go(self) -> None:
        """Passes on what was held back, and what follows."""
        self._flows.set()

    def close(self) -> None:
        """Ends every connection."""
        self._ends.set()
        self._flows.set()
        self._threads[0].join()
        for thread in self._threads[1:]:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ends.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server:
            server.connect(self._to)
            streams = threading.Event()
            back = threading.Thread(target=self._pass, args=(server, client, streams))
            back.start()
            self._pass(client, server, streams, watches=True)
            back.join()

    def _pass(
        self, one: socket.socket, other: socket.socket, streams: threading.Event, *, watches: bool = False
    ) -> None:
        one.settimeout(_PATIENCE_S)
        while not self._ends.is_set():
            try:
                data = one.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                break
            if watches and data[4:5] == _DUMP:
                streams.set()
            elif not watches and streams.is_set():
                self._flows.wait()
            try:
                other.sendall(data)
            except OSError:
                break
            if not data:
                break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
