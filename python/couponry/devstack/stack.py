"""DevStack: both private servers as one thing with `up` and `down`, and each alone for crash tests.

`up` in a folder whose servers run already uses those, and then leaves them running.
"""

import fcntl
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from couponry.config.addresses import MySqlAddress, mysql_dsn
from couponry.devstack import servers
from couponry.devstack.errors import DevStackError
from couponry.devstack.layout import Layout
from couponry.devstack.process import Keeper

DATABASE = "couponry"


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What `couponry dev status` shows of one server; pid and version are None where it is down."""

    name: str
    pid: int | None
    version: str | None
    socket: Path
    log: Path


class DevStack:
    """The private servers of one state folder.

    `template_dir` keeps the first data directory of MariaDB, which takes a second to make; folders
    may share it. `mysql_options`, `redis_options` and `environment` change what the servers are
    started with (the tests of `doctor` set them wrong).
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        template_dir: Path | None = None,
        mysql_options: Mapping[str, str] | None = None,
        redis_options: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        state = state_dir.absolute()
        self._layout = Layout(state, (template_dir or state / "template").absolute())
        self._mariadb = servers.MariaDb(self._layout, mysql_options or {}, environment or {})
        self._redis = servers.Redis(self._layout, redis_options or {}, environment or {})
        self._keeper: Keeper | None = None
        self._owned = False

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._owned:
            self.down()

    @property
    def owned(self) -> bool:
        """Whether this object started the servers, and so ends them."""
        return self._owned

    def up(self, *, detached: bool = False) -> None:
        """Starts both servers and makes the database `couponry`; those that run already are used.

        They end with this process, unless `detached`: then only `down` ends them.
        Raises DevStackError.
        """
        self._layout.make()
        with self._locked():
            if all(servers.pid_of(server) for server in (self._mariadb, self._redis)):
                return
            self._keeper = Keeper()
            self._owned = True
            try:
                servers.start(self._redis, self._keeper)
                servers.start(self._mariadb, self._keeper)
                self.create_database(DATABASE)
                if detached:
                    self._keeper.detach()
                    self._keeper = None
                    self._owned = False
            except BaseException:
                self.down()
                raise

    def down(self) -> None:
        """Ends both servers in order, whoever started them; the data stays."""
        for server in (self._redis, self._mariadb):
            servers.end(server, signal.SIGTERM)
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
        self._owned = False
        if self._layout.sockets != self._layout.state / "run":
            shutil.rmtree(self._layout.sockets, ignore_errors=True)

    def wipe(self) -> None:
        """Removes the data of both servers, which must be down; the next `up` starts empty."""
        for server in (self._mariadb, self._redis):
            if servers.pid_of(server) is not None:
                raise DevStackError(f"{server.name} runs; end it before its data is removed")
            shutil.rmtree(self._layout.data(server.name), ignore_errors=True)

    def status(self) -> list[ServerStatus]:
        """Both servers as they are now."""
        return [
            ServerStatus(
                name=server.name,
                pid=servers.pid_of(server),
                version=server.version(),
                socket=self._layout.socket(server.name),
                log=self._layout.log(server.name),
            )
            for server in (self._mariadb, self._redis)
        ]

    def socket(self, name: str) -> Path:
        """Where the socket of a program beside the servers belongs."""
        return self._layout.socket(name)

    def environment(self) -> dict[str, str]:
        """The variables that point Couponry at these servers."""
        return {
            "COUPONRY_MYSQL__DSN": self.mysql_dsn(),
            "COUPONRY_REDIS__CACHE": self.redis_url,
            "COUPONRY_REDIS__SALE": self.redis_url,
        }

    def mysql_dsn(self, database: str = DATABASE) -> str:
        """The DSN of a database of the private MariaDB."""
        socket = str(self._layout.socket(self._mariadb.name))
        return mysql_dsn(MySqlAddress("root", "", "localhost", 3306, database, socket))

    @property
    def redis_url(self) -> str:
        """The URL of the private Redis."""
        return f"unix://{quote(str(self._layout.socket(self._redis.name)))}?db=0"

    def create_database(self, name: str) -> str:
        """Makes a database (utf8mb4) unless it is there, and returns its DSN."""
        self._execute(f"CREATE DATABASE IF NOT EXISTS `{_plain(name)}` CHARACTER SET utf8mb4")
        return self.mysql_dsn(name)

    def drop_database(self, name: str) -> None:
        """Removes a database if it is there."""
        self._execute(f"DROP DATABASE IF EXISTS `{_plain(name)}`")

    def start_mariadb(self) -> None:
        """Starts MariaDB again and waits until it answers."""
        servers.start(self._mariadb, self._keeper_or_fail())

    def stop_mariadb(self) -> None:
        """Ends MariaDB in order."""
        servers.end(self._mariadb, signal.SIGTERM)

    def kill_mariadb(self) -> None:
        """kill -9; returns when the process is gone."""
        servers.end(self._mariadb, signal.SIGKILL)

    def start_redis(self) -> None:
        """Starts Redis again and waits until it answers."""
        servers.start(self._redis, self._keeper_or_fail())

    def stop_redis(self) -> None:
        """Ends Redis in order."""
        servers.end(self._redis, signal.SIGTERM)

    def kill_redis(self) -> None:
        """kill -9; returns when the process is gone."""
        servers.end(self._redis, signal.SIGKILL)

    def _keeper_or_fail(self) -> Keeper:
        if self._keeper is None:
            raise DevStackError("these servers were started by somebody else")
        return self._keeper

    def _execute(self, statement: str) -> None:
        with self._mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps two processes from starting the servers of one folder at the same time."""
        with (self._layout.state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _plain(name: str) -> str:
    if not name.replace("_", "").isalnum() or not name.isascii():
        raise DevStackError(f"{name!r} is no name for a database: letters, digits and _ only")
    return name
