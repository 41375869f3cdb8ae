"""The fleet's hottest keys, in a sorted set of Redis: every worker adds what its L1 answered, counts fade by half each
ten minutes, and the set is bounded. A new worker warms up from it; nothing else depends on it.
"""

from collections.abc import Sequence
from typing import Final

from couponry.store.redis import Redis

__all__ = ["HotKey", "HotKeys"]

HotKey = tuple[str, str]

_HALF_LIFE_MS: Final = 600_000
_LIFE_MS: Final = 86_400_000


class HotKeys:
    """At most `most` keys of the whole fleet, in the Redis of the cache."""

    def __init__(self, redis: Redis, *, most: int) -> None:
        self._redis = redis
        self._most = most
        # One hash tag, so that the script's keys share a slot.
        self._counts = redis.key("{hot}:counts")
        self._faded = redis.key("{hot}:faded")

    async def add(self, seen: Sequence[tuple[str, str, int]]) -> None:
        """Adds counts of (kind, key). Raises Unavailable where Redis does not answer."""
        if seen:
            pairs = [part for kind, key, count in seen for part in (f"{kind}:{key}", count)]
            arguments = [_HALF_LIFE_MS, self._most, _LIFE_MS, *pairs]
            await self._redis.run_script("hot", [self._counts, self._faded], arguments)

    async def hottest(self, count: int) -> list[HotKey]:
        """(kind, key), the hottest first. Raises Unavailable where Redis does not answer."""
        if count <= 0:
            return []
        with self._redis.guarded():
            members: list[bytes] = await self._redis.client.zrevrange(self._counts, 0, count - 1)
        pairs = (member.decode().partition(":") for member in members)
        return [(kind, key) for kind, _, key in pairs]
