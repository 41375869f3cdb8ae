"""TransactionService. Nothing but these RPCs needs DTM; without it they say so."""

# ruff: noqa: N802, ARG002 - names and arguments are those of the generated base

from typing import Final

from couponry.errors import Unimplemented
from couponry.servicers.base import Context, rpc
from couponry.v1 import transaction_pb2 as pb
from couponry.v1 import transaction_pb2_grpc

__all__ = ["TransactionServicer"]

_TEXT: Final = "distributed transactions over DTM are not part of this release; nothing else needs them"


class TransactionServicer(transaction_pb2_grpc.TransactionServiceServicer):
    """Refuses every RPC with a sentence."""

    @rpc
    async def SubmitOrderWithCoupons(
        self, request: pb.SubmitOrderWithCouponsRequest, context: Context
    ) -> pb.SubmitOrderWithCouponsResponse:
        raise Unimplemented(_TEXT)

    @rpc
    async def ProcessFlashSaleWithInventory(
        self, request: pb.ProcessFlashSaleWithInventoryRequest, context: Context
    ) -> pb.ProcessFlashSaleWithInventoryResponse:
        raise Unimplemented(_TEXT)

    @rpc
    async def GetTransaction(self, request: pb.GetTransactionRequest, context: Context) -> pb.GetTransactionResponse:
        raise Unimplemented(_TEXT)

    @rpc
    async def TryParticipate(self, request: pb.TryParticipateRequest, context: Context) -> pb.TryParticipateResponse:
        raise Unimplemented(_TEXT)

    @rpc
    async def ConfirmParticipate(
        self, request: pb.ConfirmParticipateRequest, context: Context
    ) -> pb.ConfirmParticipateResponse:
        raise Unimplemented(_TEXT)

    @rpc
    async def CancelParticipate(
        self, request: pb.CancelParticipateRequest, context: Context
    ) -> pb.CancelParticipateResponse:
        raise Unimplemented(_TEXT)
