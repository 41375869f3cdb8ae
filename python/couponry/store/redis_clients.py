"""Clients of redis-py for each kind of address, for the loop and for programs that ask once.

None of them repeats a command by itself for long: whoever calls knows better whether to wait.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final, cast

import redis
import redis.asyncio as redis_asyncio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode as SyncClusterNode
from redis.cluster import RedisCluster as SyncRedisCluster
from redis.retry import Retry as SyncRetry
from redis.sentinel import Sentinel as SyncSentinel

from couponry.config import RedisAddress, RedisKind, RedisSettings

__all__ = ["AsyncClient", "asking", "open_client", "sentinels"]

AsyncClient = redis_asyncio.Redis | RedisCluster

# The stubs of redis-py leave these without types.
_Sentinel: Final[Any] = Sentinel
_SyncSentinel: Final[Any] = SyncSentinel
_ClusterNode: Final[Any] = ClusterNode
_SyncClusterNode: Final[Any] = SyncClusterNode

# How often a Cluster's client learns the slots anew for one command: a moved slot and a node that has gone.
_CLUSTER_ATTEMPTS: Final = 3


class _MasterPool(SentinelConnectionPool, redis_asyncio.BlockingConnectionPool):
    """Connections to the master that Sentinels name; a caller who finds every one busy waits for one."""

    sentinel_manager: Sentinel

    async def aclose(self) -> None:
        """Closes the connections, and those to the Sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def open_client(address: RedisAddress, settings: RedisSettings) -> AsyncClient:
    """A client with a pool of its own; it connects when it is first used."""
    timeouts: dict[str, Any] = {
        "socket_timeout": settings.command_timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
    }
    blocking: dict[str, Any] = {"max_connections": settings.pool_max, "timeout": settings.command_timeout_s}
    match address.kind:
        case RedisKind.SINGLE:
            pool = redis_asyncio.BlockingConnectionPool.from_url(address.url, **blocking, **timeouts)
            return redis_asyncio.Redis.from_pool(pool)
        case RedisKind.SENTINEL:
            sentinel = _Sentinel(
                address.nodes,
                sentinel_kwargs={
                    **timeouts,
                    **_sentinel_access(address),
                    **_tls(address),
                    "retry": Retry(NoBackoff(), 0),
                },
            )
            options = {**timeouts, **blocking, **_access(address), **_tls(address), "db": address.db}
            return cast(
                "redis_asyncio.Redis",
                sentinel.master_for(address.master, connection_pool_class=_MasterPool, **options),
            )
        case RedisKind.CLUSTER:
            return RedisCluster(
                startup_nodes=[_ClusterNode(host, port) for host, port in address.nodes],
                # Shards that answer go on without one that does not.
                require_full_coverage=False,
                retry=Retry(NoBackoff(), _CLUSTER_ATTEMPTS),
                # The client does not wait for a free connection; its callers do, and this leaves them room.
                max_connections=settings.pool_max * 4,
                **timeouts,
                **_access(address),
                **_tls(address),
            )


@contextmanager
def asking(address: RedisAddress, settings: RedisSettings) -> Iterator["redis.Redis | SyncRedisCluster"]:
    """A client without the loop that asks once, closed at the end: retries would hide that a server is down.

    Raises redis.RedisClusterException where no node of a Cluster answers.
    """
    options = {**_once(settings), **_access(address), **_tls(address)}
    with ExitStack() as closed:
        match address.kind:
            case RedisKind.SINGLE:
                yield closed.enter_context(closing(redis.Redis.from_url(address.url, **_once(settings))))
            case RedisKind.SENTINEL:
                watching = closed.enter_context(sentinels(address, settings))
                yield closed.enter_context(closing(watching.master_for(address.master, **options, db=address.db)))
            case RedisKind.CLUSTER:
                nodes = [_SyncClusterNode(host, port) for host, port in address.nodes]
                cluster = SyncRedisCluster(startup_nodes=nodes, require_full_coverage=False, **options)
                yield closed.enter_context(closing(cluster))


@contextmanager
def sentinels(address: RedisAddress, settings: RedisSettings) -> Iterator[Any]:
    """redis-py's Sentinel of an address, without the loop, closed at the end."""
    access = {**_once(settings), **_sentinel_access(address), **_tls(address)}
    watching = _SyncSentinel(address.nodes, sentinel_kwargs=access)
    try:
        yield watching
    finally:
        for each in watching.sentinels:
            each.close()


def _once(settings: RedisSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.command_timeout_s,
        "socket_connect_timeout": settings.connect_timeout_s,
        "retry": SyncRetry(NoBackoff(), 0),
        "decode_responses": True,
    }


def _access(address: RedisAddress) -> dict[str, Any]:
    return {"username": address.username, "password": address.password}


def _sentinel_access(address: RedisAddress) -> dict[str, Any]:
    return {
        "username": address.options.get("sentinel_username"),
        "password": address.options.get("sentinel_password"),
    }


def _tls(address: RedisAddress) -> dict[str, Any]:
    if not address.tls:
        return {}
    options: dict[str, Any] = {name: value for name, value in address.options.items() if name.startswith("ssl_")}
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() not in {"0", "no", "false"}
    return {"ssl": True, **options}
