"""CouponService."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

from couponry.coupons.available import AvailableCoupons
from couponry.coupons.granting import Granting
from couponry.coupons.receiving import Receiving
from couponry.coupons.user_coupons import UserCoupons
from couponry.servicers.base import Context, caller_of, rpc
from couponry.v1 import coupon_pb2 as pb
from couponry.v1.coupon_pb2_grpc import CouponServiceServicer

__all__ = ["CouponServicer"]


class CouponServicer(CouponServiceServicer):
    """Each RPC is one use case."""

    def __init__(
        self, *, receiving: Receiving, granting: Granting, user_coupons: UserCoupons, available: AvailableCoupons
    ) -> None:
        self._receiving = receiving
        self._granting = granting
        self._user_coupons = user_coupons
        self._available = available

    @rpc
    async def ReceiveCoupon(self, request: pb.ReceiveCouponRequest, context: Context) -> pb.ReceiveCouponResponse:
        return await self._receiving.receive(request)

    @rpc
    async def GrantCoupons(self, request: pb.GrantCouponsRequest, context: Context) -> pb.GrantCouponsResponse:
        return await self._granting.grant(request, caller_of(context))

    @rpc
    async def GetCoupon(self, request: pb.GetCouponRequest, context: Context) -> pb.GetCouponResponse:
        return await self._user_coupons.get(request)

    @rpc
    async def ListUserCoupons(self, request: pb.ListUserCouponsRequest, context: Context) -> pb.ListUserCouponsResponse:
        return await self._user_coupons.page(request)

    @rpc
    async def ListAvailableCoupons(
        self, request: pb.ListAvailableCouponsRequest, context: Context
    ) -> pb.ListAvailableCouponsResponse:
        return await self._available.page(request)

    @rpc
    async def RevokeCoupon(self, request: pb.RevokeCouponRequest, context: Context) -> pb.RevokeCouponResponse:
        return await self._user_coupons.revoke(request, caller_of(context))
