"""Warm-up: what the fleet reads is in L1 before the first call, and no trouble stops a start."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from pydantic import SecretStr

from couponry.app import App, opened, served
from couponry.client import Client
from couponry.config import Settings
from couponry.jobs.warmup import HotKeyReporter
from couponry.store.hot_keys import HotKeys
from couponry.store.layers import Loaded
from couponry.store.redis import Redis
from couponry.v1 import coupon_pb2, template_pb2
from tests.integration.service.conftest import create_template
from tests.integration.service.test_process import open_activity


@pytest.fixture
async def hot_keys(settings: Settings) -> AsyncIterator[HotKeys]:
    redis = Redis(settings.redis.cache.get_secret_value(), settings.redis)
    yield HotKeys(redis, most=100)
    await redis.close()


def held(app: App, kind: str) -> int:
    return app.l1.stats()[kind]["entries"]


async def test_active_activities_and_their_templates_are_there_before_the_first_call(settings: Settings) -> None:
    async with opened(settings) as app, served(app) as address, Client(address, timeout_s=30) as client:
        await open_activity(client, 5)
        await create_template(client)
    async with opened(settings) as app:
        done = await app.warm_up.run()
        assert done.whole
        assert (held(app, "activity"), held(app, "template")) == (1, 1)


async def test_keys_that_one_worker_was_asked_for_are_read_by_the_next(settings: Settings, hot_keys: HotKeys) -> None:
    async with opened(settings) as app, served(app) as address, Client(address, timeout_s=30) as client:
        template = await create_template(client)
        await client.coupons.ReceiveCoupon(
            coupon_pb2.ReceiveCouponRequest(user_id="anna", template_id=template.template_id)
        )
        request = template_pb2.GetTemplateRequest(template_id=template.template_id)
        reporter = HotKeyReporter(l1=app.l1, hot_keys=hot_keys, most=100)
        # The event of its creation may still take the entry away.
        while ("template", str(template.template_id)) not in await hot_keys.hottest(10):
            for _ in range(3):
                await client.templates.GetTemplate(request)
            await reporter.run_once()
    async with opened(settings) as app:
        await app.warm_up.run()
        assert held(app, "template") == 1


async def test_a_reporter_tells_only_what_was_read_since_the_last_time(settings: Settings, hot_keys: HotKeys) -> None:
    async with opened(settings) as app, served(app) as address, Client(address, timeout_s=30) as client:
        template = await create_template(client)
        request = template_pb2.GetTemplateRequest(template_id=template.template_id)
        reporter = HotKeyReporter(l1=app.l1, hot_keys=hot_keys, most=100)
        for _ in range(6):
            await client.templates.GetTemplate(request)
        await reporter.run_once()
        await hot_keys.add([("template", "other", 7)])
        await reporter.run_once()
        assert (await hot_keys.hottest(1)) == [("template", "other")]


async def test_keys_that_do_not_exist_or_mean_nothing_are_passed_over(settings: Settings, hot_keys: HotKeys) -> None:
    await hot_keys.add([("template", "99", 5), ("nothing", "1", 5), ("user", "nobody", 5)])
    async with opened(settings) as app:
        done = await app.warm_up.run()
        assert done.whole
        assert done.keys == {"template": 1, "user": 1}


async def test_a_warm_up_that_takes_too_long_is_cut_short(settings: Settings, hot_keys: HotKeys) -> None:
    cut = settings.model_copy(update={"cache": settings.cache.model_copy(update={"warm_up_s": 1})})
    async with opened(cut) as app:
        gate = asyncio.Event()

        async def hanging(keys: Sequence[str]) -> Mapping[str, Loaded]:
            await gate.wait()
            return {}

        app.layers.register("template", hanging)
        await hot_keys.add([("template", "1", 5)])
        done = await asyncio.wait_for(app.warm_up.run(), 30)
        gate.set()
        assert not done.whole


async def test_a_service_whose_redis_is_down_starts(settings: Settings) -> None:
    gone = SecretStr("unix:///nowhere/redis.sock")
    without = settings.model_copy(update={"redis": settings.redis.model_copy(update={"cache": gone})})
    async with opened(without) as app, served(app) as address, Client(address, timeout_s=30) as client:
        await client.templates.ListTemplates(template_pb2.ListTemplatesRequest())


async def test_zero_seconds_are_no_warm_up(settings: Settings, hot_keys: HotKeys) -> None:
    none = settings.model_copy(update={"cache": settings.cache.model_copy(update={"warm_up_s": 0})})
    await hot_keys.add([("template", "1", 5)])
    async with opened(none) as app:
        assert (await app.warm_up.run()).keys == {}
