"""Answers at ack = REPLICA: a win is told when the configured number of replicas have it.

The wins of a batch are confirmed together: one script that looks them up and writes, and a WAIT behind it on the same
connection. A repeat waits like the first time. Where too few replicas follow, the win stays and is found by
repeating.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from couponry.errors import Unavailable
from couponry.flash_sale.fence import Fence
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import TRIED, WON, Place

__all__ = ["Replicas", "Told"]

_WINS_A_SCRIPT: Final = 256
_PASSES: Final = 3
_LIVE: Final = frozenset({WON, TRIED})


@dataclass(frozen=True, slots=True)
class Told:
    """A win as claim.lua told it."""

    user: bytes
    request_hash: bytes
    number: int


class Replicas:
    """Waits for `count` replicas, `timeout_ms` at most."""

    def __init__(self, *, sale: Sale, fence: Fence, count: int, timeout_ms: int, retry_after_s: float) -> None:
        self._sale = sale
        self._fence = fence
        self._count = count
        self._timeout_ms = timeout_ms
        self._retry_after_s = retry_after_s

    async def confirm(self, place: Place, wins: Sequence[Told]) -> list[bool | None]:
        """Returns when enough replicas have the wins. Of each: True; False: it is a win no more, it failed or was
        cancelled; None: this Redis does not have it (any more).

        Raises Unavailable where too few replicas follow in time: a repeat of the request asks again.
        """
        parts = [wins[at : at + _WINS_A_SCRIPT] for at in range(0, len(wins), _WINS_A_SCRIPT)]
        return [state for part in parts for state in await self._confirm(place, part)]

    async def _confirm(self, place: Place, wins: Sequence[Told]) -> list[bool | None]:
        for _ in range(_PASSES):
            confirmed = await self._sale.confirm(
                place,
                [(win.user, win.request_hash, win.number) for win in wins],
                replicas=self._count,
                timeout_ms=self._timeout_ms,
            )
            if confirmed is not None:
                break
            if not await self._fence.ensure(place):
                raise self._unavailable("the activity is being settled")
        else:
            raise self._unavailable("the activity is being opened", reason="NOT_READY")
        if confirmed.replicas < self._count:
            raise self._unavailable("the win has not reached enough replicas yet", reason="PENDING")
        return [state in _LIVE if state else None for state in confirmed.states]

    def _unavailable(self, text: str, reason: str | None = None) -> Unavailable:
        return Unavailable(text, reason=reason, retry_after_s=self._retry_after_s)
