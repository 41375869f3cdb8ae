"""Whether the stores answer, asked before anything is started on them.

Each problem is one sentence: which store, where (never with a password), and what to do.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pymysql
import redis
from pymysql.constants import CR, ER
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from redis.sentinel import MasterNotFoundError

from couponry.config import MySqlAddress, RedisSettings, Settings, parse_mysql_dsn, parse_redis_url, redis_place
from couponry.store.redis_clients import asking

RETRY_S = 1.0


def connect_mysql(address: MySqlAddress, timeout_s: int) -> "pymysql.Connection[pymysql.cursors.Cursor]":
    """A plain connection that reports as it is told to. Raises pymysql.MySQLError."""
    return pymysql.connect(
        host=address.host,
        port=address.port,
        unix_socket=address.unix_socket,
        user=address.user,
        password=address.password,
        database=address.database,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=timeout_s,
    )


@contextmanager
def asked_redis(url: str, settings: RedisSettings) -> "Iterator[redis.Redis | RedisCluster]":
    """A client that asks once, closed at the end. Raises RedisClusterException where no node of a Cluster answers."""
    with asking(parse_redis_url(url), settings) as client:
        yield client


def ping_redis(client: "redis.Redis | RedisCluster") -> None:
    """Asks every server that must answer: of a Cluster all primaries. Raises redis.RedisError."""
    if isinstance(client, RedisCluster):
        client.ping(target_nodes=RedisCluster.PRIMARIES)
    else:
        client.ping()


def mysql_problem(settings: Settings) -> str | None:
    """What keeps MySQL from being used, or None."""
    address = parse_mysql_dsn(settings.mysql.dsn.get_secret_value())
    place = address.unix_socket or f"{address.host}:{address.port}"
    refused = _refused(address, settings.mysql.connect_timeout_s)
    if refused is not None:
        return (
            f"MySQL does not answer at {place} ({refused}): start it, correct mysql.dsn, "
            "or let `couponry serve --dev` start a private one"
        )
    try:
        with closing(connect_mysql(address, settings.mysql.connect_timeout_s)):
            return None
    except pymysql.MySQLError as error:
        code = error.args[0] if error.args else 0
    if code in {ER.ACCESS_DENIED_ERROR, ER.DBACCESS_DENIED_ERROR}:
        return f"MySQL at {place} refuses the user {address.user}: correct user and password in mysql.dsn, or grant it"
    if code == ER.BAD_DB_ERROR:
        return (
            f"MySQL at {place} has no database {address.database}: "
            f"CREATE DATABASE `{address.database}` CHARACTER SET utf8mb4, or correct mysql.dsn"
        )
    lost = "connection lost" if code == CR.CR_SERVER_LOST else f"error {code}"
    return f"MySQL does not answer at {place} ({lost}): look into its log, or correct mysql.dsn"


def _refused(address: MySqlAddress, timeout_s: int) -> str | None:
    # Asked first, because PyMySQL leaves a socket open that could not connect.
    try:
        if address.unix_socket is None:
            socket.create_connection((address.host, address.port), timeout_s).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(timeout_s)
                probe.connect(address.unix_socket)
    except OSError as error:
        return error.strerror or "no answer in time"
    return None


def redis_problem(key: str, url: str, settings: RedisSettings) -> str | None:
    """What keeps the Redis of `key` (redis.cache or redis.sale) from being used, or None."""
    place = redis_place(url)
    try:
        with asked_redis(url, settings) as client:
            ping_redis(client)
    except redis.BusyLoadingError:
        return f"Redis at {place} ({key}) still loads its data: wait (--wait does)"
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        return f"Redis at {place} ({key}) refuses the user: correct user and password in {key}"
    except MasterNotFoundError:
        return (
            f"no Sentinel at {place} ({key}) names a master that is up: correct the name in {key}, "
            "or look into the Sentinels' log"
        )
    except (redis.RedisError, RedisClusterException, OSError) as error:
        cause = error.__context__
        why = (cause.strerror if isinstance(cause, OSError) else None) or "no answer in time"
        return (
            f"Redis does not answer at {place} ({key}: {why}): start it, correct {key}, "
            "or let `couponry serve --dev` start a private one"
        )
    return None


def problems(settings: Settings) -> Iterator[str]:
    """Every store that cannot be used; nothing where all is well."""
    mysql = mysql_problem(settings)
    if mysql is not None:
        yield mysql
    urls = {"redis.cache": settings.redis.cache, "redis.sale": settings.redis.sale}
    seen: set[str] = set()
    for key, secret in urls.items():
        url = secret.get_secret_value()
        if url not in seen:
            seen.add(url)
            problem = redis_problem(key, url, settings.redis)
            if problem is not None:
                yield problem


def wait(settings: Settings, tell: Callable[[str], None]) -> None:
    """Asks once a second until all stores can be used; tells each problem when it is new."""
    told: set[str] = set()
    pause = threading.Event()
    while found := list(problems(settings)):
        for problem in found:
            if problem not in told:
                tell(problem)
        told.update(found)
        pause.wait(RETRY_S)
