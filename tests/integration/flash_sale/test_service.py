"""The services over gRPC: results are results, errors are statuses."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from couponry.servicers.transaction import TransactionServicer
from couponry.v1 import flash_sale_pb2 as pb
from couponry.v1 import transaction_pb2
from couponry.v1.flash_sale_pb2_grpc import FlashSaleServiceStub, add_FlashSaleServiceServicer_to_server
from couponry.v1.transaction_pb2_grpc import TransactionServiceStub, add_TransactionServiceServicer_to_server
from tests.integration.flash_sale.conftest import STATUS, Instance, spec


@pytest.fixture
async def channel(shop: Instance, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[grpc.aio.Channel]:
    socket = Path(tmp_path_factory.mktemp("s")) / "s"
    server = grpc.aio.server()
    add_FlashSaleServiceServicer_to_server(shop.parts.servicer(), server)
    add_TransactionServiceServicer_to_server(TransactionServicer(), server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{socket}") as opened:
        yield opened
    await server.stop(None)


async def code_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), error.value.details() or ""


async def test_an_activity_lives_its_life_over_grpc(channel: grpc.aio.Channel, shop: Instance) -> None:
    stub: Any = FlashSaleServiceStub(channel)
    created = await stub.CreateActivity(pb.CreateActivityRequest(spec=spec(stock=1, key="noon")))
    activity_id = created.activity.activity_id
    assert (await stub.GetActivity(pb.GetActivityRequest(key="noon"))).activity == created.activity
    assert len((await stub.ListActivities(pb.ListActivitiesRequest())).activities) == 1
    assert len((await stub.ListActiveActivities(pb.ListActiveActivitiesRequest())).activities) == 1
    won = await stub.Participate(pb.ParticipateRequest(activity_id=activity_id, user_id="a", request_id="r"))
    sold_out = await stub.Participate(pb.ParticipateRequest(activity_id=activity_id, user_id="b", request_id="r"))
    assert (won.status, sold_out.status) == (STATUS.PARTICIPATE_STATUS_WON, STATUS.PARTICIPATE_STATUS_SOLD_OUT)
    adjusted = await stub.AdjustStock(pb.AdjustStockRequest(activity_id=activity_id, delta=2, adjustment_id="x"))
    assert (adjusted.total, adjusted.left) == (3, 2)
    assert (await stub.GetStock(pb.GetStockRequest(activity_id=activity_id))).left == 2
    changed = pb.UpdateActivityRequest(activity_id=activity_id, paused=True)
    changed.update_mask.paths.append("paused")
    assert (await stub.UpdateActivity(changed)).activity.paused
    records = await stub.ListUserRecords(pb.ListUserRecordsRequest(user_id="a", activity_id=activity_id))
    assert [each.coupon_id for each in records.records] == [won.coupon_id]
    ended = await stub.EndActivity(pb.EndActivityRequest(activity_id=activity_id))
    assert (ended.activity.state, ended.sold, ended.returned) == (pb.ACTIVITY_STATE_SETTLED, 1, 2)


async def test_what_is_not_there_yet_says_so_in_a_sentence(channel: grpc.aio.Channel) -> None:
    transactions: Any = TransactionServiceStub(channel)
    calls = []
    for method in transaction_pb2.DESCRIPTOR.services_by_name["TransactionService"].methods:
        request = getattr(transaction_pb2, method.input_type.name)()
        call: Callable[..., Awaitable[Any]] = getattr(transactions, method.name)
        calls.append(call(request))
    for call_under_way in calls:
        code, text = await code_of(call_under_way)
        assert code == grpc.StatusCode.UNIMPLEMENTED
        assert "not part of this release" in text


async def test_unknown_enum_numbers_are_refused_at_the_door(channel: grpc.aio.Channel, shop: Instance) -> None:
    stub: Any = FlashSaleServiceStub(channel)
    wire = pb.CreateActivityRequest(spec=spec()).SerializeToString()
    broken = pb.CreateActivityRequest.FromString(wire)
    broken.spec.ack = 77  # type: ignore[assignment]
    code, text = await code_of(stub.CreateActivity(broken))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "spec.ack" in text
    assert await shop.counters() == (0, 0)
