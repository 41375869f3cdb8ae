"""Workers over one real MariaDB and one real Redis, each with a binlog reader and tellers that the test moves by hand.

A `Shelf` is a table with lists of rows; its `Log` is what the binlog would hold. A test decides when a worker's reader
meets an event, when a load reads and answers, and when a teller speaks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pymysql
import pytest

from couponry._core import L1
from couponry.clock import from_ms
from couponry.config import Settings
from couponry.store.layers import BUCKETS, L2, Change, Coordinate, LayerLives, Layers, Loaded, Told, versions
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis
from tests.integration.conftest import connect

KIND = "shelf"
START_MS = 1_781_510_400_000
# L1's time is the test's, but `told` ages by Redis's own clock: L2 is patient, since machines of tests are slow.
LIVES = LayerLives(jitter_percent=0, max_staleness_ms=60_000)

_TABLE = """CREATE TABLE shelf (
    id BIGINT NOT NULL PRIMARY KEY, owner VARBINARY(64) NOT NULL, version BIGINT NOT NULL, label VARBINARY(64) NOT NULL,
    KEY by_owner (owner, id))"""
_SELECT = "SELECT id, owner, version, label FROM shelf WHERE owner IN %s ORDER BY id"
_CHANGE = "UPDATE shelf SET label = %s, version = version + 1 WHERE id = %s"
_VERSION = "SELECT version FROM shelf WHERE id = %s"


async def eventually(condition: Callable[[], object]) -> None:
    """Returns when it holds."""
    # What is waited for has no event.
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


class Time:
    """Wall and monotonic milliseconds, which move when the test says so."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    def now(self) -> Any:
        return from_ms(self.ms)

    def pass_ms(self, ms: int) -> None:
        self.ms += ms


@dataclass
class Log:
    """What the binlog would hold: changes, and coordinates between them."""

    identity: bytes = b"server"
    file: int = 1
    changes: list[Change] = field(default_factory=list)

    def at(self, count: int | None = None) -> Coordinate:
        """The coordinate before which so many changes lie; by default all."""
        count = len(self.changes) if count is None else count
        return Coordinate(self.identity, f"{self.file:010}{count:012}".encode())

    def count(self, coordinate: Coordinate) -> int:
        return int(coordinate.place[-12:])

    def restart(self) -> None:
        """RESET MASTER: the numbers begin again, in a file that is younger."""
        self.file += 1
        self.changes.clear()


class Shelf:
    """The table, changed as other programs would: each change also goes into the log."""

    def __init__(self, mysql: MySQL, dsn: str, log: Log) -> None:
        self.mysql = mysql
        self._dsn = dsn
        self._log = log

    def put(self, row: int, owner: str, label: str) -> None:
        """A new row of version 1."""
        with connect(self._dsn) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO shelf VALUES (%s, %s, 1, %s)", (row, owner, label))
        self._log.changes.append(Change(KIND, owner, "inserted", row, 1))

    def change(self, row: int, owner: str, label: str) -> None:
        """A new label, committed and in the log."""
        with self.changing(row, owner, label):
            pass

    @contextmanager
    def changing(self, row: int, owner: str, label: str) -> Iterator[None]:
        """A commit that is in the log before others see it, as with group commit and semi-sync: at the block's end."""
        with self.uncommitted(row, label) as cursor:
            cursor.execute(_VERSION, (row,))
            [(version,)] = cursor.fetchall()
            self._log.changes.append(Change(KIND, owner, "present", row, version))
            yield

    @contextmanager
    def uncommitted(self, row: int, label: str) -> "Iterator[pymysql.cursors.Cursor]":
        with connect(self._dsn) as connection, connection.cursor() as cursor:
            connection.begin()
            cursor.execute(_CHANGE, (label, row))
            yield cursor
            connection.commit()

    def delete(self, row: int, owner: str) -> None:
        with connect(self._dsn) as connection, connection.cursor() as cursor:
            cursor.execute(_VERSION, (row,))
            [(version,)] = cursor.fetchall()
            cursor.execute("DELETE FROM shelf WHERE id = %s", (row,))
        self._log.changes.append(Change(KIND, owner, "gone", row, version))

    async def read(self, owners: Sequence[str]) -> Mapping[str, Loaded]:
        """The loader: labels in a row."""
        found: dict[str, list[Any]] = {}
        for row in await self.mysql.fetch_all(_SELECT, (tuple(owners),)):
            found.setdefault(row["owner"].decode(), []).append(row)
        return {
            owner: Loaded(b" ".join(row["label"] for row in rows), versions(*rows)) for owner, rows in found.items()
        }


