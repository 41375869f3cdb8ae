"""What MySQL is set to, and whether its schema is ours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pymysql

from couponry import preflight
from couponry.config import Settings, parse_mysql_dsn
from couponry.doctor.findings import Finding, State, judge, line, version_of

__all__ = ["CACHED_TABLES", "MySqlServer", "of_mysql"]

# Tables whose rows are cached, so that a change by hand must raise their version.
CACHED_TABLES = ("activities", "templates", "user_coupons")

_MARIADB_LEAST = (10, 6)
_MYSQL_LEAST = (8, 0, 19)
_PACKET_LEAST = 4 * 1024 * 1024
_TRIGGER = (
    "CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW "
    "SET NEW.version = GREATEST(NEW.version, OLD.version + 1)"
)


class MySqlServer:
    """The answers of one connection."""

    def __init__(self, connection: "pymysql.Connection[pymysql.cursors.Cursor]") -> None:
        self._connection = connection
        self.variables: Mapping[str, str] = dict(self.rows("SHOW GLOBAL VARIABLES"))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def first_allowed(self, statements: Sequence[str]) -> tuple[Any, ...] | None:
        """The first row of the first statement that the server knows and allows."""
        for statement in statements:
            try:
                found = self.rows(statement)
            except pymysql.MySQLError:
                continue
            return found[0] if found else None
        return None

    def allows(self, statement: str) -> bool:
        try:
            self.rows(statement)
        except pymysql.MySQLError:
            return False
        return True


def of_mysql(settings: Settings) -> Iterator[Finding]:
    problem = preflight.mysql_problem(settings)
    if problem is not None:
        yield Finding("mysql", "reachable", State.FAIL, "no", problem)
        return
    dsn = settings.mysql.dsn.get_secret_value()
    with closing(preflight.connect_mysql(parse_mysql_dsn(dsn), settings.mysql.connect_timeout_s)) as connection:
        server = MySqlServer(connection)
        yield Finding("mysql", "reachable", State.OK, "yes")
        yield _version(server)
        yield from _variables(server)
        yield from _session(server)
        yield from _schema(server, dsn)


def _version(server: MySqlServer) -> Finding:
    version = server.variables["version"]
    least = _MARIADB_LEAST if "mariadb" in version.lower() else _MYSQL_LEAST
    right = version_of(version) >= least
    return judge("mysql", "version", version, "use MariaDB 10.6 or MySQL 8.0.19, or later", right=right)


def _variables(server: MySqlServer) -> Iterator[Finding]:
    wanted: Iterable[tuple[str, str, State]] = (
        ("log_bin", "ON", State.FAIL),
        ("binlog_format", "ROW", State.FAIL),
        # A smaller image still carries the keys, but not always the status that a change led to.
        ("binlog_row_image", "FULL", State.WARN),
        ("sync_binlog", "1", State.FAIL),
        ("innodb_flush_log_at_trx_commit", "1", State.FAIL),
    )
    for name, value, wrong in wanted:
        found = server.variables.get(name, "absent")
        advice = line(name, "binlog" if name == "log_bin" else value)
        yield judge("mysql", name, found, advice, right=found == value, wrong=wrong)
    sql_mode = server.variables["sql_mode"]
    strict = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"} & set(sql_mode.split(","))
    with_strict = ",".join(("STRICT_TRANS_TABLES", *filter(None, sql_mode.split(","))))
    found, advice = sql_mode or "empty", line("sql_mode", with_strict)
    yield judge("mysql", "sql_mode", found, advice, right=bool(strict))
    packet = int(server.variables["max_allowed_packet"])
    advice = line("max_allowed_packet", "16M")
    yield judge("mysql", "max_allowed_packet", str(packet), advice, right=packet >= _PACKET_LEAST)
    zone = server.variables["time_zone"]
    shown = f"SYSTEM ({server.variables['system_time_zone']})" if zone == "SYSTEM" else zone
    utc = zone in {"+00:00", "UTC"} or (zone == "SYSTEM" and server.variables["system_time_zone"] in {"UTC", "GMT"})
    # The service sets its own sessions; people and other programs write into the same tables.
    advice = line("default_time_zone", "'+00:00'")
    yield judge("mysql", "time_zone", shown, advice, right=utc, wrong=State.WARN)


def _session(server: MySqlServer) -> Iterator[Finding]:
    statements = {
        "session in UTC": "SET SESSION time_zone = '+00:00'",
        "READ COMMITTED": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }
    for check, statement in statements.items():
        right = server.allows(statement)
        yield judge("mysql", check, "yes" if right else "refused", f"allow {statement}", right=right)


def _schema(server: MySqlServer, dsn: str) -> Iterator[Finding]:
    from couponry.store import migrations  # noqa: PLC0415 - alembic is slow to import

    trusted = server.variables.get("log_bin_trust_function_creators") == "ON" or server.variables["log_bin"] != "ON"
    privileged = any("ALL PRIVILEGES ON *.*" in row[0] or "SUPER" in row[0] for row in server.rows("SHOW GRANTS"))
    allowed = trusted or privileged
    advice = line("log_bin_trust_function_creators", "1")
    found = "yes" if allowed else "no"
    yield judge("mysql", "triggers allowed", found, advice, right=allowed, wrong=State.WARN)
    missing = migrations.pending(dsn)
    found = f"{len(missing)} pending" if missing else "applied"
    yield judge("mysql", "migrations", found, "run `couponry migrate`", right=not missing)
    if missing:
        return
    have = {
        row[0]
        for row in server.rows(
            "SELECT event_object_table FROM information_schema.triggers WHERE trigger_schema = DATABASE()"
            " AND action_timing = 'BEFORE' AND event_manipulation = 'UPDATE'"
        )
    }
    for table in CACHED_TABLES:
        yield judge(
            "mysql",
            f"version trigger of {table}",
            "present" if table in have else "missing",
            _TRIGGER.format(table=table),
            right=table in have,
            wrong=State.FAIL if allowed else State.WARN,
        )
