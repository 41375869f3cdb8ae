"""The reference front end: grpc.aio. It shows what right behaviour is; it is not the fast one."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from couponry.config import ServerSettings

__all__ = ["make_server"]

_MAX_METADATA_BYTES = 16 * 1024
# Clients behind balancers ping every 10 s, with or without calls; a little less is allowed for timers that are early.
_MIN_PING_INTERVAL_MS = 9_000


def make_server(settings: ServerSettings, *, reuse_port: bool) -> grpc.aio.Server:
    """A server without ports and servicers. `reuse_port` lets several workers share one port."""
    return grpc.aio.server(
        interceptors=(_Decoding(),),
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        options=(
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
            ("grpc.so_reuseport", int(reuse_port)),
        ),
    )


class _Decoding(grpc.aio.ServerInterceptor):
    """A unary request that cannot be decoded is INTERNAL, as the protocol says.

    grpc.aio itself answers UNKNOWN with the exception's text, so the bytes are decoded here.
    """

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        found = await continuation(handler_call_details)
        if found is None or found.unary_unary is None or found.request_deserializer is None:
            return found
        decode, behave = found.request_deserializer, cast("Callable[[Any, Any], Awaitable[Any]]", found.unary_unary)

        async def decode_and_behave(body: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            try:
                request = decode(body)
            except DecodeError:
                await context.abort(grpc.StatusCode.INTERNAL, "the request is no message of this method's type")
            return await behave(request, context)

        return grpc.unary_unary_rpc_method_handler(
            cast("Any", decode_and_behave), response_serializer=found.response_serializer
        )
