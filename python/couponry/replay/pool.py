"""Processes that price blocks, one block each at a time: what is under way is bounded by their number.

A process is handed the next block only when it has answered the last one, so no pipe can fill up from both ends; it
ends when its pipe does, so none is left behind by whatever ends the parent.
"""

import multiprocessing
import signal
from collections.abc import Generator, Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final, NamedTuple, cast

from couponry.replay.carts import Block
from couponry.replay.errors import WorkerDied
from couponry.replay.memory import peak_bytes
from couponry.replay.pricing import Found, Plan, Pricer

__all__ = ["Answer", "Pool"]

_ENDING_S: Final = 5.0


class Answer(NamedTuple):
    """What was found in a block of `size` bytes."""

    size: int
    found: Found


class Pool:
    """Processes for one plan. `peak_bytes` is the most memory they have used, each at its own peak."""

    def __init__(self, plan: Plan, processes: int) -> None:
        self._plan = plan
        self._count = processes
        self._workers: dict[Connection, BaseProcess] = {}
        self._busy: dict[Connection, int] = {}
        self._peaks: dict[Connection, int] = {}

    @property
    def processes(self) -> int:
        """Those that were started."""
        return len(self._workers)

    @property
    def peak_bytes(self) -> int:
        return sum(self._peaks.values())

    def price(self, blocks: Iterable[Block]) -> Generator[Answer, None, None]:
        """An answer for each block, in no particular order. Raises WorkerDied. Ends the processes in any case."""
        idle: list[Connection] = []
        try:
            for block in blocks:
                # Started as they are needed: a short file takes one.
                if not idle and len(self._workers) < self._count:
                    idle.append(self._start())
                if not idle:
                    yield from self._answers(idle)
                self._hand(block, idle.pop())
            while self._busy:
                yield from self._answers(idle)
        finally:
            self._end()

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._plan), daemon=True)
        # Ctrl-C reaches the whole group: with this mask a process leaves it to its parent, from its first moment on.
        resource_tracker.ensure_running()  # or the first start would begin it, which unblocks the signal
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._workers[ours] = process
        return ours

    def _hand(self, block: Block, connection: Connection) -> None:
        try:
            connection.send(block)
        except OSError:
            raise self._died(connection) from None
        self._busy[connection] = len(block.text)

    def _answers(self, idle: list[Connection]) -> Iterator[Answer]:
        """Those that are there, at least one; their processes become idle."""
        for ready in wait(list(self._busy)):
            connection = cast("Connection", ready)
            try:
                found, self._peaks[connection] = connection.recv()
            except (EOFError, OSError):
                raise self._died(connection) from None
            idle.append(connection)
            yield Answer(self._busy.pop(connection), found)

    def _died(self, connection: Connection) -> WorkerDied:
        process = self._workers[connection]
        process.join(_ENDING_S)
        code = process.exitcode
        how = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"status {code}"
        return WorkerDied(f"a process that prices carts ended by itself ({how})")

    def _end(self) -> None:
        for connection, process in self._workers.items():
            connection.close()
            if connection in self._busy:  # nobody waits for what it is still pricing
                process.terminate()
        for process in self._workers.values():
            process.join(_ENDING_S)
            if process.exitcode is None:
                process.kill()
                process.join()


def _work(connection: Connection, plan: Plan) -> None:
    pricer = Pricer(plan)
    while True:
        try:
            block = connection.recv()
        except EOFError:
            return
        try:
            connection.send((pricer.price(block), peak_bytes()))
        except BrokenPipeError:
            return
