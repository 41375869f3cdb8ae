"""L2 as people look at it, and emptied by hand. Nothing here is part of the protocol.

An entry that is removed is only a miss; what the buckets were told is never touched.
"""

from typing import Any

from couponry.errors import Unavailable
from couponry.store.layers.l2 import L2, Key
from couponry.store.redis import Redis

__all__ = ["Looker"]


class Looker:
    """Looks into the Redis of the cache."""

    def __init__(self, *, redis: Redis, l2: L2) -> None:
        self._redis = redis
        self._l2 = l2

    async def inspect(self, key: Key) -> dict[str, Any]:
        """The entry, whether the bucket's epoch is its own, and what the bucket was told."""
        bucket = self._l2.bucket(key)
        try:
            with self._redis.guarded():
                pipeline = self._redis.client.pipeline(transaction=False)
                # On a pipeline the calls only queue the commands.
                _ = pipeline.hmget(self._l2.entry_key(key), ["v", "e"])
                _ = pipeline.hstrlen(self._l2.entry_key(key), "d")
                _ = pipeline.pttl(self._l2.entry_key(key))
                _ = pipeline.hgetall(self._l2.told_key(bucket))
                _ = pipeline.time()
                (versions, epoch), size, left_ms, told, (seconds, micros) = await pipeline.execute()
        except Unavailable:
            return {"reachable": False}
        found: dict[str, Any] = {"reachable": True, "bucket": bucket, "held": epoch is not None}
        if epoch is not None:
            pairs = [pair.split(":") for pair in versions.decode().split(",") if pair]
            found |= {
                "rows": [[int(row), int(version)] for row, version in pairs],
                "bytes": size,
                "left_ms": left_ms,
                "of this epoch": epoch == told.get(b"epoch"),
            }
        found["told"] = told.get(b"place", b"").decode() or None
        if told.get(b"time"):
            found["told ms ago"] = seconds * 1000 + micros // 1000 - int(told[b"time"])
        return found

    async def flush(self, kind: str | None, key: str | None) -> int:
        """Removes one entry, a kind, or every entry; how many. Raises Unavailable."""
        if kind is None:
            return await self._l2.flush()
        with self._redis.guarded():
            client = self._redis.client
            if key is not None:
                return int(await client.unlink(self._l2.entry_key((kind, key))))
            removed = 0
            async for found in client.scan_iter(match=self._redis.key(f"l2:{{b*}}:{kind}:*"), count=1000):
                removed += await client.unlink(found)
            return removed
