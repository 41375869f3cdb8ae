"""A reader of the test's own schema into an L1, and the ways in which tests change rows: by hand, with SQL."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pymysql
import pytest

from couponry._core import L1, Binlog, BinlogSource
from couponry.config import parse_mysql_dsn

KINDS = ("template", "template_key", "activity", "activity_key", "user")
LONG_MS = 600_000


def source(dsn: str, *, user: str | None = None, password: str = "") -> BinlogSource:
    """The server of a DSN, as another user if one is given."""
    address = parse_mysql_dsn(dsn)
    return BinlogSource(
        host=address.host,
        port=address.port,
        unix_socket=address.unix_socket,
        user=user or address.user,
        password=password or address.password,
        schema=address.database,
    )


@contextlib.contextmanager
def connected(dsn: str) -> "Iterator[pymysql.cursors.Cursor]":
    """A cursor for SQL by hand."""
    address = parse_mysql_dsn(dsn)
    with (
        pymysql.connect(
            unix_socket=address.unix_socket, user=address.user, database=address.database, autocommit=True
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows of one statement."""
    with connected(dsn) as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def insert_coupon(coupon: int, *, user: str = "u", status: int = 1) -> str:
    """A coupon of version 1."""
    return (
        "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at,"
        f" version) VALUES ('{user}', {coupon}, 1, 1, {status}, '2030-01-01', '2031-01-01', '2030-01-01', 1)"
    )


def insert_template(template: int, key: str) -> str:
    """A template of version 1."""
    return (
        f"INSERT INTO templates VALUES ({template}, '{key}', REPEAT('x', 16), 'n', 'd', '{{}}', 1, 'CNY', '{{}}', 10,"
        " NULL, NULL, NULL, '2030-01-01', '2031-01-01', NULL, NULL, 0, 0, 1, 1, '2030-01-01', '2030-01-01')"
    )


@dataclass(eq=False)
class Worker:
    """One process's L1 and its reader."""

    l1: L1
    binlog: Binlog

    def store(self, kind: str, key: str, *rows: tuple[int, int]) -> str | None:
        """Stores an entry as a load from SQL would that was just sent; why not, where it is refused."""
        fill = self.l1.begin(kind, key)
        return fill.store(b"held", list(rows), life_ms=LONG_MS, sent_ms=self.l1.now_ms)

    def holds(self, kind: str, key: str) -> bool:
        """Whether L1 answers."""
        return bool(self.l1.get(kind, key))

    def losses(self) -> dict[str, int]:
        """By cause, those that happened."""
        return {cause: count for cause, count in self.binlog.losses() if count}

    def figure(self, name: str) -> int:
        """One figure of the reader."""
        return dict(self.binlog.figures())[name]


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Starts workers, and ends them with the test."""
    with contextlib.ExitStack() as ending:

        def start(dsn: str, place: tuple[bytes, bytes] | None = None) -> Worker:
            l1 = L1(dict.fromkeys(KINDS, 1 << 20))
            binlog = Binlog(source(dsn), l1, place)
            ending.callback(binlog.stop)
            return Worker(l1, binlog)

        yield start
