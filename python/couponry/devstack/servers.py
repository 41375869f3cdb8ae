"""MariaDB (or MySQL) and Redis as private servers: command line, first data, and health.

Both listen on a unix socket only. MariaDB runs with the settings that Couponry wants of a real
one (ROW binlog, every commit on disk), Redis with its append-only file.
"""

import os
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from couponry.devstack.errors import DevStackError, log_tail
from couponry.devstack.layout import Layout
from couponry.devstack.process import Keeper, PidFile, wait_until
from couponry.devstack.programs import MySqlPrograms, mysql_programs, redis_program

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0

_MYSQL_OPTIONS: Mapping[str, str] = {
    "skip-networking": "",
    "skip-name-resolve": "",
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-expire-logs-seconds": "86400",
    "max-binlog-size": "64M",
    "sync-binlog": "1",
    "innodb-flush-log-at-trx-commit": "1",
    "log-bin-trust-function-creators": "1",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    "max-connections": "300",
    "performance-schema": "OFF",
    "innodb-buffer-pool-size": "128M",
    "loose-innodb-log-file-size": "16M",
    "loose-key-buffer-size": "1M",
    "loose-aria-pagecache-buffer-size": "8M",
    "loose-mysqlx": "OFF",
}

_REDIS_OPTIONS: Mapping[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class _Server(Protocol):
    """What the stack does with either server."""

    @property
    def name(self) -> str: ...
    @property
    def layout(self) -> Layout: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    def prepare(self, keeper: Keeper) -> None: ...
    def command(self) -> list[str]: ...
    def version(self) -> str | None: ...


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", **extra}


def pid_of(server: _Server) -> int | None:
    """The pid of the server, while it runs."""
    return PidFile(server.layout.pid_file(server.name)).running()


def start(server: _Server, keeper: Keeper) -> None:
    """Starts the server if it does not run, and waits until it answers."""
    layout, pid_file = server.layout, PidFile(server.layout.pid_file(server.name))
    if pid_file.running() is None:
        server.prepare(keeper)
        layout.socket(server.name).unlink(missing_ok=True)
        layout.log(server.name).unlink(missing_ok=True)
        pid = keeper.start(
            server.command(),
            log=layout.log(server.name),
            cwd=layout.data(server.name),
            env=_environment(server.environment),
        )
        pid_file.write(pid)
    wait_until(lambda: server.version() is not None or pid_file.running() is None, _START_TIMEOUT_S)
    if server.version() is None:
        pid_file.end(signal.SIGKILL, _STOP_TIMEOUT_S)
        tail = log_tail(layout.log(server.name))
        raise DevStackError(f"{server.name} did not start; the end of its log:\n{tail}")


def end(server: _Server, sign: signal.Signals) -> None:
    """Ends the server by its pid and waits until it is gone."""
    PidFile(server.layout.pid_file(server.name)).end(sign, _STOP_TIMEOUT_S)
    server.layout.socket(server.name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class MariaDb:
    """A private MariaDB (or MySQL). Its account is root without a password, on the socket."""

    layout: Layout
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "mariadb"

    def prepare(self, keeper: Keeper) -> None:
        """Makes the data directory, a copy of one that is made once a version."""
        data = self.layout.data(self.name)
        if data.exists():
            return
        programs = mysql_programs()
        template = self.layout.templates / f"mariadb-{programs.version}"
        if not template.exists():
            self._make_template(keeper, programs, template)
        half = data.with_name(f"{data.name}.half")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(template, half)
        half.rename(data)

    def _make_template(self, keeper: Keeper, programs: MySqlPrograms, template: Path) -> None:
        half = template.with_name(f"{template.name}.{os.getpid()}")
        shutil.rmtree(half, ignore_errors=True)
        template.parent.mkdir(parents=True, exist_ok=True)
        sizes = ["--innodb-log-file-size=16M", "--innodb-buffer-pool-size=32M"]
        argv = (
            [
                str(programs.install),
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ]
            if programs.install is not None
            else [str(programs.server), "--no-defaults", "--initialize-insecure"]
        )
        log = self.layout.log("mariadb-install")
        log.unlink(missing_ok=True)
        status = keeper.run(
            [*argv, *_as_user(), *sizes, f"--datadir={half}"],
            log=log,
            cwd=template.parent,
            env=_environment({}),
        )
        if status != 0:
            shutil.rmtree(half, ignore_errors=True)
            raise DevStackError(f"no data directory of MariaDB could be made:\n{log_tail(log)}")
        try:
            half.rename(template)
        except OSError:  # another process made it meanwhile
            shutil.rmtree(half, ignore_errors=True)

    def command(self) -> list[str]:
        """The command line; `options` win over the usual ones."""
        options = {
            **_MYSQL_OPTIONS,
            "datadir": str(self.layout.data(self.name)),
            "socket": str(self.layout.socket(self.name)),
            "pid-file": str(self.layout.sockets / "mariadb-server.pid"),
            **self.options,
        }
        arguments = [f"--{key}={value}" if value else f"--{key}" for key, value in options.items()]
        return [str(mysql_programs().server), "--no-defaults", *_as_user(), *arguments]

    def connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        """A connection without a database. Raises pymysql.MySQLError."""
        return pymysql.connect(
            unix_socket=str(self.layout.socket(self.name)),
            user="root",
            autocommit=True,
            connect_timeout=10,
        )

    def version(self) -> str | None:
        """The version, or None if the server does not answer."""
        if not _listens(self.layout.socket(self.name)):
            return None
        try:
            connection = self.connect()
        except pymysql.MySQLError:
            return None
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            row = cursor.fetchone()
        return str(row[0]) if row else None


def _listens(path: Path) -> bool:
    # Asked first, because PyMySQL leaves a socket open that could not connect.
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


@dataclass(frozen=True, slots=True)
class Redis:
    """A private Redis."""

    layout: Layout
    options: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "redis"

    def prepare(self, keeper: Keeper) -> None:  # noqa: ARG002 - the other server needs it
        """Makes the data directory."""
        self.layout.data(self.name).mkdir(mode=0o700, exist_ok=True)

    def command(self) -> list[str]:
        """The command line; `options` win over the usual ones."""
        options = {
            **_REDIS_OPTIONS,
            "dir": str(self.layout.data(self.name)),
            "unixsocket": str(self.layout.socket(self.name)),
            **self.options,
        }
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        return [str(redis_program()), *arguments]

    def version(self) -> str | None:
        """The version, or None if the server does not answer (or still loads its data)."""
        client = redis.Redis(
            unix_socket_path=str(self.layout.socket(self.name)), socket_timeout=10, retry=Retry(NoBackoff(), 0)
        )
        try:
            client.ping()
            said = client.info("server")["redis_version"]
        except redis.RedisError:
            return None
        finally:
            client.close()
        return str(said)
