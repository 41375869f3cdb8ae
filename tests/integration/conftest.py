"""Private stores for the tests: one MariaDB and one Redis a session, a schema and a key prefix a test.

The schema of a test is a copy of one that was migrated once: tables with their rows, and triggers.
"""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pymysql
import pytest
from pydantic import SecretStr

from couponry.config import MySqlSettings, RedisSettings, ServerSettings, Settings, parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.store import migrations

_TABLES = """SELECT table_name FROM information_schema.tables
WHERE table_schema = %s AND table_type = 'BASE TABLE'"""
_TRIGGERS = """SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[DevStack]:
    """The private stores of this session."""
    template = repository / ".couponry" / "template"
    with DevStack(tmp_path_factory.mktemp("stores"), template_dir=template) as stores:
        yield stores


def connect(dsn: str) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """A plain connection to the database of a DSN."""
    address = parse_mysql_dsn(dsn)
    return pymysql.connect(
        unix_socket=address.unix_socket,
        user=address.user,
        database=address.database,
        charset="utf8mb4",
        autocommit=True,
    )


@pytest.fixture(scope="session")
def migrated(stack: DevStack) -> tuple[str, ...]:
    """The migrated schema as statements, read from one real migration."""
    origin = "migrated"
    dsn = stack.create_database(origin)
    migrations.upgrade(dsn)
    with connect(dsn) as connection, connection.cursor() as cursor:
        tables: list[str] = []
        rows: list[str] = []
        triggers: list[str] = []
        cursor.execute(_TABLES, (origin,))
        for (table,) in list(cursor.fetchall()):
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            tables.append(cursor.fetchall()[0][1])
            if cursor.execute(f"SELECT 1 FROM `{table}` LIMIT 1"):
                rows.append(f"INSERT INTO `{table}` SELECT * FROM `{origin}`.`{table}`")
        cursor.execute(_TRIGGERS, (origin,))
        for (trigger,) in list(cursor.fetchall()):
            cursor.execute(f"SHOW CREATE TRIGGER `{trigger}`")
            triggers.append(cursor.fetchall()[0][2])
    # A trigger must not see the copied rows, and a foreign key may name a later table.
    return ("SET foreign_key_checks = 0", *tables, *rows, *triggers)


@pytest.fixture
def empty_mysql_dsn(stack: DevStack) -> Iterator[str]:
    """An own database without tables."""
    name = f"t_{uuid4().hex}"
    yield stack.create_database(name)
    stack.drop_database(name)


@pytest.fixture
def mysql_dsn(empty_mysql_dsn: str, migrated: tuple[str, ...]) -> str:
    """An own migrated database."""
    with connect(empty_mysql_dsn) as connection, connection.cursor() as cursor:
        for statement in migrated:
            cursor.execute(statement)
    return empty_mysql_dsn


@pytest.fixture
def redis_url(stack: DevStack) -> str:
    """The Redis of the session; keys go under `settings.redis.key_prefix`."""
    return stack.redis_url


@pytest.fixture
def settings(mysql_dsn: str, redis_url: str) -> Settings:
    """Settings that point at this test's own schema and key prefix, and listen on a free port."""
    return Settings(
        server=ServerSettings(listen="127.0.0.1:0"),
        mysql=MySqlSettings(dsn=SecretStr(mysql_dsn)),
        redis=RedisSettings(cache=SecretStr(redis_url), sale=SecretStr(redis_url), key_prefix=f"t{uuid4().hex}:"),
    )
