"""Starts what a worker needs to hear of changes, or says why it lives without: then entries are short-lived."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from couponry._core import L1, Binlog, BinlogSource, TellStream
from couponry.config import Settings, parse_mysql_dsn
from couponry.invalidation.ending import ended
from couponry.invalidation.feed import BinlogFeed
from couponry.invalidation.sale import SaleFollower
from couponry.invalidation.teller import TRAIL_BUCKET, Teller
from couponry.store.layers import Coordinate, Layers

__all__ = ["Following", "following", "source_of"]

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

# A reader starts at a coordinate that is older than a floor's life, so that it raises every floor that may matter.
_START_MS: Final = 30_000
# How long a worker waits for its reader before it goes on; L1 is bypassed until the reader is there.
_FIRST_S: Final = 2.0
_LOOK_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Following:
    """This worker's reader and teller; without, `without` says why."""

    binlog: Binlog | None
    teller: Teller | None
    without: str = ""


def source_of(settings: Settings) -> BinlogSource:
    """The server whose binlog is read, and the account that reads it."""
    database = parse_mysql_dsn(settings.mysql.dsn.get_secret_value())
    own = settings.cache.binlog.dsn
    address = database if own is None else parse_mysql_dsn(own.get_secret_value())
    return BinlogSource(
        host=address.host,
        port=address.port,
        unix_socket=address.unix_socket,
        user=address.user,
        password=address.password,
        # A change is one of the tables that this service reads.
        schema=database.database,
    )


@asynccontextmanager
async def following(settings: Settings, *, layers: Layers, sale: SaleFollower) -> AsyncIterator[Following]:
    """Follows the binlog while the block runs. The worker that tells L2 has the sale follow too."""
    if not settings.cache.binlog.enabled:
        yield _without("cache.binlog.enabled is off")
        return
    source, l1 = source_of(settings), layers.l1
    problem = await asyncio.to_thread(source.problem)
    # A server that does not answer now will: until then L1 steps aside.
    if problem is not None and problem[0] != "unreachable":
        yield _without(problem[1])
        return
    binlog = _begun(lambda start: Binlog(source, l1, start), await layers.l2.trail(TRAIL_BUCKET, _START_MS))
    layers.follow(BinlogFeed(binlog))
    tasks: list[asyncio.Task[None]] = []
    teller = None
    try:
        if settings.cache.binlog.tell:
            teller = Teller(
                l2=layers.l2,
                open_stream=lambda place: _begun(lambda start: TellStream(source, l1, start), place),
                mono_ms=lambda: l1.now_ms,
                on_changes=sale.note,
            )
            tasks += [
                asyncio.create_task(_again(teller), name="teller"),
                asyncio.create_task(sale.run(), name="sale follower"),
            ]
        await _first(binlog, l1)
        yield Following(binlog, teller)
    finally:
        await ended(*tasks)
        await asyncio.to_thread(binlog.stop)


def _without(why: str) -> Following:
    _log.warning("no binlog reader: entries are short-lived and L2 is not used", why=why)
    return Following(None, None, why)


def _begun(begin: Callable[[tuple[bytes, bytes] | None], _T], place: Coordinate | None) -> _T:
    """A reader from a place on; where Redis holds what is no place, from where the log is now."""
    if place is not None:
        try:
            return begin((place.identity, place.place))
        except ValueError:
            _log.warning("what Redis holds is no place in a binlog", identity=place.identity, place=place.place)
    return begin(None)


async def _first(binlog: Binlog, l1: L1) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + _FIRST_S
    # The reader's threads have no way to wake a loop.
    while (binlog.first() is None or not l1.fresh) and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_S)


async def _again(teller: Teller) -> None:
    """A teller that fails must not leave L2 untold for ever."""
    while True:
        try:
            await teller.run()
        except Exception:  # noqa: BLE001 - logged, and tried again
            _log.exception("the teller failed")
            await asyncio.sleep(1)
