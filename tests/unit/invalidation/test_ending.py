"""Ending tasks that swallow a cancellation."""

import asyncio

from couponry.invalidation.ending import ended


async def test_a_task_that_forgets_a_cancellation_is_ended_all_the_same() -> None:
    started = asyncio.Event()
    forgotten = 0

    async def forgetful() -> None:
        nonlocal forgotten
        while True:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                forgotten += 1
                if forgotten == 2:
                    raise

    task = asyncio.create_task(forgetful())
    await started.wait()
    await ended(task)
    assert task.cancelled()
    assert forgotten == 2


async def test_what_a_task_ended_with_is_taken_notice_of() -> None:
    async def failing() -> None:
        raise ValueError("before it was ended")

    task = asyncio.create_task(failing())
    await asyncio.wait([task])
    await ended(task)
    assert isinstance(task.exception(), ValueError)
