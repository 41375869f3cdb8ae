"""What the admin socket answers: figures of the caches, one entry as it is, and emptying them.

Looking changes nothing. Emptying is always safe: floors stay, and what Redis was told stays.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from couponry._core import L1
from couponry.admin.socket import Handler, Refused
from couponry.store.layers import Layers

__all__ = ["Desk"]

_LIKE: Final = "name KIND, or KIND:KEY as in template:42"


class Desk:
    """The orders `stats`, `inspect` and `flush` for one worker."""

    def __init__(self, *, l1: L1, layers: Layers) -> None:
        self._l1 = l1
        self._layers = layers

    def handlers(self) -> Mapping[str, Handler]:
        """By the order's name."""
        return {"stats": self._stats, "inspect": self._inspect, "flush": self._flush}

    async def _stats(self, order: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - an order without arguments
        ages = {
            "L1 fresh": self._l1.fresh,
            "L1 age ms": self._l1.age_ms,
            "mode": "binlog" if self._l1.measured else "short lives, no binlog reader",
        }
        layers = {kind: asdict(stats) for kind, stats in self._layers.stats().items()}
        return {"ages": ages, "layers": layers, "l1": self._l1.stats(), "counts": {}}

    async def _inspect(self, order: Mapping[str, Any]) -> dict[str, Any]:
        kind, key = self._named(order.get("entry"))
        if key is None:
            raise Refused(_LIKE)
        return {"L1": self._l1.inspect(kind, key)}

    async def _flush(self, order: Mapping[str, Any]) -> dict[str, Any]:
        what = order.get("what")
        kind, key = (None, None) if what is None else self._named(what)
        before = sum(self._l1.stats()[each]["entries"] for each in self._layers.stats() if kind in {None, each})
        if kind is not None and key is not None:
            return {"L1": int(self._l1.remove(kind, key))}
        self._l1.clear(kind)
        return {"L1": before}

    def _named(self, entry: Any) -> tuple[str, str | None]:
        if not isinstance(entry, str):
            raise Refused(_LIKE)
        kind, separator, key = entry.partition(":")
        kinds = self._layers.stats()
        if kind not in kinds:
            raise Refused(f"no kind {kind!r}: there are {', '.join(sorted(kinds))}")
        return kind, key if separator else None
