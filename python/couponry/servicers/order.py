"""OrderService."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

from couponry.orders.service import Orders
from couponry.servicers.base import Context, rpc
from couponry.v1 import order_pb2 as pb
from couponry.v1.order_pb2_grpc import OrderServiceServicer

__all__ = ["OrderServicer"]


class OrderServicer(OrderServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    @rpc
    async def LockCoupons(self, request: pb.LockCouponsRequest, context: Context) -> pb.LockCouponsResponse:
        return await self._orders.lock(request)

    @rpc
    async def ExtendLock(self, request: pb.ExtendLockRequest, context: Context) -> pb.ExtendLockResponse:
        return await self._orders.extend(request)

    @rpc
    async def UseCoupons(self, request: pb.UseCouponsRequest, context: Context) -> pb.UseCouponsResponse:
        return await self._orders.use(request)

    @rpc
    async def ReleaseCoupons(self, request: pb.ReleaseCouponsRequest, context: Context) -> pb.ReleaseCouponsResponse:
        return await self._orders.release(request)

    @rpc
    async def ReturnCoupons(self, request: pb.ReturnCouponsRequest, context: Context) -> pb.ReturnCouponsResponse:
        return await self._orders.return_(request)

    @rpc
    async def GetOrderCoupons(self, request: pb.GetOrderCouponsRequest, context: Context) -> pb.GetOrderCouponsResponse:
        return await self._orders.get(request)
