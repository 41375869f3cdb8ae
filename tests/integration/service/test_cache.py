"""What callers see of the caches: which layer answered, that an answer is stale, and their own writes."""

import asyncio
from collections.abc import Mapping, Sequence

import grpc
import grpc.aio
import pytest

from couponry.app import App, opened, served
from couponry.client import Client, refusal_of
from couponry.config import Settings
from couponry.errors import Unavailable
from couponry.store.layers import Loaded
from couponry.v1 import template_pb2
from tests.integration.service.conftest import create_template

DEBUG = (("couponry-debug", "cache"),)


@pytest.fixture
def served_settings(served_settings: Settings) -> Settings:
    """Without a reader: here the tests say how fresh L1 is."""
    binlog = served_settings.cache.binlog.model_copy(update={"enabled": False})
    return served_settings.model_copy(update={"cache": served_settings.cache.model_copy(update={"binlog": binlog})})


async def said(client: Client, template_id: int, *, debug: bool = True) -> str | None:
    """What `couponry-cache` says of one read of a template."""
    request = template_pb2.GetTemplateRequest(template_id=template_id)
    call = client.templates.GetTemplate(request, metadata=DEBUG if debug else ())
    await call
    trailing = {str(key): str(value) for key, value in await call.trailing_metadata() or ()}
    return trailing.get("couponry-cache")


async def until_not_fresh(app: App) -> None:
    # The clock is the system's.
    while app.l1.fresh:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def measure(app: App) -> None:
    """As if a reader of the binlog had just been told that nothing changed."""
    app.l1.measure()
    app.l1.started(replayed=True)
    app.l1.passed(app.l1.now_ms)


async def test_a_call_that_asks_is_told_which_layer_answered_it_and_others_are_not(app: App, client: Client) -> None:
    template = await create_template(client)
    measure(app)
    # What was read in the millisecond of the own write is not kept.
    assert await said(client, template.template_id) == "l3"
    while await said(client, template.template_id) != "l1":
        app.l1.passed(app.l1.now_ms)
    assert await said(client, template.template_id, debug=False) is None


async def test_a_connection_whose_hot_calls_are_known_is_told_all_the_same(app: App, client: Client) -> None:
    template = await create_template(client)
    measure(app)
    for _ in range(3):
        app.l1.passed(app.l1.now_ms)
        assert await said(client, template.template_id, debug=False) is None
    app.l1.passed(app.l1.now_ms)
    assert await said(client, template.template_id) == "l1"


async def test_an_own_write_is_read_back_and_a_version_that_is_not_there_is_refused(client: Client) -> None:
    template = await create_template(client)
    for total in range(101, 121):
        request = template_pb2.AdjustTotalRequest(template_id=template.template_id, total=total, request_id=f"r{total}")
        adjusted = (await client.templates.AdjustTotal(request)).template
        read = template_pb2.GetTemplateRequest(template_id=template.template_id)
        assert (await client.templates.GetTemplate(read)).template == adjusted
        read.min_version = adjusted.version
        assert (await client.templates.GetTemplate(read)).template == adjusted
    read.min_version += 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.templates.GetTemplate(read)
    assert refusal_of(refused.value).code is grpc.StatusCode.FAILED_PRECONDITION


async def test_while_the_database_is_down_reads_are_flagged_stale(served_settings: Settings) -> None:
    cache = served_settings.cache.model_copy(update={"max_staleness_ms": 200})
    async with (
        opened(served_settings.model_copy(update={"cache": cache})) as app,
        served(app) as address,
        Client(address, timeout_s=30) as client,
    ):
        template = await create_template(client)
        measure(app)
        while not app.l1.inspect("template", str(template.template_id))["held"]:
            app.l1.passed(app.l1.now_ms)
            await said(client, template.template_id)

        async def down(keys: Sequence[str]) -> Mapping[str, Loaded]:
            raise Unavailable("the database cannot be reached")

        app.layers.register("template", down)
        await until_not_fresh(app)
        assert await said(client, template.template_id, debug=False) == "stale"
        assert await said(client, template.template_id) == "stale"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await said(client, template.template_id + 1)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
