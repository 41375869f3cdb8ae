"""Everything of one run: two servers, a persister, Redis with a spare, MariaDB, a proxy for each link, the clients.

The conductor acts through it and keeps the evidence. A service process that died is started again, as a supervisor
would do it.
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio

from couponry.devstack.process import Keeper
from couponry.flash_sale.wire import Place
from couponry.v1 import flash_sale_pb2
from tests.chaos.flash.evidence import Evidence
from tests.chaos.flash.links import Link
from tests.chaos.flash.load import Target
from tests.chaos.flash.services import Service
from tests.chaos.flash.stores import Maria, RedisNode, free_port

__all__ = ["SERVERS", "Options", "Stage", "opened"]

T = TypeVar("T")

SERVERS = ("server-1", "server-2")
PERSISTER = "persister"


@dataclass(frozen=True, slots=True)
class Options:
    """Of a run. `tree`: another tree of the service's Python, for planted faults; `settings`: more of its settings."""

    seed: int
    state: Path
    templates: Path
    tree: Path | None = None
    fsync: str = "always"
    settings: Mapping[str, str] | None = None
    patience_s: float = 90.0
    workers: int = 12
    pace_ms: int = 12


class Stage:
    """The parts, by name."""

    def __init__(self, options: Options, keeper: Keeper) -> None:
        self.options = options
        self.rng = random.Random(options.seed)
        self.redis = RedisNode(options.state / "redis-a", keeper, fsync=options.fsync)
        self.spare = RedisNode(options.state / "redis-b", keeper, fsync=options.fsync)
        self.cache = RedisNode(options.state / "redis-cache", keeper, fsync="no")
        self.maria = Maria(options.state / "mariadb", keeper, templates=options.templates)
        names = (*SERVERS, PERSISTER)
        self.sale_links = {name: Link(f"{name} to Redis", self.redis.socket) for name in names}
        self.mysql_links = {name: Link(f"{name} to MariaDB", self.maria.socket) for name in names}
        self.replication = Link("replication", self.redis.socket)
        self.services: dict[str, Service] = {}
        self.addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
        self.targets: list[Target] = []
        self.clients: list[asyncio.subprocess.Process] = []
        self.logs: list[Path] = []
        self.evidence = Evidence({})
        self.running: dict[int, int] = {}
        # Held by faults that may lose commits of MySQL, and by whatever such a loss must not undo.
        self.no_loss = asyncio.Lock()
        self.storm = True
        self._keeper = keeper
        self._began = time.monotonic()

    @property
    def links(self) -> list[Link]:
        """All of them."""
        return [*self.sale_links.values(), *self.mysql_links.values(), self.replication]

    def places(self) -> list[Place]:
        """Every bucket of the activities that run."""
        return [
            Place(activity, bucket)
            for activity in list(self.running)
            for bucket in range(self.evidence.activities[activity].buckets)
        ]

    def note(self, text: str) -> None:
        """A line of the timeline."""
        self.evidence.timeline.append((time.monotonic(), text))

    def trouble(self, text: str) -> None:
        """Something that must not be."""
        self.note(f"TROUBLE {text}")
        self.evidence.troubles.append(text)

    async def up(self) -> None:
        """Starts stores, proxies and services."""
        for node in (self.redis, self.cache):
            await asyncio.to_thread(node.start)
        await asyncio.to_thread(self.maria.start)
        await asyncio.to_thread(self.maria.prepare)
        for link in self.links:
            await link.open()
        environment = self._environment()
        for name in (*SERVERS, PERSISTER):
            self.services[name] = Service(
                name,
                self.options.state / "services",
                self._keeper,
                {
                    **environment,
                    "COUPONRY_SERVER__LISTEN": self.addresses[name],
                    "COUPONRY_JOBS__ENABLED": "true" if name == PERSISTER else "false",
                    "COUPONRY_REDIS__SALE": f"redis://127.0.0.1:{self.sale_links[name].port}/0",
                    "COUPONRY_MYSQL__DSN": f"mysql://root@127.0.0.1:{self.mysql_links[name].port}/couponry",
                },
            )
            self.services[name].start()
        self.targets = [Target.of(name, self.addresses[name]) for name in SERVERS]

    def _environment(self) -> dict[str, str]:
        values = {
            "GRPC_VERBOSITY": "NONE",
            "COUPONRY_REDIS__CACHE": f"unix://{self.cache.socket}?db=0",
            "COUPONRY_LOG__LEVEL": "info",
            "COUPONRY_JOBS__ADJUSTER_INTERVAL_MS": "500",
            # Short enough that outboxes are trimmed in a run, long enough for every loss of commits in it.
            "COUPONRY_FLASH_SALE__TRIM_AFTER_S": "25",
            "COUPONRY_JOBS__TRIM_INTERVAL_MS": "1000",
            **(self.options.settings or {}),
        }
        if self.options.tree is not None:
            values["PYTHONPATH"] = str(self.options.tree / "python")
        return values

    async def keep_alive(self) -> None:
        """Starts service processes that have ended, after the pause of a supervisor."""
        while True:
            for service in self.services.values():
                if not service.held and service.pid is None:
                    service.start()
            await asyncio.sleep(0.1)

    async def start_clients(self, count: int) -> None:
        """The load."""
        for number in range(1, count + 1):
            name = f"client-{number}"
            log = self.options.state / f"{name}.log"
            plan = {
                "name": name,
                "targets": [[target, self.addresses[target]] for target in SERVERS],
                "log": str(log),
                "seed": self.options.seed * 100 + number,
                "workers": self.options.workers,
                "pace_ms": self.options.pace_ms,
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.chaos.flash.load",
                json.dumps(plan),
                stdin=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,
            )
            self.clients.append(process)
            self.logs.append(log)
        await self.announce()

    async def announce(self) -> None:
        """Tells the clients which activities run."""
        line = json.dumps({"activities": [{"id": each, "users": users} for each, users in self.running.items()]})
        for client in self.clients:
            if client.stdin is not None:
                client.stdin.write(line.encode() + b"\n")
                await client.stdin.drain()

    async def stop_clients(self) -> None:
        """They wait for the calls under way and end."""
        for client in self.clients:
            if client.stdin is not None:
                client.stdin.close()
        for client in self.clients:
            if await client.wait():
                self.trouble("a client process failed")

    def close_gates(self, links: Iterable[Link]) -> None:
        """Nobody gets through."""
        for link in links:
            link.close_gate()

    def open_gates(self) -> None:
        """Everything leads to the Redis in charge and to MariaDB."""
        for link in self.sale_links.values():
            link.open_gate(self.redis.socket)
        for link in self.mysql_links.values():
            link.open_gate()
        self.replication.open_gate(self.redis.socket)

    def calm(self) -> None:
        """No delay and no frozen process."""
        for link in self.links:
            link.delay_s = 0.0
            link.hold(0)
        for service in self.services.values():
            service.thaw()

    async def recovered(self) -> None:
        """Waits until each server answers for each activity and Redis is of the row's epoch; else that is a trouble."""
        within_s = min(30.0, self.options.patience_s)
        if not await self.until(self._is_well, within_s):
            self.trouble(f"the service did not recover within {within_s:.0f} s")

    async def until(self, condition: Callable[[], Any], within_s: float, *, every_s: float = 0.05) -> bool:
        """Looks again and again; false when the time is over."""
        deadline = time.monotonic() + within_s
        while not await condition():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(every_s)
        return True

    async def _is_well(self) -> bool:
        for activity in list(self.running):
            for target in self.targets:
                try:
                    await target.stub.GetStock(flash_sale_pb2.GetStockRequest(activity_id=activity), timeout=2)
                except grpc.aio.AioRpcError:
                    return False
        return await asyncio.to_thread(self.fenced)

    def fenced(self) -> bool:
        """Whether Redis is open for every running activity, in the epoch of its row."""
        try:
            progress = self.maria.progress()
            return all(
                (m := self.redis.m(place))["open"] == "1" and int(m["epoch"]) == progress[place]["epoch"]
                for place in self.places()
            )
        except Exception:  # noqa: BLE001 - a store is down: not yet
            return False

    def drained(self) -> bool:
        """Whether MySQL has all that Redis told, and nothing is PENDING."""
        try:
            progress = self.maria.progress()
            if any(each.state == 1 for each in self.maria.adjustments()):
                return False
            return self.fenced() and all(
                int(self.redis.m(place)["number"]) == progress[place]["persisted"] for place in self.places()
            )
        except Exception:  # noqa: BLE001 - a store is down: not yet
            return False

    async def down(self) -> None:
        """Ends everything that this run started."""
        for client in self.clients:
            if client.returncode is None:
                client.kill()
                await client.wait()
        for service in self.services.values():
            service.held = True
            service.thaw()
            await asyncio.to_thread(service.kill)
        for target in self.targets:
            await target.channel.close()
        for link in self.links:
            link.shut()
        for store in (self.redis, self.spare, self.cache, self.maria):
            await asyncio.to_thread(store.kill)


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Stage]:
    """A stage that is up; it is taken down whatever happens, also by kill -9 of this process (see the keeper)."""
    options.state.mkdir(parents=True, exist_ok=True)
    keeper = await asyncio.to_thread(Keeper)
    stage = Stage(options, keeper)
    alive: asyncio.Task[None] | None = None
    try:
        await stage.up()
        alive = asyncio.create_task(stage.keep_alive())
        yield stage
    finally:
        if alive is not None:
            alive.cancel()
        await stage.down()
        await asyncio.to_thread(keeper.close)
