"""DiscountService."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

from couponry.coupons.calculating import Calculator
from couponry.servicers.base import Context, rpc
from couponry.v1 import discount_pb2 as pb
from couponry.v1.discount_pb2_grpc import DiscountServiceServicer

__all__ = ["DiscountServicer"]


class DiscountServicer(DiscountServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, calculator: Calculator) -> None:
        self._calculator = calculator

    @rpc
    async def CalculateDiscount(
        self, request: pb.CalculateDiscountRequest, context: Context
    ) -> pb.CalculateDiscountResponse:
        return await self._calculator.calculate(request)

    @rpc
    async def Explain(self, request: pb.ExplainRequest, context: Context) -> pb.ExplainResponse:
        return await self._calculator.explain(request)
