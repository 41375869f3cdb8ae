"""The connection to Redis that claim scripts travel on without a Python object for each claim.

redis-py makes it: the address, TLS, the login, and who is master are its work. Then the extension takes the transport
over. Whatever goes wrong ends it; until there is a new one, redis-py carries the scripts itself. In a Cluster, whose
slots move, it always does.
"""

import asyncio
import contextlib
from typing import Any, Final

import structlog

from couponry._core import ClaimBatcher
from couponry.errors import Unavailable
from couponry.store.redis import Redis

__all__ = ["ClaimConnection"]

_log = structlog.get_logger(__name__)

# A server that refuses, or that is lost again at once, is asked anew after this long, and then more seldom.
_LEAST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 2.0
_CHECKS_A_TIMEOUT: Final = 4


class ClaimConnection:
    """One connection a worker: scripts of all activities, Redis runs one at a time anyway."""

    def __init__(self, *, redis: Redis, batcher: ClaimBatcher) -> None:
        self._redis = redis
        self._batcher = batcher
        self._keeper: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._closing = False

    def want(self) -> None:
        """A script had no connection: one is made, and kept until it is lost."""
        if not self._redis.is_cluster and (self._keeper is None or self._keeper.done()):
            self._keeper = asyncio.get_running_loop().create_task(self._keep())

    async def close(self) -> None:
        """Ends it."""
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep(self) -> None:
        pause = _LEAST_PAUSE_S
        while not self._closing:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                connection = await self._redis.connect()
            except Unavailable:
                pass
            else:
                await self._serve(connection)
            if loop.time() - began > _LONGEST_PAUSE_S:
                pause = _LEAST_PAUSE_S
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _serve(self, connection: Any) -> None:
        """Until it is lost."""
        transport = self._redis.transport_of(connection)
        self._lost.clear()
        try:
            link = self._batcher.link(transport, self._lost.set)
            transport.set_protocol(link)
            timeout = self._redis.command_timeout_s
            while not (self._lost.is_set() or self._closing):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(timeout / _CHECKS_A_TIMEOUT):
                        await self._lost.wait()
                if link.waiting_s() > timeout:
                    _log.warning("claim scripts have no answer", within_s=timeout)
                    transport.abort()
                    await self._lost.wait()
        finally:
            transport.abort()
            await connection.disconnect(nowait=True)
