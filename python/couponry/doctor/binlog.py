"""Whether the caches can hear of every change: the log, who may read it, and what could keep a change out of it."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

from couponry import preflight
from couponry.config import Settings, parse_mysql_dsn
from couponry.doctor.findings import Finding, State, judge, line
from couponry.doctor.mysql import CACHED_TABLES, MySqlServer
from couponry.invalidation import source_of

__all__ = ["of_binlog"]

_STORE = "binlog"
# A reader that was away for longer begins anew, with cold caches.
_KEPT_LEAST_S = 3600
# A change may be in the log for so long before a SELECT sees it: the life of a floor less the longest fill.
_LAG_MOST_MS = 25_000
_STATUS = ("SHOW BINARY LOG STATUS", "SHOW BINLOG STATUS", "SHOW MASTER STATUS")
_REPLICA = ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS")


def of_binlog(settings: Settings) -> Iterator[Finding]:
    """Nothing where MySQL does not answer: that is one of its own findings."""
    if preflight.mysql_problem(settings) is not None:
        return
    yield _reader(settings)
    address = parse_mysql_dsn(settings.mysql.dsn.get_secret_value())
    with closing(preflight.connect_mysql(address, settings.mysql.connect_timeout_s)) as connection:
        server = MySqlServer(connection)
        if server.variables["log_bin"] != "ON":
            return
        yield _kept(server)
        yield _filters(server, address.database)
        yield _of_replica(server)
        yield _semi_sync(server)


def _reader(settings: Settings) -> Finding:
    """Whether there can be a reader, and otherwise how the caches live without."""
    without = f"none: entries live {settings.cache.short_ttl_ms} ms, and Redis is not used as a cache"
    if not settings.cache.binlog.enabled:
        return Finding(_STORE, "reader", State.WARN, without, "cache.binlog.enabled = true")
    problem = source_of(settings).problem()
    if problem is not None:
        kind, text = problem
        account = "mysql.dsn" if settings.cache.binlog.dsn is None else "cache.binlog.dsn"
        grant = f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the account of {account}"
        advice = grant if kind == "not_allowed" else text
        return Finding(_STORE, "reader", State.WARN, without, advice)
    own = settings.cache.binlog.dsn
    if own is not None:
        database = parse_mysql_dsn(settings.mysql.dsn.get_secret_value()).database
        # Everybody may read this one; columns of a table are shown to whom may read it.
        address = replace(parse_mysql_dsn(own.get_secret_value()), database="information_schema")
        with closing(preflight.connect_mysql(address, settings.mysql.connect_timeout_s)) as connection:
            shown = MySqlServer(connection).rows("SELECT table_schema, table_name FROM columns")
        if not {(database, table) for table in CACHED_TABLES} <= set(shown):
            advice = f"GRANT SELECT ON `{database}`.* TO the account of cache.binlog.dsn"
            return Finding(_STORE, "reader", State.FAIL, "does not see the cached tables", advice)
    return Finding(_STORE, "reader", State.OK, "can read the log")


def _kept(server: MySqlServer) -> Finding:
    seconds = float(server.variables.get("binlog_expire_logs_seconds", "0"))
    if seconds == 0:
        seconds = float(server.variables.get("expire_logs_days", "0")) * 86_400
    found = f"{seconds:.0f} s" if seconds else "for ever"
    advice = line("binlog_expire_logs_seconds", "86400")
    return judge(_STORE, "kept", found, advice, right=seconds == 0 or seconds >= _KEPT_LEAST_S, wrong=State.WARN)


def _filters(server: MySqlServer, database: str) -> Finding:
    """A server may be told not to log a database."""
    row = server.first_allowed(_STATUS)
    if row is None:
        return Finding(_STORE, "filters", State.WARN, "may not be asked", "look for binlog-do-db and binlog-ignore-db")
    do, ignore = (list(filter(None, str(each or "").split(","))) for each in row[2:4])
    found = " ".join(f"{name}={','.join(names)}" for name, names in (("do", do), ("ignore", ignore)) if names)
    right = (not do or database in do) and database not in ignore
    return judge(
        _STORE, "filters", found or "none", f"remove the filter that leaves {database} out of the log", right=right
    )


def _of_replica(server: MySqlServer) -> Finding:
    """What a replica is sent is in its own log only where it is told to put it there."""
    name = next(name for name in ("log_replica_updates", "log_slave_updates") if name in server.variables)
    on = server.variables[name] == "ON"
    replicates = server.first_allowed(_REPLICA) is not None
    found = f"{server.variables[name]}, {'a replica' if replicates else 'no replica'}"
    return judge(_STORE, name, found, line(name, "ON"), right=on or not replicates)


def _semi_sync(server: MySqlServer) -> Finding:
    for role in ("source", "master"):
        if server.variables.get(f"rpl_semi_sync_{role}_enabled") == "ON":
            name = f"rpl_semi_sync_{role}_timeout"
            timeout_ms = int(server.variables[name])
            right = timeout_ms <= _LAG_MOST_MS
            advice = line(name, "10000")
            return judge(_STORE, "semi-sync timeout", f"{timeout_ms} ms", advice, right=right, wrong=State.WARN)
    return Finding(_STORE, "semi-sync timeout", State.OK, "semi-sync is off")
