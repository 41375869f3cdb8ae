"""Runs the background jobs of a worker: each again and again, at once when there was work or somebody nudged it.

A job that fails is logged and tried again later, ever more slowly; it never takes the worker down.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from couponry.errors import Unavailable

__all__ = ["Job", "JobRunner"]

_log = structlog.get_logger(__name__)
_LONGEST_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Job:
    """`run_once` does one piece of work and says how much it did; `pause_s` is the wait when there was none."""

    name: str
    run_once: Callable[[], Awaitable[int]]
    pause_s: float


class JobRunner:
    """Starts and stops a set of jobs."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = jobs
        self._nudges = {job.name: asyncio.Event() for job in jobs}
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Starts every job."""
        self._tasks = [asyncio.create_task(self._loop(job), name=f"job {job.name}") for job in self._jobs]

    def nudge(self, name: str) -> None:
        """Lets a job look for work now."""
        self._nudges[name].set()

    async def stop(self, *, within_s: float) -> None:
        """Lets each finish what it is doing; after `within_s` seconds it is cancelled (its transaction rolls back)."""
        self._stopping = True
        for nudge in self._nudges.values():
            nudge.set()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _loop(self, job: Job) -> None:
        nudge = self._nudges[job.name]
        failures = 0
        while not self._stopping:
            nudge.clear()
            done = 0
            try:
                done = await job.run_once()
                failures = 0
            except Unavailable as error:
                failures += 1
                _log.warning("job waits for a store", job=job.name, text=error.text)
            except Exception:  # noqa: BLE001 - a job that fails must not end the worker
                failures += 1
                _log.exception("job failed", job=job.name)
            if failures or done == 0:
                await _wait(nudge, min(_LONGEST_PAUSE_S, job.pause_s * 2**failures))


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
