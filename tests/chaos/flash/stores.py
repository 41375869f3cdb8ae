"""Redis and MariaDB of a run: started, killed, robbed of data, and read past every proxy.

What is read here is read with nobody else connected, or is known to grow only: the exact sets that the judge needs.
"""

import random
import re
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import redis

from couponry.config.addresses import MySqlAddress, mysql_dsn
from couponry.devstack import servers
from couponry.devstack.layout import Layout
from couponry.devstack.process import Keeper, wait_until
from couponry.flash_sale.wire import WON, Place, fields, from_records
from couponry.store import migrations
from tests.chaos.flash.evidence import AdjustmentRow, Win

__all__ = ["Maria", "RedisNode", "free_port"]

_DATABASE = "couponry"
# Below what systems give to clients.
_PORTS = range(20_000, 30_000)
_QUIET_S = 10.0
_U_KEY = re.compile(rb"fs:\{(\d+)\.(\d+)\}:u")


def free_port() -> int:
    """A port of the loopback that nobody has now, and that no client gets by chance while its server is down."""
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


class RedisNode:
    """One Redis with its own data, on a unix socket; links lead to it."""

    def __init__(self, state: Path, keeper: Keeper, *, fsync: str = "always") -> None:
        self._layout = Layout(state, state / "template")
        self._layout.make()
        self._keeper = keeper
        self._server = servers.Redis(
            self._layout,
            {
                "appendfsync": fsync,
                "repl-diskless-sync-delay": "0",
                "repl-timeout": "60",
            },
        )
        self.socket = self._layout.socket(self._server.name)
        self._data = self._layout.data(self._server.name)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return servers.pid_of(self._server) is not None

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return servers.pid_of(self._server)

    def start(self) -> None:
        """Starts it and waits until it has read its data."""
        servers.start(self._server, self._keeper)

    def kill(self) -> None:
        """kill -9."""
        servers.end(self._server, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in order."""
        servers.end(self._server, signal.SIGTERM)

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A connection past the proxies."""
        with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=20) as client:
            yield client

    def quiet(self) -> None:
        """Waits until the service is gone from it, so that what is read next is all that it ever told."""
        with self.client() as client:
            if not wait_until(lambda: len(client.client_list(_type="normal")) <= 1, _QUIET_S):
                raise TimeoutError("a connection to Redis stays")

    def wins(self) -> frozenset[Win]:
        """Every win that the winners hashes hold as won."""
        found: set[Win] = set()
        with self.client() as client:
            for key in client.scan_iter(match="fs:{*}:u", count=1000):
                parts = _U_KEY.fullmatch(key)
                if parts is not None:
                    place = Place(int(parts[1]), int(parts[2]))
                    for user, records in client.hgetall(key).items():
                        found.update(
                            Win(place.activity_id, user, win.request_hash, place.coupon_id(win.number))
                            for win in from_records(user, records)
                            if win.kind == WON
                        )
        return frozenset(found)

    def m(self, place: Place) -> dict[str, str]:
        """m of a bucket; `open` is 1 where this is the Redis that the fence opened."""
        with self.client() as client:
            state = client.hgetall(place.names()[0])
            replid = client.info("replication")["master_replid"]
        m = fields([part for pair in state.items() for part in pair])
        return {**m, "open": str(int(m.get("replid") == replid))}

    def refuse_entries(self, place: Place) -> bool:
        """Makes the outbox refuse what the next claims would add; False where there is no outbox."""
        m_key, _, o_key = place.names()
        with self.client() as client:
            epoch, number = client.hmget(m_key, "epoch", "number")
            if epoch is None or not client.exists(o_key):
                return False
            client.execute_command("XSETID", o_key, b"%s-%d" % (epoch, int(number) + 1_000_000))
        return True

    def follow(self, port: int) -> None:
        """Becomes a replica of what a port leads to, and waits until it has all of it."""
        with self.client() as client:
            client.replicaof("127.0.0.1", port)
            if not wait_until(lambda: client.info("replication")["master_link_status"] == "up", _QUIET_S):
                raise TimeoutError("the replica does not come up")

    def caught_up(self, master: "RedisNode") -> None:
        """Waits until this replica has what its master had when this was called."""
        with master.client() as client:
            offset = client.info("replication")["master_repl_offset"]
        with self.client() as client:
            if not wait_until(lambda: client.info("replication")["slave_repl_offset"] >= offset, _QUIET_S):
                raise TimeoutError("the replica does not catch up")

    def promote(self) -> None:
        """A replica becomes a master."""
        with self.client() as client:
            client.replicaof("NO", "ONE")

    def wipe(self) -> None:
        """Removes the data of a server that is down."""
        shutil.rmtree(self._data, ignore_errors=True)

    def copy_data(self, to: Path) -> None:
        """A copy of the append-only files as they are, also of one that runs."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self._data, to)

    def put_data(self, copy: Path) -> None:
        """Puts a copy in the place of the data of a server that is down."""
        self.wipe()
        shutil.copytree(copy, self._data)

    def cut_tail(self, size: int) -> int:
        """Removes the last bytes of the append-only file of a server that is down; how many."""
        tail = max(
            self._data.glob("appendonlydir/*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]), default=None
        )
        if tail is None:
            return 0
        length = tail.stat().st_size
        cut = min(size, length)
        with tail.open("r+b") as file:
            file.truncate(length - cut)
        return cut


class Maria:
    """The MariaDB of a run."""

    def __init__(self, state: Path, keeper: Keeper, *, templates: Path) -> None:
        self._layout = Layout(state, templates)
        self._layout.make()
        self._keeper = keeper
        self._server = servers.MariaDb(self._layout)
        self.socket = self._layout.socket(self._server.name)
        self._data = self._layout.data(self._server.name)

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return servers.pid_of(self._server) is not None

    def start(self) -> None:
        """Starts it and waits until it answers."""
        servers.start(self._server, self._keeper)

    def kill(self) -> None:
        """kill -9."""
        servers.end(self._server, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in order."""
        servers.end(self._server, signal.SIGTERM)

    def prepare(self) -> None:
        """The database with its schema."""
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS {_DATABASE} CHARACTER SET utf8mb4")
        migrations.upgrade(self.dsn)

    @property
    def dsn(self) -> str:
        """Past the proxies."""
        return mysql_dsn(MySqlAddress("root", "", "localhost", 3306, _DATABASE, str(self.socket)))

    def quiet(self) -> None:
        """Waits until the service is gone from it and every transaction has ended."""
        with self._connected() as cursor:

            def alone() -> bool:
                cursor.execute(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()",
                    (_DATABASE,),
                )
                row = cursor.fetchone()
                return row is not None and row[0] == 0

            if not wait_until(alone, _QUIET_S):
                raise TimeoutError("a connection to MariaDB stays")

    def copy_data(self, to: Path) -> None:
        """A copy of the data directory of a server that is down: a point of time that it can be put back to."""
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self._data, to)

    def put_data(self, copy: Path) -> None:
        """Puts a copy in the place of the data of a server that is down."""
        shutil.rmtree(self._data)
        shutil.copytree(copy, self._data)

    def wins(self) -> frozenset[Win]:
        """Every win that is a coupon."""
        return self._wins(
            "SELECT activity_id, user_id, request_hash, id FROM user_coupons WHERE activity_id IS NOT NULL"
        )

    def failed(self) -> frozenset[Win]:
        """Every win that could not become a coupon."""
        return self._wins(
            "SELECT activity_id, user_id, request_hash, coupon_id FROM flash_sale_records WHERE state = 5"
        )

    def adjustments(self) -> list[AdjustmentRow]:
        """All of them in order, and then the changes of activities with several buckets."""
        with self._connected() as cursor:
            cursor.execute(
                "SELECT activity_id, adjustment_id, delta, state, applied, nonce FROM adjustments"
                " ORDER BY activity_id, bucket, place"
            )
            rows = list(cursor.fetchall())
            cursor.execute(
                "SELECT activity_id, adjustment_id, delta, state, IF(state = 2, delta, 0), '' FROM stock_changes"
                " ORDER BY activity_id, created_at"
            )
            return [
                AdjustmentRow(
                    int(activity),
                    bytes(name or b"").decode(),
                    int(delta),
                    int(state),
                    int(applied or 0),
                    bytes(nonce or b""),
                )
                for activity, name, delta, state, applied, nonce in [*rows, *cursor.fetchall()]
            ]

    def progress(self) -> dict[Place, Mapping[str, int]]:
        """epoch, the number up to which all is persisted, and the total, by bucket."""
        with self._connected() as cursor:
            cursor.execute(
                "SELECT activity_id, bucket, epoch, GREATEST(number, base), total, sold FROM activity_progress"
            )
            return {
                Place(int(activity), int(bucket)): {
                    "epoch": int(epoch),
                    "persisted": int(persisted),
                    "total": int(total),
                    "sold": int(sold),
                }
                for activity, bucket, epoch, persisted, total, sold in cursor.fetchall()
            }

    def _wins(self, sql: str) -> frozenset[Win]:
        with self._connected() as cursor:
            cursor.execute(sql)
            return frozenset(
                Win(int(activity), bytes(user), bytes(request), int(coupon))
                for activity, user, request, coupon in cursor.fetchall()
            )

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        connection = pymysql.connect(
            unix_socket=str(self.socket), user="root", database=_DATABASE, autocommit=True, connect_timeout=10
        )
        with connection, connection.cursor() as cursor:
            yield cursor
