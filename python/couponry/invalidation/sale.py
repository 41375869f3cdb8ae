"""Brings an activity or a template that was changed, by whomever, to the Redis of the sale.

The service does so itself after its own changes; this is for a person with an SQL client. What is lost here is brought
by the upkeep job a second later.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from couponry.errors import Unavailable
from couponry.store.layers import Change

__all__ = ["SaleFollower"]

_log = structlog.get_logger(__name__)

_KINDS: Final = ("activity", "template")

Bring = Callable[[int], Awaitable[None]]


class SaleFollower:
    """Calls `activity` or `template` with the id of each that changed; changes of one that waits are one call."""

    def __init__(self, *, activity: Bring, template: Bring) -> None:
        self._bring = dict(zip(_KINDS, (activity, template), strict=True))
        self._waiting: dict[tuple[str, int], None] = {}
        self._wake = asyncio.Event()

    def note(self, changes: Sequence[Change]) -> None:
        """Takes in changes of any kinds."""
        for change in changes:
            if change.kind in self._bring:
                self._waiting[change.kind, int(change.key)] = None
                self._wake.set()

    async def run(self) -> None:
        """Brings what waits, until it is cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                kind, number = next(iter(self._waiting))
                # Before it is brought: a change that comes meanwhile is brought once more.
                del self._waiting[kind, number]
                try:
                    await self._bring[kind](number)
                except Unavailable as error:
                    _log.warning("a change reaches the sale later", kind=kind, id=number, text=error.text)
                except Exception:  # noqa: BLE001 - one that fails must not keep the others from the sale
                    _log.exception("a change was not brought to the sale", kind=kind, id=number)
