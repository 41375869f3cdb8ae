"""Warm-up: a worker fills its L1 before it says SERVING, with the active activities, their templates, and the keys that
the fleet reads most. It only ever helps: it ends when its time is over, and its failure never stops a start.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from couponry._core import L1
from couponry.clock import Clock, from_ms, to_sql
from couponry.coupons.loaders import TEMPLATE_KIND, USER_KIND
from couponry.errors import Unavailable
from couponry.flash_sale.activities import ACTIVITY_KIND
from couponry.store.activities import list_active
from couponry.store.hot_keys import HotKey, HotKeys
from couponry.store.layers import Layers
from couponry.store.mysql import MySQL

__all__ = ["HotKeyReporter", "WarmUp", "WarmedUp"]

_log = structlog.get_logger(__name__)

_MOST_ACTIVITIES: Final = 1000
# Keys asked for at once: one round trip to Redis and one SELECT a kind.
_AT_ONCE: Final = 500
_LOOK_S: Final = 0.01
_KINDS: Final = (TEMPLATE_KIND, ACTIVITY_KIND, USER_KIND)


@dataclass(slots=True)
class WarmedUp:
    """What a warm-up did: keys read by kind, and whether it came to its end."""

    keys: dict[str, int] = field(default_factory=dict)
    whole: bool = False


class HotKeyReporter:
    """Tells the fleet which keys this worker's L1 answered most since the last time, at most `most` of each kind."""

    def __init__(self, *, l1: L1, hot_keys: HotKeys, most: int) -> None:
        self._l1 = l1
        self._hot_keys = hot_keys
        self._most = most
        self._known: dict[HotKey, int] = {}

    async def run_once(self) -> int:
        """Always 0: there is no more to do before the next pause. Raises Unavailable."""
        # It looks at every entry, so not on the loop's thread.
        seen = await asyncio.to_thread(self._seen)
        # An entry counts its hits from when it was stored: fewer than before are those of a new one.
        risen = [
            (*key, hits if hits < self._known.get(key, 0) else hits - self._known.get(key, 0))
            for key, hits in seen.items()
        ]
        await self._hot_keys.add([entry for entry in risen if entry[2] > 0])
        self._known = seen
        return 0

    def _seen(self) -> dict[HotKey, int]:
        return {(kind, key): hits for kind in _KINDS for key, hits in self._l1.hottest(kind, self._most)}


class WarmUp:
    """Reads through the layers, so that L2 answers what it has and MySQL is asked for the rest in batches.

    At most `most` hot keys, for at most `within_s` seconds; 0 s: no warm-up.
    """

    def __init__(
        self, *, mysql: MySQL, l1: L1, layers: Layers, hot_keys: HotKeys, clock: Clock, most: int, within_s: float
    ) -> None:
        self._mysql = mysql
        self._l1 = l1
        self._layers = layers
        self._hot_keys = hot_keys
        self._clock = clock
        self._most = most
        self._within_s = within_s

    async def run(self) -> WarmedUp:
        """Never raises, but for being cancelled."""
        done = WarmedUp()
        if self._within_s <= 0:
            return done
        try:
            async with asyncio.timeout(self._within_s):
                await self._until_fresh()
                await self._activities(done)
                await self._read(await self._hot_keys.hottest(self._most), done)
                done.whole = True
        except TimeoutError:
            _log.warning("the warm-up was cut short", within_s=self._within_s, keys=done.keys)
        except Unavailable as error:
            _log.warning("the warm-up was given up", text=error.text, keys=done.keys)
        except Exception:  # noqa: BLE001 - a cold start is slower, a start that fails is an outage
            _log.exception("the warm-up failed")
        else:
            _log.info("warmed up", keys=done.keys)
        return done

    async def _until_fresh(self) -> None:
        """Before its first coordinate L1 begins empty, so what was read sooner would be lost."""
        while not self._l1.fresh:  # noqa: ASYNC110 - the reader's thread tells L1 and nobody else
            await asyncio.sleep(_LOOK_S)

    async def _activities(self, done: WarmedUp) -> None:
        rows = await list_active(
            self._mysql, now=to_sql(self._clock()), after_end=to_sql(from_ms(0)), after_id=0, limit=_MOST_ACTIVITIES
        )
        templates = sorted({row["template_id"] for row in rows})
        await self._read([(ACTIVITY_KIND, str(row["id"])) for row in rows], done)
        await self._read([(TEMPLATE_KIND, str(each)) for each in templates], done)

    async def _read(self, keys: Iterable[HotKey], done: WarmedUp) -> None:
        by_kind: defaultdict[str, list[str]] = defaultdict(list)
        for kind, key in keys:
            if kind in _KINDS:
                by_kind[kind].append(key)
        for kind, names in by_kind.items():
            for begin in range(0, len(names), _AT_ONCE):
                part = names[begin : begin + _AT_ONCE]
                await self._layers.get_many(kind, part)
                done.keys[kind] = done.keys.get(kind, 0) + len(part)
