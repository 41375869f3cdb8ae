"""What the admin socket answers: figures of the caches, one entry as it is in every layer, and emptying them.

Looking changes nothing. Emptying is always safe: floors stay, and what Redis was told stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from couponry.admin.socket import Handler, Refused
from couponry.errors import Unavailable
from couponry.store.layers import Layers
from couponry.store.layers.looking import Looker

__all__ = ["Desk"]

# Figures of the binlog reader and of who tells, by name; why there is none.
Figures = Callable[[], Mapping[str, int | str]]

_LIKE: Final = "name KIND, or KIND:KEY as in template:42"


class Desk:
    """The orders `stats`, `inspect` and `flush` for one worker."""

    def __init__(self, *, layers: Layers, looker: Looker, reader: Figures) -> None:
        self._layers = layers
        self._looker = looker
        self._reader = reader

    def handlers(self) -> Mapping[str, Handler]:
        """By the order's name."""
        return {"stats": self._stats, "inspect": self._inspect, "flush": self._flush}

    async def _stats(self, order: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - an order without arguments
        l1, l2 = self._layers.l1, self._layers.l2_stats()
        held = l1.stats()
        ages = {
            "L1 fresh": l1.fresh,
            "L1 age ms": l1.age_ms,
            "L2 told ms ago": l2.told_age_ms,
            "mode": "binlog" if l1.measured else "short lives, no binlog reader",
        }
        counts = {
            "L2": {
                "round trips": l2.round_trips,
                "failures": l2.failures,
                "stored": l2.stored,
                **{f"refused: {cause}": count for cause, count in l2.refused.items()},
            },
            "binlog": dict(self._reader()),
        }
        layers = {kind: asdict(stats) for kind, stats in self._layers.stats().items()}
        return {"ages": ages, "layers": layers, "l1": held, "counts": counts}

    async def _inspect(self, order: Mapping[str, Any]) -> dict[str, Any]:
        kind, key = self._named(order.get("entry"))
        if key is None:
            raise Refused(_LIKE)
        return {"L1": self._layers.l1.inspect(kind, key), "L2": await self._looker.inspect((kind, key))}

    async def _flush(self, order: Mapping[str, Any]) -> dict[str, Any]:
        what = order.get("what")
        kind, key = (None, None) if what is None else self._named(what)
        l1 = self._layers.l1
        before = sum(l1.stats()[each]["entries"] for each in self._layers.kinds if kind in {None, each})
        if kind is not None and key is not None:
            dropped = int(l1.remove(kind, key))
        else:
            l1.clear(kind)
            dropped = before
        try:
            return {"L1": dropped, "L2": await self._looker.flush(kind, key)}
        except Unavailable:
            return {"L1": dropped, "L2": "Redis cannot be reached"}

    def _named(self, entry: Any) -> tuple[str, str | None]:
        if not isinstance(entry, str):
            raise Refused(_LIKE)
        kind, separator, key = entry.partition(":")
        if kind not in self._layers.kinds:
            raise Refused(f"no kind {kind!r}: there are {', '.join(sorted(self._layers.kinds))}")
        return kind, key if separator else None
