"""The connection to Redis and the scripts of lua/, which the extension carries.

There are two addresses: the cache may evict, the sale must not (design: "Two Redis addresses"). Each is one server, a
master watched by Sentinels, or a Cluster. Driver errors do not leave this module: a server that cannot be reached, or
refuses to write, becomes `Unavailable`.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import structlog
from redis import exceptions
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import Connection

from couponry._core import lua_scripts
from couponry.config import RedisSettings, parse_redis_url
from couponry.errors import Unavailable
from couponry.store.redis_clients import AsyncClient, open_client

__all__ = ["Redis"]

_log = structlog.get_logger(__name__)

Arg = str | int | bytes

# A refused connection, a lost one, a server that is loading, a replica, a wrong password, slots that nobody has.
_DOWN: Final = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,
    exceptions.ClusterError,
    exceptions.RedisClusterException,
    exceptions.AskError,
    exceptions.TryAgainError,
    OSError,
)
# What a server that answers says when it cannot do its work now. Before Redis 7 a script's error is quoted in another.
_REFUSES: Final = re.compile(r"\b(OOM|NOREPLICAS|MISCONF|READONLY|UNBLOCKED|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b")


class Redis:
    """One of the two Redis addresses, `url`. `key` puts the prefix of the settings before a key."""

    def __init__(self, url: str, settings: RedisSettings) -> None:
        self._client = open_client(parse_redis_url(url), settings)
        self._prefix = settings.key_prefix
        self.command_timeout_s: Final = settings.command_timeout_s
        self._scripts: dict[str, tuple[str, str]] = {
            # SHA-1 is the name that Redis gives to a script.
            name: (hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text)
            for name, text in lua_scripts()
        }
        # The client of a Cluster raises where every connection is busy; the pools of the other clients wait.
        self._room = asyncio.Semaphore(settings.pool_max) if self.is_cluster else None

    def key(self, name: str) -> str:
        """The full key of `name`."""
        return f"{self._prefix}{name}"

    @property
    def client(self) -> Any:
        """The client, for commands inside a `guarded` block. That of a Cluster takes keys of one slot a command."""
        return self._client

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over servers by their slots."""
        return isinstance(self._client, RedisCluster)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Turns the driver's errors for a server that is not there, or refuses for now, into Unavailable."""
        try:
            yield
        except _DOWN as error:
            _log.warning("redis unavailable", error=type(error).__name__)
            raise Unavailable("Redis cannot be reached") from error
        except exceptions.ResponseError as error:
            refusal = _REFUSES.search(str(error))
            if refusal is None:
                raise
            _log.error("redis refuses", why=refusal[0])
            raise Unavailable("Redis refuses to write for now") from error

    async def run_script(self, name: str, keys: Sequence[str], args: Sequence[Arg] = ()) -> Any:
        """Runs lua/{name}.lua by its hash (with its text where the server lost it); `keys` are full keys of one slot.

        Raises Unavailable where the server cannot be reached.
        """
        sha, text = self._scripts[name]
        with self.guarded():
            async with self._busy():
                try:
                    return await self._command("EVALSHA", sha, len(keys), *keys, *args)
                except exceptions.NoScriptError:
                    return await self._command("EVAL", text, len(keys), *keys, *args)

    async def run_and_wait(
        self, name: str, keys: Sequence[str], args: Sequence[Arg], *, replicas: int, timeout_ms: int
    ) -> tuple[Any, int]:
        """Runs a script that writes, and WAITs on the same connection; its reply, and how many replicas have it.

        Both travel in one write and nothing is repeated: no other connection can come between, so that the number is
        of the script's own write. Raises Unavailable.
        """
        sha, text = self._scripts[name]
        calls = (("EVALSHA", sha, len(keys), *keys, *args), ("EVAL", text, len(keys), *keys, *args))
        with self.guarded():
            async with self._busy():
                try:
                    async with self._connection(keys[0]) as connection:
                        for call in calls:
                            script, reached = await self._both(connection, call, ("WAIT", replicas, timeout_ms))
                            if not isinstance(script, exceptions.NoScriptError):
                                break
                    for reply in (script, reached):
                        if isinstance(reply, Exception):
                            raise reply
                except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.AskError):
                    # The client of a Cluster learns the slots anew with a command of its own.
                    if self.is_cluster:
                        with suppress(*_DOWN):
                            await self._command("EXISTS", keys[0])
                    raise
                return script, int(reached)

    def script_sha(self, name: str) -> str:
        """The hash by which the server knows lua/{name}.lua."""
        return self._scripts[name][0]

    async def connect(self) -> Any:
        """A connection to the one server, or the master, that no pool knows; whoever asked for it disconnects it.

        Raises Unavailable where there is none to be had.
        """
        connection = self.client.connection_pool.make_connection()
        try:
            await connection.connect()
        except (exceptions.RedisError, OSError) as error:
            _log.warning("redis unavailable", error=type(error).__name__)
            raise Unavailable("Redis cannot be reached") from error
        return connection

    @staticmethod
    def transport_of(connection: Any) -> Any:
        """What an idle connection of `connect` reads from and writes to, for another protocol."""
        return connection._writer.transport  # noqa: SLF001 - redis-py shows it nowhere else

    async def run_scripts(self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[Arg]]]) -> list[Any]:
        """Runs lua/{name}.lua for each (full keys of one slot, arguments) in one pipelined round trip; their replies.

        A server that lost the script is given its text in a second one. Raises Unavailable where a server cannot be
        reached or refuses one of them.
        """
        sha, text = self._scripts[name]
        replies: list[Any] = [None] * len(calls)
        wanted = list(range(len(calls)))
        with self.guarded():
            async with self._busy():
                for command, script in (("EVALSHA", sha), ("EVAL", text)):
                    pipeline = self.client.pipeline(transaction=False)
                    for place in wanted:
                        keys, args = calls[place]
                        pipeline.execute_command(command, script, len(keys), *keys, *args)
                    for place, reply in zip(wanted, await pipeline.execute(raise_on_error=False), strict=True):
                        replies[place] = reply
                    wanted = [place for place in wanted if isinstance(replies[place], exceptions.NoScriptError)]
                    if not wanted:
                        break
            for reply in replies:
                if isinstance(reply, exceptions.ResponseError) and not isinstance(reply, _DOWN):
                    _log.error("redis refuses a script", script=name, error=str(reply))
                    raise Unavailable("Redis refuses a script") from reply
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def ping(self) -> None:
        """Raises Unavailable where the server does not answer."""
        with self.guarded():
            if isinstance(self._client, RedisCluster):
                # A replica that is down keeps nobody from working.
                await self._client.ping(target_nodes=RedisCluster.PRIMARIES)
            else:
                await self._client.ping()

    async def close(self) -> None:
        """Closes every connection."""
        await self._client.aclose()

    async def _command(self, *parts: Arg) -> Any:
        client: AsyncClient = self._client
        with self._cut():
            return await client.execute_command(*parts)

    @contextmanager
    def _cut(self) -> Iterator[None]:
        """The client of a Cluster closes all its connections when it loses one, also those that other commands are just
        making; redis-py and the loop then stumble over what is not there any more.
        """
        try:
            yield
        except (AttributeError, RuntimeError) as error:
            if not self.is_cluster:
                raise
            raise exceptions.ConnectionError("the connection was closed under the command") from error

    @asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        if self._room is None:
            yield
            return
        async with self._room:
            yield

    @asynccontextmanager
    async def _connection(self, key: str) -> AsyncIterator[Connection]:
        """One connection to the server that has a key, for the block alone."""
        client = self._client
        if isinstance(client, RedisCluster):
            _ = await client.initialize()
            node = client.get_node_from_key(key)
            if node is None:
                raise exceptions.SlotNotCoveredError("no server has this slot")
            connection = node.acquire_connection()
            try:
                await node.disconnect_if_needed(connection)
                yield connection
            finally:
                node.release(connection)
            return
        pool: Any = client.connection_pool
        connection = await pool.get_connection()
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def _both(self, connection: Connection, first: Sequence[Arg], second: Sequence[Arg]) -> tuple[Any, Any]:
        """The replies of two commands that are sent together; an error reply is given back as its exception."""
        replies = []
        with self._cut():
            await connection.send_packed_command(connection.pack_commands([first, second]))
            for _ in (first, second):
                try:
                    replies.append(await connection.read_response())
                except exceptions.ResponseError as error:
                    replies.append(error)
        return replies[0], replies[1]
