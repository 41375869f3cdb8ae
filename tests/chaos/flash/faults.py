"""The faults of a run, each one function. Those that take data say exactly what they took.

A plain kill comes at whatever moment it comes. A fault that takes data first closes the gate to the store, waits until
nobody is connected, and reads what the store holds: that is all it ever told. What is taken is what nothing else holds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.chaos.flash.evidence import AdjustmentRow, Loss, Split, Win
from tests.chaos.flash.links import Link
from tests.chaos.flash.stage import PERSISTER, SERVERS, Stage

__all__ = ["FAULTS", "Fault", "weather"]

Fault = Callable[[Stage], Awaitable[None]]


async def _pause(stage: Stage, least: float, most: float) -> None:
    await asyncio.sleep(stage.rng.uniform(least, most))


async def kill_server(stage: Stage) -> None:
    """kill -9 of one server."""
    name = stage.rng.choice(SERVERS)
    stage.note(f"kill -9 {name}")
    await asyncio.to_thread(stage.services[name].kill)


async def kill_persister(stage: Stage) -> None:
    """kill -9 of the process with the jobs."""
    stage.note("kill -9 persister")
    await asyncio.to_thread(stage.services[PERSISTER].kill)


async def kill_redis(stage: Stage) -> None:
    """kill -9 of Redis, which comes back with its data."""
    stage.note("kill -9 Redis")
    await asyncio.to_thread(stage.redis.kill)
    await _pause(stage, 0, 0.3)
    await asyncio.to_thread(stage.redis.start)


async def kill_mariadb(stage: Stage) -> None:
    """kill -9 of MariaDB, which comes back with all its commits."""
    stage.note("kill -9 MariaDB")
    await asyncio.to_thread(stage.maria.kill)
    await _pause(stage, 0, 0.2)
    await asyncio.to_thread(stage.maria.start)


async def kill_two(stage: Stage) -> None:
    """Two of them at one moment."""
    kinds = stage.rng.sample([kill_server, kill_persister, kill_redis, kill_mariadb], 2)
    stage.note("two at once")
    await asyncio.gather(*(kind(stage) for kind in kinds))


async def kill_all_servers(stage: Stage) -> None:
    """Every process of the service at one moment: whatever was half done stays so."""
    stage.note("kill -9 of every process of the service")
    await asyncio.gather(*(asyncio.to_thread(service.kill) for service in stage.services.values()))


async def refuse_entries(stage: Stage) -> None:
    """Redis refuses entries of the outbox, and is killed soon after: the next epoch's are taken again."""
    place = stage.rng.choice(stage.places())
    stage.note(f"the outbox of activity {place.activity_id}, bucket {place.bucket} refuses entries")
    began = time.monotonic()
    await asyncio.to_thread(stage.redis.refuse_entries, place)
    await _pause(stage, 0.2, 0.5)
    await kill_redis(stage)
    await stage.recovered()
    stage.evidence.refused.append((began, time.monotonic()))


async def _redis_loses(stage: Stage, what: str, how: Callable[[], str]) -> None:
    began = time.monotonic()
    stage.note(f"Redis loses data: {what}")
    stage.close_gates(stage.sale_links.values())
    await asyncio.to_thread(stage.redis.quiet)
    before = await asyncio.to_thread(stage.redis.wins)
    await asyncio.to_thread(stage.redis.kill)
    detail = await asyncio.to_thread(how)
    await asyncio.to_thread(stage.redis.start)
    after = await asyncio.to_thread(stage.redis.wins)
    kept = await asyncio.to_thread(stage.maria.wins)
    stage.open_gates()
    _lost(stage, Loss(what, began, time.monotonic(), before - after - kept), f"{detail}, {len(before - after)} wins")
    await stage.recovered()


def _lost(stage: Stage, loss: Loss, detail: str) -> None:
    stage.evidence.losses.append(loss)
    stage.note(f"{loss.what}: {detail} taken, {len(loss.taken)} of them were nowhere else")


async def empty_redis(stage: Stage) -> None:
    """Redis restarts without its data."""

    def how() -> str:
        stage.redis.wipe()
        return "all"

    await _redis_loses(stage, "restart without data", how)


async def cut_tail(stage: Stage) -> None:
    """Redis restarts with an append-only file that lacks its end."""
    size = stage.rng.choice([50, 500, 5_000, 50_000])
    await _redis_loses(stage, "truncated tail", lambda: f"{stage.redis.cut_tail(size)} bytes")


async def old_snapshot(stage: Stage) -> None:
    """Redis restarts from a copy that was made some seconds ago."""
    copy = stage.options.state / "snapshot"
    await asyncio.to_thread(stage.redis.copy_data, copy)
    await _pause(stage, 0.3, 2.0)
    age = time.monotonic()

    def how() -> str:
        stage.redis.put_data(copy)
        return f"copy of {time.monotonic() - age:.1f} s ago"

    await _redis_loses(stage, "old snapshot", how)


