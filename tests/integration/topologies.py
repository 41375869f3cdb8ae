"""Redis as real installations have it: replicas, Sentinels, a Cluster, as real processes on 127.0.0.1.

They are ended by their pids. Each installation lives in a folder; its processes belong to a keeper, so that nothing
stays behind however a test ends.
"""

import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from couponry.devstack.process import Keeper, PidFile, wait_until
from couponry.devstack.programs import redis_program

__all__ = ["Clustered", "Node", "Replicated", "Watched", "until"]

_OPTIONS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "daemonize": "no",
    "repl-diskless-sync": "yes",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "maxmemory-policy": "noeviction",
}
_TIMEOUT_S = 60.0


def until(condition: Callable[[], object], timeout_s: float = _TIMEOUT_S) -> None:
    """Returns when the condition holds; fails the test where it never does."""

    def holds() -> bool:
        try:
            return bool(condition())
        except (redis.RedisError, OSError):
            return False

    assert wait_until(holds, timeout_s), "the servers never came to that state"


def free_port() -> int:
    """A port that nobody has, low enough for the bus of a Cluster beside it."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Node:
    """One process of redis-server."""

    keeper: Keeper
    folder: Path
    port: int = field(default_factory=free_port)
    options: Mapping[str, str] = field(default_factory=dict)
    sentinel: str = ""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it on the data that it has, and waits until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.sentinel:
            configuration = self.folder / "sentinel.conf"
            if not configuration.exists():
                configuration.write_text(f"port {self.port}\nbind 127.0.0.1\n{self.sentinel}")
            argv = [str(redis_program()), str(configuration), "--sentinel"]
        else:
            options = {**_OPTIONS, "port": str(self.port), "dir": str(self.folder), **self.options}
            argv = [str(redis_program()), *(part for key, value in options.items() for part in (f"--{key}", value))]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
        self._pid_file().write(self.keeper.start(argv, self.folder / "log", self.folder, environment))
        until(lambda: self.ask("PING"))

    def kill(self) -> None:
        """kill -9."""
        self._pid_file().end(signal.SIGKILL, _TIMEOUT_S)

    def pause(self) -> None:
        """It hears nothing and says nothing, as behind a broken network."""
        os.kill(self._pid(), signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on where it was."""
        os.kill(self._pid(), signal.SIGCONT)

    def ask(self, *command: str | int) -> Any:
        """One command on a connection of its own."""
        with self.client() as client:
            return client.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        with self.client() as client:
            found: dict[str, Any] = client.info(section)
            return found

    @contextmanager
    def client(self) -> Any:
        """A client that asks once."""
        with closing(
            redis.Redis(
                port=self.port, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0),
                decode_responses=True,
            )
        ) as client:  # fmt: skip
            yield client

    def _pid_file(self) -> PidFile:
        return PidFile(self.folder / "pid")

    def _pid(self) -> int:
        pid = self._pid_file().running()
        assert pid is not None, "the server does not run"
        return pid


def _follows(replica: Node) -> bool:
    return bool(replica.info("replication").get("master_link_status") == "up")


