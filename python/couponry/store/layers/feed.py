"""What the layers ask of the binlog reader, and what a change is.

The reader raises floors in L1 by itself; here is only how far it has come.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Change", "Coordinate", "Fate", "Feed", "NoFeed"]

Fate = Literal["present", "inserted", "left", "touched", "gone", "quarantine", "written"]
"""What became of a row, as rust/cache/src/change.rs explains each."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row of the entry `key` of a kind changed. `quarantine` and `written` are of no row and version."""

    kind: str
    key: str
    fate: Fate
    row: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A place in a server's binlog. Places of one identity compare as bytes: digits only, of one width.

    They begin with the time of the file's first event, so that a log that was reset lies beyond what it was before.
    """

    identity: bytes
    place: bytes

    def is_at(self, other: "Coordinate") -> bool:
        """Whether it is the other one or beyond it, in the same log."""
        return self.identity == other.identity and self.place >= other.place


class Feed(Protocol):
    """How far this worker's binlog reader has come. None: it has no place (yet, or any longer), or there is none."""

    def passed(self) -> Coordinate | None:
        """Every event before it is in L1's floors."""

    def first(self) -> Coordinate | None:
        """Where the reader began, since it started or since it lost its place."""

    async def reached(self, coordinate: Coordinate, within_s: float) -> bool:
        """Waits until the reader has passed a coordinate; False where it has not within the time."""


class NoFeed:
    """Without a binlog reader."""

    def passed(self) -> Coordinate | None:
        """Nothing is passed."""
        return None

    def first(self) -> Coordinate | None:
        """Nothing began."""
        return None

    async def reached(self, coordinate: Coordinate, within_s: float) -> bool:  # noqa: ARG002
        """Never."""
        return False