async def _make_replica(stage: Stage) -> frozenset[Win]:
    """The spare has all that Redis has, and then nothing more arrives; what it has."""
    stage.spare.wipe()
    stage.replication.open_gate(stage.redis.socket)
    await asyncio.to_thread(stage.spare.start)
    await asyncio.to_thread(stage.spare.follow, stage.replication.port)
    await asyncio.to_thread(stage.spare.caught_up, stage.redis)
    stage.replication.close_gate()
    return await asyncio.to_thread(stage.spare.wins)


async def promote(stage: Stage) -> None:
    """A replica that lags is promoted; the old master is gone for good."""
    await _make_replica(stage)
    await _pause(stage, 0.02, 0.4)
    began = time.monotonic()
    stage.note("a lagging replica is promoted")
    stage.close_gates(stage.sale_links.values())
    await asyncio.to_thread(stage.redis.quiet)
    before = await asyncio.to_thread(stage.redis.wins)
    await asyncio.to_thread(stage.redis.kill)
    await asyncio.to_thread(stage.spare.promote)
    after = await asyncio.to_thread(stage.spare.wins)
    kept = await asyncio.to_thread(stage.maria.wins)
    stage.redis, stage.spare = stage.spare, stage.redis
    stage.open_gates()
    _lost(stage, Loss("promoted replica", began, time.monotonic(), before - after - kept), "what it lacked")
    await stage.recovered()


async def split(stage: Stage) -> None:
    """A replica is promoted while the old master goes on, and some processes reach the one, some the other. Then one of
    them is the master for all: the new one, or the old one, which never restarted. The other one's data are gone.
    """
    shared = await _make_replica(stage)
    began = time.monotonic()
    await _pause(stage, 0.02, 0.3)
    await asyncio.to_thread(stage.spare.promote)
    names = list(stage.sale_links)
    moved = stage.rng.sample(names, stage.rng.randint(1, len(names)))
    stage.note(f"two masters: {', '.join(sorted(moved))} reach the new one")
    for name in moved:
        stage.sale_links[name].open_gate(stage.spare.socket)
        stage.sale_links[name].cut()
    await _pause(stage, 0.3, 1.5)
    if stage.rng.random() < 0.5:
        stage.redis, stage.spare = stage.spare, stage.redis
        stage.note("the new master stays")
    else:
        stage.note("the old master is back")
    stage.close_gates(stage.sale_links.values())
    await asyncio.to_thread(stage.redis.quiet)
    await asyncio.to_thread(stage.spare.quiet)
    before = await asyncio.to_thread(stage.spare.wins)
    after = await asyncio.to_thread(stage.redis.wins)
    await asyncio.to_thread(stage.spare.kill)
    kept = await asyncio.to_thread(stage.maria.wins)
    stage.open_gates()
    await stage.recovered()
    ended = time.monotonic()
    stage.evidence.splits.append(Split(began, ended, shared))
    _lost(stage, Loss("the other master", began, ended, before - after - kept), "its data")


async def kill_persister_and_empty_redis(stage: Stage) -> None:
    """Redis loses its data while nobody but the servers persists."""
    await kill_persister(stage)
    await _pause(stage, 0.2, 0.4)
    await empty_redis(stage)


async def lose_a_pass(stage: Stage) -> None:
    """Redis is empty; MariaDB is far away; whoever opens Redis again dies soon after; and Redis is empty once more.

    A number that the first opening let be told must not be told again: what a pass begins with is committed before.
    """
    place = stage.rng.choice(stage.places())
    await empty_redis(stage)
    for link in stage.mysql_links.values():
        link.delay_s = 0.25
    began = time.monotonic()
    await asyncio.to_thread(stage.redis.kill)
    stage.redis.wipe()
    await asyncio.to_thread(stage.redis.start)

    async def is_open() -> bool:
        return (await asyncio.to_thread(stage.redis.m, place))["open"] == "1"

    await stage.until(is_open, 10, every_s=0.005)
    await _pause(stage, 0.1, 0.2)
    stage.close_gates(stage.mysql_links.values())
    stage.close_gates(stage.sale_links.values())
    await asyncio.gather(*(asyncio.to_thread(service.kill) for service in stage.services.values()))
    before = await asyncio.to_thread(stage.redis.wins)
    await asyncio.to_thread(stage.redis.kill)
    stage.redis.wipe()
    await asyncio.to_thread(stage.redis.start)
    kept = await asyncio.to_thread(stage.maria.wins)
    for link in stage.mysql_links.values():
        link.delay_s = 0.0
    stage.open_gates()
    _lost(stage, Loss("a pass and its Redis", began, time.monotonic(), before - kept), f"{len(before)} wins")
    await stage.recovered()


async def _with_earlier_commits(
    stage: Stage, loss: Callable[[Path, float], Awaitable[None]], *, passes: bool = False
) -> None:
    """MariaDB is killed and copied; some hundred transactions later `loss` may put the copy back."""
    async with stage.no_loss:
        copy = stage.options.state / "mariadb-copy"
        stage.note("kill -9 MariaDB, and a copy of its data")
        await asyncio.to_thread(stage.maria.kill)
        await asyncio.to_thread(stage.maria.copy_data, copy)
        await asyncio.to_thread(stage.maria.start)
        copied = time.monotonic()
        await stage.recovered()
        await _pause(stage, 0.3, 1.5)
        if passes or stage.rng.random() < 0.4:
            # The epoch that follows is lost, too.
            await kill_redis(stage)
            await stage.recovered()
            await _pause(stage, 0.1, 0.5)
        await loss(copy, copied)


