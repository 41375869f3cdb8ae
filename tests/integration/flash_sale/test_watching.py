"""WatchStock: every watcher ends up with the stock as it is, and none costs the others anything."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from couponry.errors import NotFound, Unavailable
from couponry.flash_sale.wire import Place
from couponry.frontend.native import NativeServer
from couponry.v1 import flash_sale_pb2 as pb
from couponry.v1.flash_sale_pb2_grpc import FlashSaleServiceStub, add_FlashSaleServiceServicer_to_server
from tests.integration.flash_sale.conftest import STATUS, Instance, OpenInstance

Watch = AsyncGenerator[pb.WatchStockResponse, None]


def watch(shop: Instance, activity_id: int) -> Watch:
    return shop.parts.watching.watch(pb.WatchStockRequest(activity_id=activity_id))


def numbers(value: pb.WatchStockResponse) -> tuple[int, int, int]:
    return value.left, value.total, value.sold


async def until(changes: Watch, wanted: tuple[int, int, int]) -> pb.WatchStockResponse:
    """Reads on until this is told."""
    while True:
        value = await anext(changes)
        if numbers(value) == wanted:
            return value


async def quiet(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nobody says so
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("buckets", [1, 4])
async def test_a_watcher_is_told_the_stock_and_then_each_change(shop: Instance, buckets: int) -> None:
    activity_id = (await shop.create(stock=40, buckets=buckets)).activity_id
    async with aclosing(watch(shop, activity_id)) as changes:
        first = await anext(changes)
        assert numbers(first) == (40, 40, 0)
        await shop.win(activity_id, "ann", "r")
        won = await until(changes, (39, 40, 1))
        assert won.as_of.ToNanoseconds() > first.as_of.ToNanoseconds()
        await shop.adjust(activity_id, 8, "more")
        await until(changes, (47, 48, 1))


async def test_nothing_is_told_while_nothing_changes_and_never_faster_than_the_interval(
    open_instance: OpenInstance,
) -> None:
    shop = await open_instance(watch_interval_ms=50)
    activity_id = (await shop.create(stock=100)).activity_id
    loop = asyncio.get_running_loop()
    told: list[tuple[int, int, int]] = []
    at: list[float] = []

    async def read() -> None:
        async with aclosing(watch(shop, activity_id)) as changes:
            async for value in changes:
                told.append(numbers(value))
                at.append(loop.time())
                if value.sold == 30:
                    return

    reader = asyncio.create_task(read())
    for n in range(30):
        await shop.win(activity_id, f"u{n}", "r")
        await asyncio.sleep(0.01)
    await reader
    assert len(set(told)) == len(told)
    assert told == sorted(told, reverse=True)
    # The loop's clock ticks in milliseconds.
    assert min(after - before for before, after in itertools.pairwise(at)) >= 0.049


async def test_a_slow_watcher_skips_to_the_newest_value(open_instance: OpenInstance) -> None:
    shop = await open_instance(watch_interval_ms=10)
    activity_id = (await shop.create(stock=100)).activity_id
    async with aclosing(watch(shop, activity_id)) as slow, aclosing(watch(shop, activity_id)) as quick:
        assert numbers(await anext(slow)) == (100, 100, 0)
        await anext(quick)
        for n in range(1, 6):
            await shop.win(activity_id, f"u{n}", "r")
            await until(quick, (100 - n, 100, n))
        assert numbers(await anext(slow)) == (95, 100, 5)


async def test_a_change_that_was_undone_before_it_was_read_is_not_told(open_instance: OpenInstance) -> None:
    shop = await open_instance(watch_interval_ms=10)
    activity_id = (await shop.create(stock=10)).activity_id
    async with aclosing(watch(shop, activity_id)) as slow, aclosing(watch(shop, activity_id)) as quick:
        await anext(slow)
        await anext(quick)
        await shop.adjust(activity_id, 5, "a")
        await until(quick, (15, 15, 0))
        await shop.adjust(activity_id, -5, "b")
        await until(quick, (10, 10, 0))
        await shop.win(activity_id, "ann", "r")
        await until(quick, (9, 10, 1))
        assert numbers(await anext(slow)) == (9, 10, 1)


async def test_a_thousand_watchers_cost_one_look_an_interval_and_none_when_they_have_gone(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=100)).activity_id
    real, looks = shop.parts.sale.__class__.look, 0

    async def look(*args: Any) -> Any:
        nonlocal looks
        looks += 1
        return await real(*args)

    monkeypatch.setattr(shop.parts.sale.__class__, "look", look)
    watchers = [watch(shop, activity_id) for _ in range(1000)]
    await asyncio.gather(*(anext(each) for each in watchers))
    await shop.win(activity_id, "ann", "r")
    polls = looks
    await asyncio.gather(*(until(each, (99, 100, 1)) for each in watchers))
    # One before the win and one after it, and as many again where the machine is slow.
    assert looks - polls <= 4
    await asyncio.gather(*(each.aclose() for each in watchers))
    await quiet(lambda: shop.parts.watching.polls == 0)
    assert shop.parts.watching.watchers == 0


async def test_a_watch_ends_with_the_activity(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    async with aclosing(watch(shop, activity_id)) as changes:
        await anext(changes)
        await shop.win(activity_id, "ann", "r")
        await shop.end(activity_id)
        seen = [numbers(value) async for value in changes]
    assert seen[-1] == (0, 1, 1)
    assert [numbers(value) async for value in watch(shop, activity_id)] == [(0, 1, 1)]


async def test_what_does_not_exist_cannot_be_watched(shop: Instance) -> None:
    for absent in (77, 2**30):
        with pytest.raises(NotFound):
            await anext(watch(shop, absent))


async def test_a_worker_that_ends_ends_its_watches_and_takes_no_more(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    changes = watch(shop, activity_id)
    await anext(changes)
    waiting = asyncio.create_task(anext(changes))
    await shop.parts.watching.close()
    for refused in (waiting, anext(watch(shop, activity_id))):
        with pytest.raises(Unavailable) as told:
            await refused
        assert told.value.reason == "DRAINING"


async def test_a_watch_outlives_a_restart_of_its_redis(shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    async with aclosing(watch(shop, activity_id)) as changes:
        await anext(changes)
        await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))
        await shop.win(activity_id, "ann", "r")
        await until(changes, (9, 10, 1))


@pytest.fixture(params=[grpc.aio.server, NativeServer])
async def stub(
    request: pytest.FixtureRequest, shop: Instance, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Any]:
    socket = Path(tmp_path_factory.mktemp("s")) / "s"
    server = request.param()
    add_FlashSaleServiceServicer_to_server(shop.parts.servicer(), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        yield FlashSaleServiceStub(channel)
    await server.stop(None)


async def test_both_front_ends_stream_changes_and_forget_a_client_that_goes(stub: Any, shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    call = stub.WatchStock(pb.WatchStockRequest(activity_id=activity_id))
    assert numbers(await call.read()) == (10, 10, 0)
    won = await stub.Participate(pb.ParticipateRequest(activity_id=activity_id, user_id="ann", request_id="r"))
    assert won.status == STATUS.PARTICIPATE_STATUS_WON
    assert numbers(await call.read()) == (9, 10, 1)
    assert shop.parts.watching.watchers == 1
    call.cancel()
    await quiet(lambda: shop.parts.watching.watchers == 0)


async def test_both_front_ends_say_why_a_watch_ends(stub: Any, shop: Instance) -> None:
    activity_id = (await shop.create(stock=10)).activity_id
    call = stub.WatchStock(pb.WatchStockRequest(activity_id=activity_id))
    await call.read()
    await shop.parts.watching.close()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await call.read()
    assert (ended.value.code(), ended.value.details()) == (grpc.StatusCode.UNAVAILABLE, "the server is ending")
    with pytest.raises(grpc.aio.AioRpcError) as absent:
        await stub.WatchStock(pb.WatchStockRequest(activity_id=0)).read()
    assert absent.value.code() == grpc.StatusCode.INVALID_ARGUMENT
