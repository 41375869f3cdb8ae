"""Which layer answered the call under way: what the front end says in `couponry-cache`.

Only a traced call may be given a stale answer, because nobody else could say that it is one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

__all__ = ["Trace", "current_trace", "traced"]


@dataclass(slots=True)
class Trace:
    """The deepest layer that a call read from (0: none), and whether an answer was stale."""

    layer: int = 0
    stale: bool = False

    def note(self, layer: int, *, stale: bool = False) -> None:
        """An answer came from this layer."""
        self.layer = max(self.layer, layer)
        self.stale |= stale


_CURRENT: Final[ContextVar[Trace | None]] = ContextVar("couponry_trace", default=None)


@contextmanager
def traced() -> Iterator[Trace]:
    """Traces the reads of this block, of its tasks too."""
    trace = Trace()
    token = _CURRENT.set(trace)
    try:
        yield trace
    finally:
        _CURRENT.reset(token)


def current_trace() -> Trace | None:
    """The trace of the call under way."""
    return _CURRENT.get()
