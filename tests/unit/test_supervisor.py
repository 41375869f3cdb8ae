"""The supervisor of several workers, with small programs as workers."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from couponry.config import ListenAddress
from couponry.devstack.process import wait_until
from couponry.supervisor import Supervisor, WorkerFailed, reserve

# Says that it is ready, then waits for SIGTERM; leaves its pid and its end as files.
_WORKER = """
import os, signal, sys
from pathlib import Path
folder = Path(sys.argv[1])
def end(*_):
    (folder / f"{os.getpid()}.ended").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(folder / f"{os.getpid()}.pid").write_text(os.environ["WORKER"])
print("ready on 127.0.0.1:1", flush=True)
while True:
    signal.pause()
"""


class _Watched:
    """A supervisor under way, and the lines that it told."""

    def __init__(self, folder: Path, count: int, program: str = _WORKER) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self.folder = folder
        self.supervisor = Supervisor(
            command=[sys.executable, "-c", program, str(folder)],
            environments=[{**os.environ, "WORKER": str(index)} for index in range(count)],
            drain_timeout_s=5,
            ready=self.lines.put_nowait,
        )
        self.task = asyncio.create_task(self.supervisor.run())

    def pids(self) -> set[int]:
        return {int(path.stem) for path in self.folder.glob("*.pid")}

    async def until_started(self, count: int) -> None:
        assert await asyncio.to_thread(wait_until, lambda: len(self.pids()) >= count, 20)


@pytest.fixture
async def two_workers(tmp_path: Path) -> AsyncIterator[_Watched]:
    watched = _Watched(tmp_path, 2)
    yield watched
    if not watched.task.done():
        os.kill(os.getpid(), signal.SIGTERM)
        await watched.task


def _alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_one_line_is_told_when_all_workers_are_ready(two_workers: _Watched) -> None:
    assert await asyncio.wait_for(two_workers.lines.get(), 20) == "ready on 127.0.0.1:1"
    assert len(two_workers.pids()) == 2
    assert sorted(path.read_text() for path in two_workers.folder.glob("*.pid")) == ["0", "1"]
    assert two_workers.lines.empty()


async def test_a_worker_that_dies_is_started_again(two_workers: _Watched) -> None:
    await asyncio.wait_for(two_workers.lines.get(), 20)
    first = two_workers.pids()
    os.kill(min(first), signal.SIGKILL)
    await two_workers.until_started(3)
    assert two_workers.lines.empty()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_every_worker(tmp_path: Path, sign: signal.Signals) -> None:
    watched = _Watched(tmp_path, 3)
    await asyncio.wait_for(watched.lines.get(), 20)
    os.kill(os.getpid(), sign)
    await asyncio.wait_for(watched.task, 20)
    assert {int(path.stem) for path in tmp_path.glob("*.ended")} == watched.pids()
    assert not any(_alive(pid) for pid in watched.pids())


async def test_a_worker_that_never_gets_ready_ends_all_with_its_status(tmp_path: Path) -> None:
    program = _WORKER.replace("print(", "sys.exit(3) if len(list(folder.glob('*.pid'))) == 2 else print(")
    watched = _Watched(tmp_path, 2, program)
    with pytest.raises(WorkerFailed) as caught:
        await asyncio.wait_for(watched.task, 20)
    assert caught.value.status == 3
    assert not any(_alive(pid) for pid in watched.pids())


def test_a_reserved_port_is_free_for_workers_and_known() -> None:
    held, address = reserve(ListenAddress("127.0.0.1", 0))
    with held:
        assert address.port > 0
        again, same = reserve(address)
        again.close()
        assert same == address
