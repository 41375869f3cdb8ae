"""Ends tasks that may not hear of it the first time.

`asyncio.wait_for` of Python 3.11 forgets a cancellation that comes as its answer does, and redis-py writes with it.
"""

import asyncio
from typing import Any, Final

__all__ = ["ended"]

_AGAIN_S: Final = 0.1


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancels the tasks until each has ended; what they ended with is nobody's."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        done, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()
