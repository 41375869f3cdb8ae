"""Several workers on one port: starts them, starts again what dies, hands SIGTERM on.

Workers share the port by SO_REUSEPORT and nothing else. A worker reads its standard input and
drains when that ends, so a supervisor that is killed leaves no worker behind.
"""

import asyncio
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from couponry.config import ListenAddress

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
# A worker that lived this long had nothing wrong with its start.
_SOUND_S = 60.0
_AFTER_DRAIN_S = 5.0


class WorkerFailed(Exception):
    """A worker ended before it was ready the first time: it would never be. Carries its status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"a worker ended with status {status} before it was ready")
        self.status = status


def reserve(address: ListenAddress) -> tuple[socket.socket, ListenAddress]:
    """Binds the port without listening, so that all workers get the same free one.

    The socket is kept open until the workers have ended. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((address.host, address.port))
    except OSError:
        held.close()
        raise
    return held, ListenAddress(address.host, int(held.getsockname()[1]))


@dataclass(slots=True)
class Supervisor:
    """Runs the command once for each of `environments`; it prints one line when it is ready.

    `ready` is told once, with the line of the first worker, when every worker has said it.
    """

    command: Sequence[str]
    environments: Sequence[Mapping[str, str]]
    drain_timeout_s: float
    ready: Callable[[str], None]
    _stopping: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _running: set[Process] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Returns when SIGTERM or SIGINT came and every worker has ended. Raises WorkerFailed."""
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, self._stopping.set)
        lines: asyncio.Queue[str] = asyncio.Queue()
        tasks = [asyncio.create_task(self._keep_running(index, lines)) for index in range(len(self.environments))]
        announcing = asyncio.create_task(self._announce(lines))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            failed = next((task for task in tasks if task.done() and task.exception()), None)
            if failed is not None:
                failed.result()
        finally:
            self._stopping.set()
            announcing.cancel()
            await self._end_workers()
            await asyncio.gather(*tasks, announcing, stopping, return_exceptions=True)

    async def _announce(self, lines: asyncio.Queue[str]) -> None:
        ready = [await lines.get() for _ in self.environments]
        self.ready(ready[0])

    async def _keep_running(self, index: int, lines: asyncio.Queue[str]) -> None:
        log = structlog.get_logger(__name__).bind(worker=index)
        pause, was_ready = _FIRST_PAUSE_S, False
        while not self._stopping.is_set():
            begin = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *self.command, stdin=PIPE, stdout=PIPE, env=self.environments[index], start_new_session=True
            )
            self._running.add(process)
            if self._stopping.is_set():  # it began while the others were told to end
                process.terminate()
            line = await process.stdout.readline() if process.stdout else b""
            if line and not was_ready:
                was_ready = True
                lines.put_nowait(line.decode().rstrip("\n"))
            status = await process.wait()
            self._running.discard(process)
            if self._stopping.is_set():
                return
            if not was_ready:
                raise WorkerFailed(status)
            pause = _FIRST_PAUSE_S if time.monotonic() - begin > _SOUND_S else min(pause * 2, _LONGEST_PAUSE_S)
            log.error("worker ended and is started again", status=status, pause_s=pause)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                continue

    async def _end_workers(self) -> None:
        for process in tuple(self._running):
            _signal(process, signal.SIGTERM)
        limit = asyncio.get_running_loop().time() + self.drain_timeout_s + _AFTER_DRAIN_S
        for process in tuple(self._running):
            try:
                await asyncio.wait_for(process.wait(), max(0.0, limit - asyncio.get_running_loop().time()))
            except TimeoutError:
                _signal(process, signal.SIGKILL)


def _signal(process: Process, sign: signal.Signals) -> None:
    try:
        process.send_signal(sign)
    except ProcessLookupError:
        return


def worker_command(arguments: Sequence[str]) -> list[str]:
    """The command line of one worker of this very installation."""
    return [sys.executable, "-m", "couponry", "serve", "--worker", *arguments]
