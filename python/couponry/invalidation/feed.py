"""How far this worker's binlog reader is: what the layers ask before they fill L2 or keep what L2 gave."""

import asyncio
from typing import Final

from couponry._core import Binlog
from couponry.store.layers import Coordinate

__all__ = ["BinlogFeed"]

# A reader that is behind is mostly behind by one event: a wait is short, and rare.
_LOOK_S: Final = 0.005


class BinlogFeed:
    """The `Feed` of a reader in the extension."""

    def __init__(self, binlog: Binlog) -> None:
        self._binlog = binlog

    def passed(self) -> Coordinate | None:
        """Every event before it is in L1's floors."""
        place = self._binlog.passed()
        return None if place is None else Coordinate(*place)

    def first(self) -> Coordinate | None:
        """Where the reader began, since it started or since it lost its place."""
        place = self._binlog.first()
        return None if place is None else Coordinate(*place)

    async def reached(self, coordinate: Coordinate, within_s: float) -> bool:
        """Waits until the reader has passed a coordinate; False where it has not within the time."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within_s
        while True:
            passed = self.passed()
            if passed is not None and passed.is_at(coordinate):
                return True
            if loop.time() >= end:
                return False
            await asyncio.sleep(_LOOK_S)
