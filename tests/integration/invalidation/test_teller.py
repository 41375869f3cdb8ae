"""Who tells L2, on a real MariaDB and Redis: alone, in turn, at once, after a freeze, after Redis lost something."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from couponry._core import L1, TellStream
from couponry.config import Settings
from couponry.devstack import DevStack
from couponry.invalidation import Teller
from couponry.invalidation.ending import ended
from couponry.invalidation.teller import Stream, Taken
from couponry.store import migrations
from couponry.store.layers import BUCKETS, L2, Change, Coordinate, Entry, Told
from couponry.store.redis import Redis
from tests.integration.invalidation.conftest import KINDS, Worker, connected, insert_coupon, rows, source

_SOON_S = 20.0
_USER = ("user", "u")
_OLDEST_MS = 2000


async def eventually(condition: Callable[[], Any]) -> None:
    """`condition` may be asynchronous."""
    end = time.monotonic() + _SOON_S
    while True:
        held = condition()
        if await held if asyncio.iscoroutine(held) else held:
            return
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.01)


class Held(L2):
    """An L2 whose tells wait at a gate: what a process that is frozen between two commands does."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis, timeout_s=2.0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def tell(self, calls: Sequence[tuple[list[str], list[str | int | bytes]]]) -> list[bool] | None:
        self.waiting += 1
        await self.gate.wait()
        self.waiting -= 1
        return await super().tell(calls)


@dataclass(eq=False)
class Fleet:
    """Tellers of one L2, each with a stream of its own."""

    dsn: str
    redis: Redis
    l2: L2
    most: int = 2048
    changes: list[Change] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    tasks: dict[Teller, "asyncio.Task[None]"] = field(default_factory=dict)

    def teller(self, l2: L2 | None = None) -> Teller:
        """Starts one."""
        l1 = L1(dict.fromkeys(KINDS, 1 << 16))

        def opened(start: Coordinate | None) -> Stream:
            place = None if start is None else (start.identity, start.place)
            return _Noted(TellStream(source(self.dsn), l1, place, most=self.most), self.taken)

        teller = Teller(l2=l2 or self.l2, open_stream=opened, mono_ms=lambda: l1.now_ms, on_changes=self.changes.extend)
        self.tasks[teller] = asyncio.create_task(teller.run())
        return teller

    async def end(self, teller: Teller) -> None:
        """Ends one."""
        await ended(self.tasks.pop(teller))

    async def told(self) -> dict[int, Told]:
        """What every bucket holds."""
        return await self.l2.told()

    async def is_told(self) -> bool:
        """Whether every bucket was told lately."""
        tolds = await self.told()
        return len(tolds) == BUCKETS and all(told.epoch and 0 <= told.age_ms < 1000 for told in tolds.values())

    async def is_past(self, position: str) -> bool:
        """Whether the bucket of the user was told beyond a position."""
        told = (await self.told())[L2.bucket(_USER)]
        return told.at.place.decode() >= position

    async def fill(self, *versions: tuple[int, int]) -> None:
        """Stores an entry of the user as a worker would that has passed what was told."""
        bucket = L2.bucket(_USER)

        async def is_taken() -> bool:
            # A tell in between makes the worker wait and come again.
            told = (await self.told())[bucket]
            return not await self.l2.fill({_USER: (Entry(b"held", versions), 60_000)}, {bucket: told.epoch}, told.at)

        await eventually(is_taken)

    async def holds(self) -> bool:
        """Whether L2 answers for the user."""
        return _USER in (await self.l2.get([_USER], _OLDEST_MS))[0]

    def by_hand(self, statement: str) -> None:
        """Changes a row as a person would."""
        with connected(self.dsn) as cursor:
            cursor.execute(statement)


class _Noted:
    """A stream, and a note of everything that was taken from it."""

    def __init__(self, stream: TellStream, notes: list[Taken]) -> None:
        self._stream = stream
        self._notes = notes

    def fileno(self) -> int:
        return self._stream.fileno()

    def take(self) -> Taken:
        taken = self._stream.take()
        self._notes.append(taken)
        return taken

    def probe(self) -> None:
        self._stream.probe()

    def stop(self) -> None:
        self._stream.stop()


@contextlib.asynccontextmanager
async def _fleet(settings: Settings, dsn: str) -> AsyncIterator[Fleet]:
    redis = Redis(settings.redis.cache.get_secret_value(), settings.redis)
    fleet = Fleet(dsn, redis, L2(redis, timeout_s=2.0))
    try:
        yield fleet
    finally:
        for teller in list(fleet.tasks):
            await fleet.end(teller)
        await redis.close()


@pytest.fixture
async def fleet(settings: Settings, mysql_dsn: str) -> AsyncIterator[Fleet]:
    """On the session's servers, with one coupon of a user."""
    async with _fleet(settings, mysql_dsn) as fleet:
        fleet.by_hand(insert_coupon(5))
        yield fleet