class _Installation:
    """Processes with a common keeper."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keeper = Keeper()
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.keeper.close()

    def node(self, name: str, **changes: Any) -> Node:
        node = Node(self.keeper, self.folder / name, **changes)
        self.nodes.append(node)
        return node


class Replicated(_Installation):
    """A master and its replicas; nobody watches them."""

    def __init__(self, folder: Path, *, replicas: int = 1, options: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self.master = self.node("master", options=dict(options or {}))
        self.master.start()
        self.replicas = [
            self.node(f"replica{n}", options={**(options or {}), "replicaof": f"127.0.0.1 {self.master.port}"})
            for n in range(replicas)
        ]
        for replica in self.replicas:
            replica.start()
        self.until_following(replicas)

    @property
    def url(self) -> str:
        return f"redis://{self.master.address}/0"

    def until_following(self, count: int) -> None:
        """Returns when so many replicas follow the master."""
        until(lambda: int(self.master.info("replication")["connected_slaves"]) == count)
        for replica in self.replicas[:count]:
            until(partial(_follows, replica))


class Watched(Replicated):
    """A master, replicas, and Sentinels that promote one."""

    NAME = "sale"

    def __init__(self, folder: Path, *, replicas: int = 1, sentinels: int = 3, quorum: int = 2) -> None:
        super().__init__(folder, replicas=replicas)
        text = (
            f"sentinel monitor {self.NAME} 127.0.0.1 {self.master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {self.NAME} 500\n"
            f"sentinel failover-timeout {self.NAME} 2000\n"
            f"sentinel parallel-syncs {self.NAME} 1\n"
        )
        self.sentinels = [self.node(f"sentinel{n}", sentinel=text) for n in range(sentinels)]
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            until(partial(self._knows, sentinel, replicas=replicas, others=sentinels - 1))

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(each.address for each in self.sentinels)}/{self.NAME}"

    def _knows(self, sentinel: Node, *, replicas: int, others: int) -> bool:
        with sentinel.client() as client:
            state = client.sentinel_master(self.NAME)
            seen = [each for each in client.sentinel_slaves(self.NAME) if "slave" in each["flags"]]
        return len(seen) == replicas and state["num-other-sentinels"] == others and not state["is_disconnected"]

    def current(self) -> Node:
        """The master that the Sentinels name."""
        with self.sentinels[0].client() as client:
            _, port = client.sentinel_get_master_addr_by_name(self.NAME)
        [node] = [each for each in (self.master, *self.replicas) if each.port == int(port)]
        return node

    def until_healthy(self) -> None:
        """Returns when every server runs and follows the master, and all Sentinels know that."""
        until(self._healthy)

    def _healthy(self) -> bool:
        servers = [self.master, *self.replicas]
        current = self.current()
        following = [server for server in servers if server is not current and _follows(server)]
        return len(following) == len(servers) - 1 and all(
            self._knows(each, replicas=len(self.replicas), others=len(self.sentinels) - 1)
            and self._flags(each) == "master"
            for each in self.sentinels
        )

    def _flags(self, sentinel: Node) -> str:
        with sentinel.client() as client:
            return str(client.sentinel_master(self.NAME)["flags"])

    def until_failed_over(self, before: Node) -> Node:
        """Returns when another node is the master."""
        until(lambda: self.current().port != before.port and self.current().info("replication")["role"] == "master")
        return self.current()


class Clustered(_Installation):
    """A Cluster of three primaries, each with a replica."""

    SLOTS = 16384

    def __init__(self, folder: Path, *, replicas: bool = True) -> None:
        super().__init__(folder)
        names = [f"primary{n}" for n in range(3)] + ([f"replica{n}" for n in range(3)] if replicas else [])
        for name in names:
            self.node(
                name,
                options={
                    "cluster-enabled": "yes",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": "1000",
                    "cluster-replica-validity-factor": "0",
                    "cluster-require-full-coverage": "no",
                },
            ).start()
        self.primaries, self.replicas = self.nodes[:3], self.nodes[3:]
        each = self.SLOTS // 3
        for n, node in enumerate(self.primaries):
            last = self.SLOTS - 1 if n == 2 else (n + 1) * each - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", n * each, last)
            # Epochs that differ from the start spare the nodes a conflict.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        first = self.nodes[0]
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", first.port, first.options["cluster-port"])
        for node in self.nodes:
            until(partial(self._met, node))
        for primary, replica in zip(self.primaries, self.replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", self.id_of(primary))
        for replica in self.replicas:
            until(partial(_follows, replica))
        for node in self.nodes:
            until(partial(self._complete, node))

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(node.address for node in self.nodes[:3])}"

    def view(self, node: Node) -> dict[str, Any]:
        """CLUSTER NODES as one node sees it, by address."""
        found: dict[str, Any] = node.ask("CLUSTER NODES")
        return found

    def id_of(self, node: Node) -> str:
        return str(node.ask("CLUSTER", "MYID"))

    def _met(self, node: Node) -> bool:
        return len(self.view(node)) == len(self.nodes)

    def _moved(self, key: str, node: Node, before: Node) -> bool:
        return self.owner(key, node).port != before.port

    def _complete(self, node: Node) -> bool:
        info = node.ask("CLUSTER INFO")
        known = self.view(node).values()
        replicas = sum("slave" in each["flags"] for each in known)
        return info["cluster_state"] == "ok" and replicas == len(self.replicas)

    def until_healthy(self) -> None:
        """Returns when every node runs, every slot has a primary and every replica follows, in the eyes of all."""
        for node in self.nodes:
            until(partial(self._complete, node))
        until(lambda: all(_follows(node) for node in self.nodes if node.info("replication")["role"] == "slave"))

    def slot_of(self, key: str) -> int:
        return int(self.alive().ask("CLUSTER", "KEYSLOT", key))

    def alive(self) -> Node:
        """Any node that answers."""
        for node in self.nodes:
            try:
                node.ask("PING")
            except (redis.RedisError, OSError):
                continue
            return node
        raise AssertionError("no node of the Cluster answers")

    def owner(self, key: str, seen_by: Node | None = None) -> Node:
        """The primary that has a key's slot."""
        slot = self.slot_of(key)
        for start, end, primary, *_ in (seen_by or self.alive()).ask("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                [node] = [node for node in self.nodes if node.port == primary[1]]
                return node
        raise AssertionError(f"nobody has slot {slot}")

    def until_failed_over(self, key: str, before: Node) -> Node:
        """Returns when another node has the key's slot, as every node that is up sees it."""
        others = [node for node in self.primaries if node is not before]
        for other in others:
            until(partial(self._moved, key, other, before))
        after = self.owner(key, others[0])
        until(lambda: after.info("replication")["role"] == "master")
        return after

    def move_slot(self, key: str, target: Node, *, between: Callable[[int], None] = lambda _: None) -> None:
        """Moves the slot of a key, key by key, as redis-cli does; `between` is called after each key."""
        slot, source = self.slot_of(key), self.owner(key)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        moved = 0
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 1):
            source.ask("MIGRATE", "127.0.0.1", target.port, keys[0], 0, 5000)
            moved += 1
            between(moved)
        for node in (target, source, *(each for each in self.primaries if each not in (source, target))):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self.id_of(target))
