"""FlashSaleService: each RPC is one use case."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

import contextlib
from collections.abc import AsyncGenerator

from couponry.flash_sale.activities import Activities
from couponry.flash_sale.adjustments import Adjustments
from couponry.flash_sale.participate import Participation
from couponry.flash_sale.records import Records
from couponry.flash_sale.settle import Settlement
from couponry.flash_sale.stock import Stock
from couponry.flash_sale.watching import Watching
from couponry.servicers.base import Context, caller_of, rpc, rpc_stream
from couponry.v1 import flash_sale_pb2 as pb
from couponry.v1 import flash_sale_pb2_grpc

__all__ = ["FlashSaleServicer"]


class FlashSaleServicer(flash_sale_pb2_grpc.FlashSaleServiceServicer):
    """Over the use cases of couponry.flash_sale."""

    def __init__(
        self,
        *,
        activities: Activities,
        participation: Participation,
        stock: Stock,
        watching: Watching,
        records: Records,
        settlement: Settlement,
        adjustments: Adjustments,
    ) -> None:
        self._activities = activities
        self._participation = participation
        self._stock = stock
        self._watching = watching
        self._records = records
        self._settlement = settlement
        self._adjustments = adjustments

    @rpc
    async def CreateActivity(self, request: pb.CreateActivityRequest, context: Context) -> pb.CreateActivityResponse:
        return await self._activities.create(request, caller_of(context))

    @rpc
    async def GetActivity(self, request: pb.GetActivityRequest, context: Context) -> pb.GetActivityResponse:
        return await self._activities.get(request)

    @rpc
    async def UpdateActivity(self, request: pb.UpdateActivityRequest, context: Context) -> pb.UpdateActivityResponse:
        return await self._activities.update(request, caller_of(context))

    @rpc
    async def ListActivities(self, request: pb.ListActivitiesRequest, context: Context) -> pb.ListActivitiesResponse:
        return await self._activities.page(request)

    @rpc
    async def ListActiveActivities(
        self, request: pb.ListActiveActivitiesRequest, context: Context
    ) -> pb.ListActiveActivitiesResponse:
        return await self._activities.active_page(request)

    @rpc
    async def Participate(self, request: pb.ParticipateRequest, context: Context) -> pb.ParticipateResponse:
        return await self._participation.participate(request)

    @rpc
    async def GetStock(self, request: pb.GetStockRequest, context: Context) -> pb.GetStockResponse:
        return await self._stock.get(request)

    @rpc_stream
    async def WatchStock(
        self, request: pb.WatchStockRequest, context: Context
    ) -> AsyncGenerator[pb.WatchStockResponse, None]:
        async with contextlib.aclosing(self._watching.watch(request)) as changes:
            async for change in changes:
                yield change

    @rpc
    async def ListUserRecords(self, request: pb.ListUserRecordsRequest, context: Context) -> pb.ListUserRecordsResponse:
        return await self._records.page(request)

    @rpc
    async def EndActivity(self, request: pb.EndActivityRequest, context: Context) -> pb.EndActivityResponse:
        return await self._settlement.end_activity(request, caller_of(context))

    @rpc
    async def AdjustStock(self, request: pb.AdjustStockRequest, context: Context) -> pb.AdjustStockResponse:
        return await self._adjustments.adjust_stock(request)
