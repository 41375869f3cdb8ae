"""The reference front end: grpc.aio. It shows what right behaviour is; it is not the fast one."""

import grpc
import grpc.aio

from couponry.config import ServerSettings

__all__ = ["make_server"]

_MAX_METADATA_BYTES = 16 * 1024
# Clients behind balancers ping every 10 s, with or without calls; a little less is allowed for timers that are early.
_MIN_PING_INTERVAL_MS = 9_000


def make_server(settings: ServerSettings, *, reuse_port: bool) -> grpc.aio.Server:
    """A server without ports and servicers. `reuse_port` lets several workers share one port."""
    return grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
            ("grpc.so_reuseport", int(reuse_port)),
        )
    )
