"""A typed client: one channel, a deadline on every call, repeats with backoff while the service is unavailable.

    async with Client("127.0.0.1:7700") as client:
        answer = await client.templates.GetTemplate(GetTemplateRequest(template_id=1))

The attributes are the generated stubs of the services. Every call whose request has a `request_id` gets one if it has
none, so a repeated call has one effect.
"""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from couponry.v1.coupon_pb2_grpc import CouponServiceStub
from couponry.v1.discount_pb2_grpc import DiscountServiceStub
from couponry.v1.flash_sale_pb2_grpc import FlashSaleServiceStub
from couponry.v1.order_pb2_grpc import OrderServiceStub
from couponry.v1.template_pb2_grpc import TemplateServiceStub
from couponry.v1.transaction_pb2_grpc import TransactionServiceStub

__all__ = ["Client", "Refusal", "refusal_of"]

Request = TypeVar("Request")
Response = TypeVar("Response")

_RETRIES: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


class Client:
    """A connection to the service. `target` is `host:port` or `unix:PATH`; `timeout_s` is the deadline of a call that
    names none; `credentials` turn TLS on.
    """

    templates: TemplateServiceStub
    coupons: CouponServiceStub
    discounts: DiscountServiceStub
    orders: OrderServiceStub
    flash_sales: FlashSaleServiceStub
    transactions: TransactionServiceStub

    def __init__(
        self, target: str, *, timeout_s: float = 5.0, credentials: grpc.ChannelCredentials | None = None
    ) -> None:
        options = (("grpc.service_config", _RETRIES), ("grpc.enable_retries", 1))
        interceptors = (_Defaults(timeout_s),)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors)
        self.templates = TemplateServiceStub(self._channel)
        self.coupons = CouponServiceStub(self._channel)
        self.discounts = DiscountServiceStub(self._channel)
        self.orders = OrderServiceStub(self._channel)
        self.flash_sales = FlashSaleServiceStub(self._channel)
        self.transactions = TransactionServiceStub(self._channel)

    @property
    def channel(self) -> grpc.aio.Channel:
        """For other stubs, such as health."""
        return self._channel

    async def ready(self) -> None:
        """Waits until the service can be reached."""
        await self._channel.channel_ready()

    async def close(self) -> None:
        """Closes the channel; calls under way are cancelled."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call failed, for programs: `reason` is a name of `couponry.v1.Reason` without its prefix."""

    code: grpc.StatusCode
    reason: str
    text: str
    metadata: dict[str, str]
    violations: dict[str, str]
    retry_after_s: float | None


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Reads the details of a failed call."""
    reason, metadata, violations, retry_after_s = "", {}, {}, None
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status is not None else ():
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            violations = {entry.field: entry.description for entry in bad_request.field_violations}
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    return Refusal(error.code(), reason, error.details() or "", metadata, violations, retry_after_s)


class _Defaults(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives a call its deadline and its request id."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        details = client_call_details
        if details.timeout is None:
            details = grpc.aio.ClientCallDetails(
                method=details.method,
                timeout=self._timeout_s,
                metadata=details.metadata,
                credentials=details.credentials,
                wait_for_ready=details.wait_for_ready,
            )
        if isinstance(request, Message) and _lacks_request_id(request):
            named = type(request)()
            named.CopyFrom(request)
            named.request_id = uuid.uuid4().hex  # type: ignore[attr-defined]
            request = named
        return await continuation(details, request)


def _lacks_request_id(request: Message) -> bool:
    return "request_id" in request.DESCRIPTOR.fields_by_name and not getattr(request, "request_id", "")