async def test_the_first_teller_begins_an_epoch_and_keeps_told_young(fleet: Fleet) -> None:
    teller = fleet.teller()
    await eventually(fleet.is_told)
    epochs = {told.epoch for told in (await fleet.told()).values()}
    assert len(epochs) == 1
    began = teller.stats.tells
    await eventually(lambda: teller.stats.tells > began + 8)
    assert await fleet.is_told()
    assert {told.epoch for told in (await fleet.told()).values()} == epochs
    assert (teller.stats.epochs, teller.stats.takeovers, teller.stats.refused) == (1, 1, 0)


async def test_a_change_by_hand_drops_what_is_older_and_keeps_what_is_newer(fleet: Fleet) -> None:
    fleet.teller()
    await eventually(fleet.is_told)
    await fleet.fill((5, 1))
    assert await fleet.holds()
    fleet.by_hand("UPDATE user_coupons SET order_id = 'by hand'")

    async def dropped() -> bool:
        return not await fleet.holds()

    await eventually(dropped)
    await fleet.fill((5, 9))
    fleet.by_hand("UPDATE user_coupons SET order_id = 'again'")
    await eventually(lambda: len(fleet.changes) == 2)
    await eventually(fleet.is_told)
    assert await fleet.holds()
    assert [(change.fate, change.version) for change in fleet.changes] == [("present", 2), ("present", 3)]


async def test_one_teller_of_many_tells_and_another_takes_over_without_a_new_epoch(fleet: Fleet) -> None:
    one, other = fleet.teller(), fleet.teller()
    await eventually(fleet.is_told)
    # Both may begin; then one is refused, and leaves it to the other.
    await eventually(lambda: one.stats.telling != other.stats.telling)
    first, second = (one, other) if one.stats.telling else (other, one)
    tells = first.stats.tells
    await eventually(lambda: first.stats.tells > tells + 3)
    assert not second.stats.telling
    await fleet.fill((5, 1))
    epochs = {told.epoch for told in (await fleet.told()).values()}
    await fleet.end(first)
    fleet.by_hand("UPDATE user_coupons SET order_id = 'while nobody tells'")
    await eventually(lambda: second.stats.telling)
    await eventually(fleet.is_told)
    await eventually(lambda: len(fleet.changes) == 1)
    assert not await fleet.holds(), "what happened in between was told"
    assert {told.epoch for told in (await fleet.told()).values()} == epochs
    assert second.stats.epochs == 0


async def test_a_teller_that_was_frozen_and_wakes_is_refused(fleet: Fleet) -> None:
    frozen = Held(fleet.redis)
    old = fleet.teller(frozen)
    await eventually(fleet.is_told)
    frozen.gate.clear()
    await eventually(lambda: frozen.waiting > 0)
    fleet.by_hand("UPDATE user_coupons SET order_id = 'while it is frozen'")
    new = fleet.teller()
    await eventually(lambda: new.stats.telling)
    await eventually(fleet.is_told)
    before = await fleet.told()
    frozen.gate.set()
    await eventually(lambda: old.stats.refused == 1)
    await eventually(lambda: not old.stats.telling)
    after = await fleet.told()
    assert all(after[bucket].epoch == before[bucket].epoch for bucket in before)
    assert all(after[bucket].at.is_at(before[bucket].at) for bucket in before), "told does not go back"
    assert new.stats.epochs == 0


async def test_a_redis_that_was_emptied_begins_anew(fleet: Fleet) -> None:
    teller = fleet.teller()
    await eventually(fleet.is_told)
    epochs = {told.epoch for told in (await fleet.told()).values()}
    for key in [key async for key in fleet.redis.client.scan_iter(match=fleet.redis.key("*"))]:
        await fleet.redis.client.delete(key)
    await eventually(lambda: teller.stats.epochs == 2)
    await eventually(fleet.is_told)
    assert not epochs & {told.epoch for told in (await fleet.told()).values()}


async def test_a_redis_that_lacks_the_last_tells_is_told_them_again(fleet: Fleet) -> None:
    teller = fleet.teller()
    await eventually(fleet.is_told)
    await fleet.fill((5, 1))
    client = fleet.redis.client
    snapshot = {key: await client.dump(key) async for key in client.scan_iter(match=fleet.redis.key("*"))}
    fleet.by_hand("UPDATE user_coupons SET order_id = 'after the snapshot'")
    await eventually(lambda: len(fleet.changes) == 1)
    await eventually(fleet.is_told)
    for key, value in snapshot.items():
        await client.restore(key, 0, value, replace=True)
    # The entry is there again as it was; nobody may be given it for longer than told is young.
    await eventually(lambda: teller.stats.takeovers >= 2)
    await eventually(fleet.is_told)
    assert not await fleet.holds()
    assert teller.stats.epochs == 1


