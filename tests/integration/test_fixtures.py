"""The stores that a test gets: its own, and equal to what a migration makes."""

import asyncio

import pymysql
import redis
import uvloop

from couponry.config import Settings, parse_mysql_dsn
from couponry.store import migrations

_COLUMNS = """SELECT table_name, column_name, column_type, collation_name, column_key, extra, column_default
FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
_TRIGGERS = """SELECT trigger_name, action_statement, action_timing, event_manipulation
FROM information_schema.triggers WHERE trigger_schema = %s ORDER BY trigger_name"""
_KEYS = """SELECT table_name, index_name, seq_in_index, column_name, non_unique
FROM information_schema.statistics WHERE table_schema = %s ORDER BY table_name, index_name, seq_in_index"""


def _query(dsn: str, statement: str, *arguments: str) -> list[tuple[object, ...]]:
    address = parse_mysql_dsn(dsn)
    with (
        pymysql.connect(unix_socket=address.unix_socket, user=address.user, database=address.database) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, arguments)
        return list(cursor.fetchall())


def test_a_copied_schema_is_what_a_migration_makes(mysql_dsn: str, empty_mysql_dsn: str, stack: object) -> None:
    copied = parse_mysql_dsn(mysql_dsn).database
    assert migrations.pending(mysql_dsn) == []
    for statement in (_COLUMNS, _TRIGGERS, _KEYS):
        rows = _query(mysql_dsn, statement, copied)
        assert rows
        assert rows == _query(mysql_dsn, statement, "migrated")


def test_a_copied_schema_has_the_rows_of_a_migration(mysql_dsn: str) -> None:
    for (table,) in _query(mysql_dsn, "SHOW TABLES"):
        assert _query(mysql_dsn, f"SELECT * FROM {table}") == _query(mysql_dsn, f"SELECT * FROM migrated.{table}")


def test_an_empty_database_has_all_migrations_pending(empty_mysql_dsn: str) -> None:
    assert migrations.pending(empty_mysql_dsn)


def test_settings_name_stores_that_answer(settings: Settings) -> None:
    assert _query(settings.mysql.dsn.get_secret_value(), "SELECT @@binlog_format") == [("ROW",)]
    with redis.Redis.from_url(settings.redis.sale.get_secret_value()) as client:
        assert client.ping()
    assert settings.redis.key_prefix


async def test_async_tests_run_on_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
