"""`couponry doctor`: asks both stores what they are set to and names what would cost coupons.

A finding that fails carries the line to put into the server's configuration. Nothing is changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import pymysql
import redis
from redis.cluster import RedisCluster

from couponry import preflight
from couponry.config import RedisAddress, RedisKind, Settings, parse_mysql_dsn, parse_redis_url
from couponry.store.redis_clients import sentinels

# Tables whose rows are cached, so that a change by hand must raise their version.
CACHED_TABLES = ("activities", "templates", "user_coupons")

_MARIADB_LEAST = (10, 6)
_MYSQL_LEAST = (8, 0, 19)
_REDIS_LEAST = (6, 2)
_PACKET_LEAST = 4 * 1024 * 1024
_TRIGGER = (
    "CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW "
    "SET NEW.version = GREATEST(NEW.version, OLD.version + 1)"
)
_REPLICATION_IN_SCRIPT = "return redis.call('INFO', 'replication')"


class State(StrEnum):
    """How a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: in which store, what it is, and what to write where if it is wrong."""

    store: str
    check: str
    state: State
    found: str
    advice: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every finding, of MySQL first; a store that does not answer is one that fails."""
    return [*_mysql(settings), *_redis(settings)]


def _judge(store: str, check: str, found: str, advice: str, *, right: bool, wrong: State = State.FAIL) -> Finding:
    return Finding(store, check, State.OK, found) if right else Finding(store, check, wrong, found, advice)


def _line(name: str, value: str) -> str:
    return f"[mysqld] {name} = {value}"


def _version(text: str) -> tuple[int, ...]:
    parts = text.partition("-")[0].split(".")[:3]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


class _MySql:
    """The answers of one connection."""

    def __init__(self, connection: "pymysql.Connection[pymysql.cursors.Cursor]") -> None:
        self._connection = connection
        self.variables: Mapping[str, str] = dict(self.rows("SHOW GLOBAL VARIABLES"))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def value(self, statement: str) -> Any:
        return self.rows(statement)[0][0]

    def allows(self, statement: str) -> bool:
        try:
            self.rows(statement)
        except pymysql.MySQLError:
            return False
        return True


def _mysql(settings: Settings) -> Iterator[Finding]:
    problem = preflight.mysql_problem(settings)
    if problem is not None:
        yield Finding("mysql", "reachable", State.FAIL, "no", problem)
        return
    dsn = settings.mysql.dsn.get_secret_value()
    with closing(preflight.connect_mysql(parse_mysql_dsn(dsn), settings.mysql.connect_timeout_s)) as connection:
        server = _MySql(connection)
        yield Finding("mysql", "reachable", State.OK, "yes")
        yield _mysql_version(server)
        yield from _mysql_variables(server)
        yield from _mysql_session(server)
        yield from _mysql_schema(server, dsn)


def _mysql_version(server: _MySql) -> Finding:
    version = server.variables["version"]
    least = _MARIADB_LEAST if "mariadb" in version.lower() else _MYSQL_LEAST
    right = _version(version) >= least
    return _judge("mysql", "version", version, "use MariaDB 10.6 or MySQL 8.0.19, or later", right=right)


def _mysql_variables(server: _MySql) -> Iterator[Finding]:
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
        advice = _line(name, "binlog" if name == "log_bin" else value)
        yield _judge("mysql", name, found, advice, right=found == value, wrong=wrong)
    sql_mode = server.variables["sql_mode"]
    strict = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"} & set(sql_mode.split(","))
    with_strict = ",".join(("STRICT_TRANS_TABLES", *filter(None, sql_mode.split(","))))
    found, advice = sql_mode or "empty", _line("sql_mode", with_strict)
    yield _judge("mysql", "sql_mode", found, advice, right=bool(strict))
    packet = int(server.variables["max_allowed_packet"])
    advice = _line("max_allowed_packet", "16M")
    yield _judge("mysql", "max_allowed_packet", str(packet), advice, right=packet >= _PACKET_LEAST)
    zone = server.variables["time_zone"]
    shown = f"SYSTEM ({server.variables['system_time_zone']})" if zone == "SYSTEM" else zone
    utc = zone in {"+00:00", "UTC"} or (zone == "SYSTEM" and server.variables["system_time_zone"] in {"UTC", "GMT"})
    # The service sets its own sessions; people and other programs write into the same tables.
    advice = _line("default_time_zone", "'+00:00'")
    yield _judge("mysql", "time_zone", shown, advice, right=utc, wrong=State.WARN)


