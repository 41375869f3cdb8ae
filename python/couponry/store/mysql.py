"""The connection to MySQL or MariaDB: a pool, transactions, and retries when the server picks a victim.

Sessions are READ COMMITTED in UTC with short lock waits, so that a host that vanishes holds no row for long. Driver
errors do not leave this module: a server that cannot be reached becomes `Unavailable`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

import aiomysql
import structlog
from pymysql import err

from couponry.clock import Clock
from couponry.config import MySqlAddress, MySqlSettings, parse_mysql_dsn
from couponry.errors import Unavailable

__all__ = ["MAX_STATEMENT_BYTES", "DuplicateKey", "MySQL", "Row", "Tx"]

T = TypeVar("T")
Row = dict[str, Any]
Args = Sequence[Any]

_log = structlog.get_logger(__name__)

_DUPLICATE_KEY: Final = 1062
# Deadlock victim, lock wait timeout: the transaction is gone, the work may be tried again.
_RETRYABLE: Final = frozenset({1213, 1205})
# Too many connections, unknown host, refused, gone away, lost, shutdown in progress, read only, interrupted.
_DOWN: Final = frozenset({1040, 1053, 1290, 1317, 2002, 2003, 2006, 2013, 2014, 2055, 4031})
_ATTEMPTS: Final = 8
# Below the least `max_allowed_packet` that servers come with.
MAX_STATEMENT_BYTES: Final = 1 << 20


class DuplicateKey(Exception):
    """A unique key has this value already; `key` is its name."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.key = text.rsplit(" for key ", 1)[-1].strip("'\"").rsplit(".", 1)[-1]


class Tx:
    """One transaction, or one connection between statements. Rows are dicts by column name."""

    def __init__(self, connection: aiomysql.Connection) -> None:
        self._connection = connection

    async def begin(self) -> None:
        """Starts a transaction on the connection."""
        await self._connection.begin()

    async def commit(self) -> None:
        """Commits it."""
        await self._connection.commit()

    async def roll_back(self) -> None:
        """Rolls it back, or closes the connection where that is not possible: then the server does."""
        # A connection that was cancelled in mid-statement is closed already.
        if not self._connection.closed:
            try:
                await asyncio.shield(self._connection.rollback())
            except (err.Error, OSError, RuntimeError, asyncio.CancelledError):
                self._connection.close()

    @property
    def row_lead(self) -> bytes:
        """What a row begins with where VALUES is a table: MySQL wants a word that MariaDB does not know."""
        return b"" if "MariaDB" in self._connection.get_server_info() else b"ROW"

    def tables(self, rows: Iterable[Sequence[bytes | int | datetime]]) -> Iterator[bytes]:
        """Rows as what stands behind VALUES of a table, in texts of at most 1 MiB.

        A join with such a table looks each row up, where the server, given a list, would at times rather read all.
        """
        lead = self.row_lead.decode()
        for texts in _statements(rows, lambda row: f"{lead}({','.join(map(_literal, row))})"):
            yield ",".join(texts).encode("ascii")

    def text(self, sql: str, args: Args) -> bytes:
        """A statement, or a part of one, with its arguments as SQL text."""
        escaped = tuple(self._connection.escape(value) for value in args)
        return (sql % escaped).encode("utf-8", "surrogateescape")

    async def fetch_all(self, sql: str | bytes, args: Args = ()) -> list[Row]:
        """All rows of a SELECT."""
        async with self._connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(sql, args or None)
            rows: list[Row] = list(await cursor.fetchall())
            return rows

    async def fetch_one(self, sql: str, args: Args = ()) -> Row | None:
        """The first row of a SELECT, or None."""
        async with self._connection.cursor(aiomysql.DictCursor) as cursor:
            await cursor.execute(sql, args or None)
            row: Row | None = await cursor.fetchone()
            return row

    async def execute(self, sql: str | bytes, args: Args = ()) -> int:
        """Runs a statement; the number of rows that it changed."""
        with _named_errors():
            async with self._connection.cursor() as cursor:
                await cursor.execute(sql, args or None)
                return int(cursor.rowcount)

    async def insert_id(self, sql: str, args: Args = ()) -> int:
        """Runs a statement; the value of LAST_INSERT_ID that it set."""
        async with self._connection.cursor() as cursor:
            await cursor.execute(sql, args or None)
            return int(cursor.lastrowid)

    async def insert_rows(self, head: str, row: str, rows: Sequence[Args], tail: str = "") -> int:
        """Multi-row INSERT: `head` up to VALUES, `row` a group of placeholders, `tail` what follows.

        Statements are split below 1 MiB, inside the same transaction.
        """
        changed = 0
        with _named_errors():
            async with self._connection.cursor() as cursor:
                for values in _statements(rows, lambda args: str(cursor.mogrify(row, args))):
                    await cursor.execute(f"{head} {','.join(values)} {tail}")
                    changed += int(cursor.rowcount)
        return changed