async def test_a_time_in_the_future_is_no_age_and_is_told_anew_without_a_new_epoch(fleet: Fleet) -> None:
    teller = fleet.teller()
    await eventually(fleet.is_told)
    epochs = {told.epoch for told in (await fleet.told()).values()}
    await fleet.fill((5, 1))
    await fleet.end(teller)
    # As after a jump of Redis's clock, or a failover to a server whose clock is behind.
    for bucket in range(BUCKETS):
        now_ms = (await fleet.told())[bucket].now_ms
        await fleet.redis.client.hset(fleet.l2.told_key(bucket), "time", now_ms + 3_600_000)
    assert not await fleet.holds()
    fleet.by_hand("UPDATE user_coupons SET order_id = 'meanwhile'")
    fleet.teller()
    await eventually(fleet.is_told)
    assert not await fleet.holds(), "what happened since was told before the time"
    assert {told.epoch for told in (await fleet.told()).values()} == epochs


async def test_a_large_transaction_is_told_in_parts_that_move_the_place(fleet: Fleet) -> None:
    fleet.most = 50
    fleet.teller()
    await eventually(fleet.is_told)
    fleet.by_hand("DELETE FROM user_coupons")
    # Nobody has a coupon: what the transaction's last row makes untrue.
    await fleet.fill()
    with connected(fleet.dsn) as cursor:
        cursor.execute("BEGIN")
        for coupon in range(100, 1100):
            cursor.execute(insert_coupon(coupon, user=f"u{coupon}"))
        cursor.execute(insert_coupon(5))
        cursor.execute("COMMIT")
    await eventually(lambda: len(fleet.changes) >= 1002)
    await eventually(fleet.is_told)
    inside = [place[1] for place, *_ in fleet.taken if place is not None and int(place[1][-8:]) > 0]
    assert inside, "parts of a transaction were told"
    assert inside == sorted(inside)
    assert all(len(changes) <= 50 for *_, changes in fleet.taken)
    assert not await fleet.holds()


async def test_a_teller_goes_on_in_the_middle_of_a_transaction(fleet: Fleet) -> None:
    fleet.most = 50
    frozen = Held(fleet.redis)
    old = fleet.teller(frozen)
    await eventually(fleet.is_told)
    tells = 0
    with connected(fleet.dsn) as cursor:
        cursor.execute("BEGIN")
        for coupon in range(100, 400):
            cursor.execute(insert_coupon(coupon, user=f"u{coupon}"))
        cursor.execute("COMMIT")

    async def is_inside() -> bool:
        return any(int(told.at.place[-8:]) > 0 for told in (await fleet.told()).values())

    # One tell at a time, until told stands inside of the transaction.
    while not await is_inside():
        frozen.gate.set()
        await asyncio.sleep(0)
        frozen.gate.clear()
        tells += 1
        await asyncio.sleep(0.002)
        assert tells < 10_000
    await fleet.end(old)
    seen = len(fleet.changes)
    new = fleet.teller()
    await eventually(lambda: new.stats.telling)
    await eventually(fleet.is_told)
    keys = {change.key for change in fleet.changes}
    assert {f"u{coupon}" for coupon in range(100, 400)} <= keys
    assert len(fleet.changes) - seen < 300, "what was told by all buckets is not told again"
    assert not await is_inside()
    assert new.stats.epochs == 0


async def test_readers_that_start_find_an_older_place(fleet: Fleet, start_worker: Callable[..., Worker]) -> None:
    fleet.teller()
    await eventually(fleet.is_told)

    async def has_trail() -> bool:
        return await fleet.l2.trail(0, 0) is not None

    await eventually(has_trail)
    place = await fleet.l2.trail(0, 0)
    assert place is not None
    fleet.by_hand("UPDATE user_coupons SET order_id = 'since'")
    worker = start_worker(fleet.dsn, (place.identity, place.place))
    await eventually(lambda: worker.binlog.first() == (place.identity, place.place) and worker.l1.fresh)
    await eventually(lambda: worker.store("user", "u", (5, 1)) == "floor")
    assert not worker.l1.starting


async def test_a_log_that_was_reset_begins_an_epoch(settings: Settings, tmp_path: Any, repository: Any) -> None:
    with DevStack(tmp_path, template_dir=repository / ".couponry" / "template") as own:
        migrations.upgrade(own.mysql_dsn())
        async with _fleet(settings, own.mysql_dsn()) as fleet:
            teller = fleet.teller()
            await eventually(fleet.is_told)
            fleet.by_hand(insert_coupon(5))
            await eventually(lambda: len(fleet.changes) == 1)
            await fleet.fill((5, 1))
            before = {told.epoch for told in (await fleet.told()).values()}
            fleet.by_hand("RESET MASTER")
            await eventually(lambda: teller.stats.epochs == 2)
            await eventually(fleet.is_told)
            assert not before & {told.epoch for told in (await fleet.told()).values()}
            assert not await fleet.holds()
            fleet.by_hand("UPDATE user_coupons SET order_id = 'after'")
            await eventually(lambda: len(fleet.changes) == 2)
            assert rows(own.mysql_dsn(), "SELECT version FROM user_coupons") == [(2,)]