def _mysql_session(server: _MySql) -> Iterator[Finding]:
    statements = {
        "session in UTC": "SET SESSION time_zone = '+00:00'",
        "READ COMMITTED": "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    }
    for check, statement in statements.items():
        right = server.allows(statement)
        yield _judge("mysql", check, "yes" if right else "refused", f"allow {statement}", right=right)


def _mysql_schema(server: _MySql, dsn: str) -> Iterator[Finding]:
    from couponry.store import migrations  # noqa: PLC0415 - alembic is slow to import

    trusted = server.variables.get("log_bin_trust_function_creators") == "ON" or server.variables["log_bin"] != "ON"
    privileged = any("ALL PRIVILEGES ON *.*" in row[0] or "SUPER" in row[0] for row in server.rows("SHOW GRANTS"))
    allowed = trusted or privileged
    advice = _line("log_bin_trust_function_creators", "1")
    found = "yes" if allowed else "no"
    yield _judge("mysql", "triggers allowed", found, advice, right=allowed, wrong=State.WARN)
    missing = migrations.pending(dsn)
    found = f"{len(missing)} pending" if missing else "applied"
    yield _judge("mysql", "migrations", found, "run `couponry migrate`", right=not missing)
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
        yield _judge(
            "mysql",
            f"version trigger of {table}",
            "present" if table in have else "missing",
            _TRIGGER.format(table=table),
            right=table in have,
            wrong=State.FAIL if allowed else State.WARN,
        )


def _redis(settings: Settings) -> Iterator[Finding]:
    runs: dict[str, set[str]] = {}
    addresses = {"redis.sale": settings.redis.sale, "redis.cache": settings.redis.cache}
    for key, secret in addresses.items():
        url = secret.get_secret_value()
        problem = preflight.redis_problem(key, url, settings.redis)
        if problem is not None:
            yield Finding(key, "reachable", State.FAIL, "no", problem)
            continue
        yield Finding(key, "reachable", State.OK, "yes")
        address = parse_redis_url(url)
        with preflight.asked_redis(url, settings.redis) as client:
            servers = _servers(client)
            infos = [server.info() for server in servers]
            runs[key] = {str(info["run_id"]) for info in infos}
            match address.kind:
                case RedisKind.SENTINEL:
                    yield from _sentinels(key, address, settings)
                case RedisKind.CLUSTER:
                    yield from _cluster(key, client)
                case RedisKind.SINGLE:
                    pass
            # Servers of one installation are mostly set alike: what is wrong at several is told once, of the first.
            seen: dict[tuple[str, str], Finding] = {}
            for server, info in zip(servers, infos, strict=True):
                for finding in _of_server(key, server, info, runs, settings):
                    wrong = finding.state is not State.OK
                    if wrong or (finding.check, State.OK.value) not in seen:
                        seen.setdefault((finding.check, finding.state.value), finding)
            wrong_checks = {finding.check for finding in seen.values() if finding.state is not State.OK}
            yield from (each for each in seen.values() if each.state is not State.OK or each.check not in wrong_checks)


@dataclass(frozen=True, slots=True)
class _Server:
    """One server that takes writes: the one of the address, or a primary of a Cluster."""

    ask: Callable[..., Any]

    def info(self) -> Mapping[str, Any]:
        """INFO, all sections."""
        found: Mapping[str, Any] = self.ask("INFO")
        return found


def _servers(client: Any) -> list[_Server]:
    if not isinstance(client, RedisCluster):
        return [_Server(client.execute_command)]
    # The stubs of redis-py leave the nodes without types.
    cluster: Any = client
    nodes = sorted(cluster.get_primaries(), key=lambda node: str(node.name))
    return [_Server(partial(cluster.get_redis_connection(node).execute_command)) for node in nodes]


def _of_server(
    key: str, server: _Server, info: Mapping[str, Any], runs: Mapping[str, set[str]], settings: Settings
) -> Iterator[Finding]:
    version = str(info["redis_version"])
    right = _version(version) >= _REDIS_LEAST
    yield _judge(key, "version", version, "use Redis 6.2 or later", right=right)
    yield _redis_scripts(key, server)
    config = _redis_config(server)
    if config is None:
        yield Finding(key, "settings", State.WARN, "CONFIG GET is refused", "compare them by hand")
    elif key == "redis.sale":
        yield from _sale_settings(key, config)
    else:
        yield from _cache_settings(key, config, shared=bool(runs.get("redis.sale", set()) & runs[key]))
    if key == "redis.sale":
        # Right without any as long as no activity asks for them.
        wanted = settings.flash_sale.replicas
        found = f"{info['connected_slaves']} (ack = REPLICA needs {wanted})"
        yield Finding(key, "replicas", State.OK, found)


def _sentinels(key: str, address: RedisAddress, settings: Settings) -> Iterator[Finding]:
    """Whether enough Sentinels answer to promote a replica, and whether there is one."""
    answering, quorum, replicas = 0, 0, 0
    with sentinels(address, settings.redis) as watching:
        for each in watching.sentinels:
            try:
                state = each.sentinel_master(address.master)
            except redis.RedisError:
                continue
            answering += 1
            quorum, replicas = int(state["quorum"]), max(replicas, int(state["num-slaves"]))
    known = len(address.nodes)
    right = answering == known and answering >= quorum
    advice = f"start the Sentinels that are down; {quorum} must agree before one promotes a replica"
    found = f"{answering} of {known} answer, quorum {quorum}"
    wrong = State.WARN if answering >= quorum else State.FAIL
    yield _judge(key, "sentinels", found, advice, right=right, wrong=wrong)
    advice = "add a replica: without one nothing can be promoted"
    yield _judge(key, "replicas of the master", str(replicas), advice, right=replicas > 0, wrong=State.WARN)


def _cluster(key: str, client: Any) -> Iterator[Finding]:
    """Whether every slot has a server, and every primary a replica."""
    one = client.get_primaries()[0]
    state = str(client.execute_command("CLUSTER INFO", target_nodes=one)["cluster_state"])
    yield _judge(
        key, "cluster_state", state, "redis-cli --cluster check says which slots nobody has", right=state == "ok"
    )
    followed = {
        each["master_id"]
        for each in client.execute_command("CLUSTER NODES", target_nodes=one).values()
        if "slave" in each["flags"] and "fail" not in each["flags"].split(",")
    }
    primaries = len(client.get_primaries())
    yield _judge(
        key,
        "primaries with a replica",
        f"{len(followed)} of {primaries}",
        "give every primary a replica: without one its slots are gone when it is",
        right=len(followed) >= primaries,
        wrong=State.WARN,
    )


def _redis_scripts(key: str, server: _Server) -> Finding:
    try:
        server.ask("EVAL", _REPLICATION_IN_SCRIPT, 0)
    except redis.RedisError:
        return Finding(key, "scripts", State.FAIL, "refused", "ACL SETUSER … +eval +evalsha +script|load +info")
    return Finding(key, "scripts", State.OK, "allowed")


def _redis_config(server: _Server) -> Mapping[str, str] | None:
    try:
        config = server.ask("CONFIG GET", "maxmemory", "maxmemory-policy", "appendonly", "appendfsync")
    except redis.RedisError:
        return None
    return {str(name): str(value) for name, value in config.items()}


def _sale_settings(key: str, config: Mapping[str, str]) -> Iterator[Finding]:
    policy, append, sync = config["maxmemory-policy"], config["appendonly"], config["appendfsync"]
    yield _judge(key, "maxmemory-policy", policy, "maxmemory-policy noeviction", right=policy == "noeviction")
    yield _judge(key, "appendonly", append, "appendonly yes", right=append == "yes")
    yield _judge(key, "appendfsync", sync, "appendfsync everysec", right=sync in {"always", "everysec"})


def _cache_settings(key: str, config: Mapping[str, str], *, shared: bool) -> Iterator[Finding]:
    policy, limit = config["maxmemory-policy"], int(config["maxmemory"])
    if shared:
        # Memory that the cache fills is memory that a claim is refused for.
        advice = "redis.cache: give the cache a Redis of its own before memory is limited"
        yield _judge(key, "own instance", "shared with redis.sale", advice, right=limit == 0)
        return
    advice = "maxmemory 1gb (what the machine can spare)"
    found = str(limit) if limit else "unlimited"
    yield _judge(key, "maxmemory", found, advice, right=limit > 0, wrong=State.WARN)
    advice = "maxmemory-policy allkeys-lru"
    yield _judge(key, "maxmemory-policy", policy, advice, right=policy != "noeviction", wrong=State.WARN)