class MySQL:
    """A pool of connections with the session settings that the design asks for."""

    def __init__(self, pool: aiomysql.Pool, address: MySqlAddress, clock: Clock | None) -> None:
        self._pool = pool
        self._address = address
        self._clock = clock

    @classmethod
    async def connect(
        cls,
        settings: MySqlSettings,
        *,
        session_clock: Clock | None = None,
    ) -> "MySQL":
        """Opens the pool. With `session_clock` the server's NOW() follows it (tests move time this way).

        Raises Unavailable where the server does not answer.
        """
        address = parse_mysql_dsn(settings.dsn.get_secret_value())
        target: dict[str, Any] = {
            "user": address.user,
            "password": address.password,
            "db": address.database,
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": settings.connect_timeout_s,
        }
        if address.unix_socket:
            target["unix_socket"] = address.unix_socket
        else:
            target |= {"host": address.host, "port": address.port}
        with _translated(address):
            probe = await aiomysql.connect(**target)
            try:
                async with probe.cursor() as cursor:
                    await cursor.execute("SHOW VARIABLES LIKE 'transaction_isolation'")
                    isolation = "transaction_isolation" if await cursor.fetchone() else "tx_isolation"
            finally:
                probe.close()
            pool = await aiomysql.create_pool(
                minsize=settings.pool_min,
                maxsize=settings.pool_max,
                # Below wait_timeout, so that the server never closes a connection that is about to be used.
                pool_recycle=max(1, settings.wait_timeout_s * 2 // 3),
                init_command=(
                    f"SET SESSION {isolation}='READ-COMMITTED', time_zone='+00:00',"
                    " sql_mode='STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
                    "NO_ENGINE_SUBSTITUTION',"
                    f" innodb_lock_wait_timeout={settings.lock_wait_timeout_s},"
                    f" wait_timeout={settings.wait_timeout_s}"
                ),
                **target,
            )
        return cls(pool, address, session_clock)

    async def close(self) -> None:
        """Closes every connection."""
        self._pool.terminate()
        await self._pool.wait_closed()

    async def fetch_all(self, sql: str, args: Args = ()) -> list[Row]:
        """All rows of a SELECT, outside a transaction."""
        async with self._acquired() as tx:
            return await tx.fetch_all(sql, args)

    async def fetch_one(self, sql: str, args: Args = ()) -> Row | None:
        """The first row of a SELECT, or None, outside a transaction."""
        async with self._acquired() as tx:
            return await tx.fetch_one(sql, args)

    async def execute(self, sql: str, args: Args = ()) -> int:
        """Runs and commits one statement; the number of rows that it changed."""
        async with self._acquired() as tx:
            return await tx.execute(sql, args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """A transaction that commits at the end of the block and rolls back on any exception."""
        async with self._acquired() as tx:
            await tx.begin()
            try:
                yield tx
                await tx.commit()
            except BaseException:
                await tx.roll_back()
                raise

    async def run(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        """Runs `work` in a transaction; again when the server made it a deadlock's victim or a lock wait ran out.

        `work` must be free of effects outside the transaction. Raises Unavailable when it never gets through.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                async with self.transaction() as tx:
                    return await work(tx)
            except err.OperationalError as error:
                if error.args[0] not in _RETRYABLE:
                    raise
                _log.info("transaction retried", attempt=attempt, code=error.args[0])
        raise Unavailable("the database is too busy with these rows")

    @asynccontextmanager
    async def _acquired(self) -> AsyncIterator[Tx]:
        with _translated(self._address):
            async with self._pool.acquire() as connection:
                if self._clock is not None:
                    async with connection.cursor() as cursor:
                        await cursor.execute("SET SESSION timestamp=%s", (round(self._clock().timestamp(), 3),))
                yield Tx(connection)


def _literal(value: bytes | int | datetime) -> str:
    if isinstance(value, bytes):
        # A tenth of what the driver takes to escape them.
        return f"x'{value.hex()}'"
    return str(value) if isinstance(value, int) else f"'{value}'"


def _statements(rows: Iterable[Args], text_of: Callable[[Args], str]) -> Iterator[list[str]]:
    values: list[str] = []
    size = 0
    for args in rows:
        text = text_of(args)
        if values and size + len(text) > MAX_STATEMENT_BYTES:
            yield values
            values, size = [], 0
        values.append(text)
        size += len(text) + 1
    if values:
        yield values


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except err.IntegrityError as error:
        if error.args[0] == _DUPLICATE_KEY:
            raise DuplicateKey(str(error.args[1])) from error
        raise


@contextmanager
def _translated(address: MySqlAddress) -> Iterator[None]:
    try:
        yield
    except (err.OperationalError, err.InterfaceError, err.InternalError) as error:
        code = error.args[0] if error.args else 0
        if code in _DOWN or isinstance(error, err.InterfaceError):
            _log.warning("database unavailable", address=str(address), code=code)
            raise Unavailable("the database cannot be reached") from error
        raise
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        _log.warning("database unavailable", address=str(address), error=type(error).__name__)
        raise Unavailable("the database cannot be reached") from error
