"""Jobs run again and again, survive their failures, and stop when told."""

import asyncio

from couponry.errors import Unavailable
from couponry.jobs.runner import Job, JobRunner

FOR_EVER_S = 3600.0


class Work:
    """Does what its script says: a number of items, or an error; then nothing."""

    def __init__(self, *script: int | Exception) -> None:
        self.script = list(script)
        self.runs = 0
        self.idle = asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        if not self.script:
            self.idle.set()
            return 0
        step = self.script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


async def test_a_job_with_work_runs_again_at_once_and_then_waits() -> None:
    work = Work(3, 2, 1)
    runner = JobRunner([Job("job", work, FOR_EVER_S)])
    runner.start()
    async with asyncio.timeout(5):
        await work.idle.wait()
    assert work.runs == 4
    await runner.stop(within_s=5)


async def test_a_nudged_job_looks_for_work_now() -> None:
    work = Work()
    runner = JobRunner([Job("job", work, FOR_EVER_S)])
    runner.start()
    async with asyncio.timeout(5):
        await work.idle.wait()
        work.idle.clear()
        runner.nudge("job")
        await work.idle.wait()
    assert work.runs == 2
    await runner.stop(within_s=5)


async def test_a_job_that_fails_is_tried_again() -> None:
    work = Work(ValueError("broken"), Unavailable("down"), 1)
    runner = JobRunner([Job("job", work, 0.001)])
    runner.start()
    async with asyncio.timeout(5):
        await work.idle.wait()
    assert work.runs >= 4
    await runner.stop(within_s=5)


async def test_a_job_that_does_not_end_is_cancelled_at_the_stop() -> None:
    begun = asyncio.Event()
    cancelled = asyncio.Event()

    async def hang() -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return 0

    runner = JobRunner([Job("job", hang, 1)])
    runner.start()
    async with asyncio.timeout(5):
        await begun.wait()
        await runner.stop(within_s=0.01)
        await cancelled.wait()