class Reader:
    """A worker's binlog reader, which raises the floors of its L1 as far as the test lets it."""

    def __init__(self, log: Log, l1: L1) -> None:
        self._log = log
        self._l1 = l1
        self._first: Coordinate | None = None
        self._passed: Coordinate | None = None
        self._moved = asyncio.Event()

    def start(self, count: int | None = None, *, replayed: bool = True) -> None:
        """Its first coordinate: by default where the log ends; `replayed`: as if that were a floor's life ago."""
        self._first = self._passed = self._log.at(count)
        self._l1.measure()
        self._l1.started(replayed)
        self.freshen()

    def lose(self) -> None:
        """It loses its place."""
        self._first = self._passed = None
        self._l1.lost()

    def meet(self, count: int | None = None) -> None:
        """It meets changes up to so many of the log; by default all."""
        assert self._passed is not None, "the reader has no place"
        to = self._log.at(count)
        for change in self._log.changes[self._log.count(self._passed) : self._log.count(to)]:
            self._l1.changed(change.kind, change.key, change.row, change.fate, change.version)
        self._passed = to
        self.freshen()
        self._moved.set()

    def freshen(self) -> None:
        """A probe: it is where the server is now."""
        self._l1.passed(self._l1.now_ms)

    def passed(self) -> Coordinate | None:
        return self._passed

    def first(self) -> Coordinate | None:
        return self._first

    async def reached(self, coordinate: Coordinate, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                while self._passed is None or not self._passed.is_at(coordinate):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True


class Worker:
    """One process's layers. Its loads stop before they read and before they answer, where the test wants it."""

    def __init__(
        self,
        redis: Redis,
        shelf: Shelf,
        log: Log,
        time: Time,
        *,
        capacity: int,
        kinds: Sequence[str],
        l2_timeout_s: float,
    ) -> None:
        self.l1 = L1(dict.fromkeys(kinds, capacity), mono_ms=time, wall_ms=time, absent_bytes=capacity)
        self.layers = Layers(l1=self.l1, redis=redis, clock=time.now, lives=LIVES, l2_timeout_s=l2_timeout_s)
        self.reader = Reader(log, self.l1)
        self.layers.follow(self.reader)
        for kind in kinds:
            self.layers.register(kind, self._load)
        self.loads: list[list[str]] = []
        self.may_read, self.may_answer = asyncio.Event(), asyncio.Event()
        self.asked, self.has_read = asyncio.Event(), asyncio.Event()
        self.may_read.set()
        self.may_answer.set()
        self._shelf = shelf

    async def get(self, owner: str) -> str | None:
        """What this worker answers."""
        found = await self.layers.get(KIND, owner)
        return None if found is None else found.decode()

    async def settled(self) -> None:
        """Returns when nothing is under way: fills have reached Redis."""
        await self.layers.close()

    def holds(self, owner: str) -> bool:
        """Whether L1 answers."""
        return self.l1.get(KIND, owner) is not None

    @contextmanager
    def holding(self, event: asyncio.Event) -> Iterator[None]:
        """Loads stop at `may_read` or `may_answer` during the block."""
        event.clear()
        try:
            yield
        finally:
            event.set()

    async def _load(self, owners: Sequence[str]) -> Mapping[str, Loaded]:
        self.loads.append(list(owners))
        self.asked.set()
        await self.may_read.wait()
        found = await self._shelf.read(owners)
        self.has_read.set()
        await self.may_answer.wait()
        return found


Calls = list[tuple[int, tuple[list[str], list[str | int | bytes]]]]


class Teller:
    """Tells L2 in steps: look at what is told, prepare a tell, send it."""

    def __init__(self, l2: L2, log: Log) -> None:
        self._l2 = l2
        self._log = log
        self.held: dict[int, Told] = {}

    async def look(self) -> None:
        self.held = await self._l2.told()
        assert len(self.held) == BUCKETS, "Redis does not answer"

    def prepare(self, count: int | None = None, *, anew: bool = False) -> Calls:
        """The tells of all buckets from what they hold up to so many changes; `anew`: in a new epoch."""
        to, calls = self._log.at(count), []
        for bucket, held in self.held.items():
            begins = anew or not held.epoch
            since = self._log.count(to if begins else held.at)
            changes = [
                change
                for change in self._log.changes[since : self._log.count(to)]
                if L2.bucket((change.kind, change.key)) == bucket
            ]
            epoch = uuid4().hex.encode() if begins else held.epoch
            calls.append(
                (bucket, self._l2.telling(bucket, held, to, changes, epoch=epoch, time_ms=held.now_ms, trail_ms=60_000))
            )
        return calls

    async def send(self, calls: Calls) -> set[bool]:
        """What became of them: {True}, {False}, or both."""
        taken = await self._l2.tell([call for _, call in calls])
        assert taken is not None, "Redis does not answer"
        return set(taken)

    async def tell(self, count: int | None = None, *, anew: bool = False) -> None:
        """All steps."""
        await self.look()
        assert await self.send(self.prepare(count, anew=anew)) == {True}


@dataclass
class World:
    """All of it, over one Redis or, where a test has several, over whichever it names."""

    shelf: Shelf
    log: Log
    time: Time
    redis: Redis

    def worker(
        self,
        *,
        replayed: bool = True,
        redis: Redis | None = None,
        capacity: int = 4 << 20,
        kinds: Sequence[str] = (KIND,),
        l2_timeout_s: float = 30,
    ) -> Worker:
        """A worker whose reader is where the log ends. It waits long for Redis."""
        worker = Worker(
            redis or self.redis,
            self.shelf,
            self.log,
            self.time,
            capacity=capacity,
            kinds=kinds,
            l2_timeout_s=l2_timeout_s,
        )
        worker.reader.start(replayed=replayed)
        return worker

    def teller(self, redis: Redis | None = None) -> Teller:
        return Teller(L2(redis or self.redis, timeout_s=30), self.log)

    async def age_l2(self, ms: int) -> None:
        """As if L2 had been told so much earlier."""
        for key in await self.redis.client.keys(self.redis.key("l2:*:told")):
            await self.redis.client.hincrby(key, "time", -ms)

    async def held(self, owner: str, redis: Redis | None = None) -> bytes | None:
        """The payload that Redis holds under an owner, whether it may be served or not."""
        place = redis or self.redis
        key = L2(place, timeout_s=30).entry_key((KIND, owner))
        data: bytes | None = await place.client.hget(key, "d")
        return None if data is None else data[9:]


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def world(settings: Settings, mysql: MySQL, redis: Redis, time: Time) -> World:
    """Row 1 `old` of owner `k`, in a log that L2 was told of."""
    dsn = settings.mysql.dsn.get_secret_value()
    with connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
    log = Log()
    world = World(Shelf(mysql, dsn, log), log, time, redis)
    world.shelf.put(1, "k", "old")
    await world.teller().tell()
    return world


OpenRedis = Callable[[str], Redis]


@pytest.fixture
async def open_redis(settings: Settings) -> AsyncIterator[OpenRedis]:
    """Connections to other servers, closed at the end."""
    opened: list[Redis] = []

    def connection(url: str) -> Redis:
        opened.append(Redis(url, settings.redis))
        return opened[-1]

    yield connection
    for each in opened:
        await each.close()
