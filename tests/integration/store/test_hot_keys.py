"""The fleet's hottest keys on a real Redis: counts add up, fade, and stay few."""

import pytest

from couponry.config import Settings
from couponry.errors import Unavailable
from couponry.store.hot_keys import HotKeys
from couponry.store.redis import Redis


async def test_counts_of_all_workers_add_up(redis: Redis) -> None:
    first, second = HotKeys(redis, most=10), HotKeys(redis, most=10)
    await first.add([("template", "1", 5), ("user", "a:b", 3)])
    await second.add([("user", "a:b", 4), ("activity", "7", 1)])
    assert await first.hottest(10) == [("user", "a:b"), ("template", "1"), ("activity", "7")]


async def test_no_more_than_the_bound_are_kept_and_the_hottest_are(redis: Redis) -> None:
    keys = HotKeys(redis, most=3)
    await keys.add([("template", str(number), number) for number in range(1, 20)])
    assert await keys.hottest(100) == [("template", "19"), ("template", "18"), ("template", "17")]


async def test_old_counts_fade_by_half_in_ten_minutes(redis: Redis) -> None:
    keys = HotKeys(redis, most=10)
    await keys.add([("template", "1", 100)])
    before = float(await redis.client.get(redis.key("{hot}:faded")))
    await redis.client.set(redis.key("{hot}:faded"), f"{before - 600_000:.0f}")
    await keys.add([("template", "2", 60)])
    assert await keys.hottest(1) == [("template", "2")]
    left = await redis.client.zscore(redis.key("{hot}:counts"), "template:1")
    assert left == pytest.approx(50, rel=0.05)


async def test_a_clock_that_goes_back_does_not_make_counts_grow(redis: Redis) -> None:
    keys = HotKeys(redis, most=10)
    await keys.add([("template", "1", 100)])
    ahead = float(await redis.client.get(redis.key("{hot}:faded"))) + 3_600_000
    await redis.client.set(redis.key("{hot}:faded"), f"{ahead:.0f}")
    await keys.add([("template", "1", 1)])
    assert await redis.client.zscore(redis.key("{hot}:counts"), "template:1") == 101


async def test_what_nobody_reports_is_forgotten_within_a_day(redis: Redis) -> None:
    await HotKeys(redis, most=10).add([("template", "1", 1)])
    for name in ("counts", "faded"):
        assert 0 < await redis.client.pttl(redis.key(f"{{hot}}:{name}")) <= 86_400_000


async def test_a_redis_that_is_down_is_unavailable(settings: Settings) -> None:
    nowhere = Redis("unix:///nowhere/redis.sock", settings.redis)
    with pytest.raises(Unavailable):
        await HotKeys(nowhere, most=10).hottest(1)
    await nowhere.close()
