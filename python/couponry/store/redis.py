"""The connection to Redis and the scripts of lua/, which the extension carries.

There are two addresses: the cache may evict, the sale must not (design: "Two Redis addresses"). Driver errors do not
leave this module: a server that cannot be reached becomes `Unavailable`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis.asyncio as redis_asyncio
import structlog
from redis import exceptions
from redis.commands.core import AsyncScript

from couponry._core import lua_scripts
from couponry.config import RedisSettings
from couponry.errors import Unavailable

__all__ = ["Redis"]

_log = structlog.get_logger(__name__)

# A refused connection, a lost one, a server that is loading, a replica, a wrong password.
_DOWN: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    OSError,
)


class Redis:
    """One of the two Redis addresses, `url`. `key` puts the prefix of the settings before a key."""

    def __init__(self, url: str, settings: RedisSettings) -> None:
        # A caller who finds every connection busy waits for one.
        pool = redis_asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=settings.pool_max,
            timeout=settings.command_timeout_s,
            socket_timeout=settings.command_timeout_s,
            socket_connect_timeout=settings.connect_timeout_s,
        )
        self._client: redis_asyncio.Redis = redis_asyncio.Redis.from_pool(pool)
        self._prefix = settings.key_prefix
        self._scripts: dict[str, AsyncScript] = {
            name: self._client.register_script(text) for name, text in lua_scripts()
        }

    def key(self, name: str) -> str:
        """The full key of `name`."""
        return f"{self._prefix}{name}"

    @property
    def client(self) -> redis_asyncio.Redis:
        """The client, for commands inside a `guarded` block."""
        return self._client

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns the driver's connection errors into Unavailable."""
        try:
            yield
        except _DOWN as error:
            _log.warning("redis unavailable", error=type(error).__name__)
            raise Unavailable("Redis cannot be reached") from error

    async def run_script(self, name: str, keys: Sequence[str], args: Sequence[str | int | bytes] = ()) -> Any:
        """Runs lua/{name}.lua by its hash (loading it where the server lost it); `keys` are full keys.

        Raises Unavailable where the server cannot be reached.
        """
        with self.guarded():
            return await self._scripts[name](keys=list(keys), args=list(args))

    async def ping(self) -> None:
        """Raises Unavailable where the server does not answer."""
        with self.guarded():
            await self._client.ping()

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()