def _lost_increases(before: list[AdjustmentRow], after: list[AdjustmentRow]) -> dict[int, int]:
    kept = {each.nonce for each in after}
    lost: dict[int, int] = {}
    for each in before:
        if each.nonce not in kept and each.delta > 0:
            lost[each.activity] = lost.get(each.activity, 0) + each.delta
    return lost


async def lose_commits(stage: Stage) -> None:
    """MariaDB is back at a point some transactions ago; Redis has all that was lost."""
    await _lose_commits(stage, passes=False)


async def lose_commits_and_a_pass(stage: Stage) -> None:
    """The same, and a fence pass was among them."""
    await _lose_commits(stage, passes=True)


async def _lose_commits(stage: Stage, *, passes: bool) -> None:
    async def loss(copy: Path, copied: float) -> None:
        began = time.monotonic()
        stage.close_gates(stage.mysql_links.values())
        await asyncio.to_thread(stage.maria.quiet)
        before, adjusted = await asyncio.to_thread(stage.maria.wins), await asyncio.to_thread(stage.maria.adjustments)
        await asyncio.to_thread(stage.maria.kill)
        await asyncio.to_thread(stage.maria.put_data, copy)
        await asyncio.to_thread(stage.maria.start)
        after, kept = await asyncio.to_thread(stage.maria.wins), await asyncio.to_thread(stage.redis.wins)
        increases = _lost_increases(adjusted, await asyncio.to_thread(stage.maria.adjustments))
        stage.open_gates()
        _lost(
            stage,
            Loss("commits of MariaDB", copied, time.monotonic(), before - after - kept, increases),
            f"{len(before - after)} rows of the last {began - copied:.1f} s",
        )
        await stage.recovered()

    await _with_earlier_commits(stage, loss, passes=passes)


async def lose_both(stage: Stage) -> None:
    """MariaDB is back at a point some transactions ago, and Redis restarts without its data: the design's exception."""

    async def loss(copy: Path, copied: float) -> None:
        stage.close_gates([*stage.mysql_links.values(), *stage.sale_links.values()])
        await asyncio.to_thread(stage.maria.quiet)
        await asyncio.to_thread(stage.redis.quiet)
        before = await asyncio.to_thread(stage.maria.wins) | await asyncio.to_thread(stage.redis.wins)
        adjusted = await asyncio.to_thread(stage.maria.adjustments)
        await asyncio.to_thread(stage.maria.kill)
        await asyncio.to_thread(stage.redis.kill)
        await asyncio.to_thread(stage.maria.put_data, copy)
        await asyncio.to_thread(stage.redis.wipe)
        await asyncio.to_thread(stage.maria.start)
        await asyncio.to_thread(stage.redis.start)
        after = await asyncio.to_thread(stage.maria.wins)
        increases = _lost_increases(adjusted, await asyncio.to_thread(stage.maria.adjustments))
        stage.open_gates()
        _lost(
            stage,
            Loss(
                "commits of MariaDB and all of Redis", copied, time.monotonic(), before - after, increases, numbers=True
            ),
            f"{len(before - after)} wins",
        )
        await stage.recovered()

    await _with_earlier_commits(stage, loss)


FAULTS: Final[dict[str, Fault]] = {
    fault.__name__: fault
    for fault in (
        kill_server,
        kill_persister,
        kill_redis,
        kill_mariadb,
        kill_two,
        kill_all_servers,
        refuse_entries,
        empty_redis,
        cut_tail,
        old_snapshot,
        promote,
        split,
        lose_commits,
        lose_commits_and_a_pass,
        lose_both,
        lose_a_pass,
        kill_persister_and_empty_redis,
    )
}


async def weather(stage: Stage) -> None:
    """Cuts, delays and processes that stand still, beside all other faults and without end."""
    rng = stage.rng
    while True:
        await asyncio.sleep(rng.expovariate(1 / 2.0))
        link: Link = rng.choice([*stage.sale_links.values(), *stage.mysql_links.values()])
        match rng.choice(["cut", "cut", "delay", "delay", "hold", "freeze"]):
            case "cut":
                stage.note(f"cut: {link.name}")
                link.cut()
            case "delay":
                stage.note(f"delay: {link.name}")
                link.delay_s = rng.choice([0.002, 0.02, 0.1])
                await _pause(stage, 0.2, 1.0)
                link.delay_s = 0.0
            case "hold":
                seconds = rng.choice([0.3, 1.0, 2.5])
                stage.note(f"nothing arrives for {seconds} s: {link.name}")
                link.hold(seconds)
            case _:
                service = rng.choice(list(stage.services.values()))
                stage.note(f"frozen: {service.name}")
                service.freeze()
                await _pause(stage, 0.2, 1.5)
                service.thaw()
