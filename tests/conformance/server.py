"""One server with the conformance servicers, on either front end, in a process of its own.

Prints one line of JSON (`pid`, `port`, `tls_port`, `unix`) when it answers; ends on SIGTERM as the service does.
Run: `python -m tests.conformance.server --frontend native`.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from couponry import logging
from couponry.config import LogSettings, ServerSettings
from couponry.frontend import reference
from tests.conformance import servicers

__all__ = ["main", "make_server"]


def make_server(frontend: str, keepalive_ms: int | None = None) -> grpc.aio.Server:
    settings = ServerSettings()
    if frontend == "reference":
        return reference.make_server(settings, reuse_port=False)
    from couponry.frontend import native  # noqa: PLC0415 (the reference runs without the extension)

    if keepalive_ms is not None:
        times = (("grpc.keepalive_time_ms", keepalive_ms), ("grpc.keepalive_timeout_ms", keepalive_ms))
        return native.NativeServer(options=times)
    return native.make_server(settings, reuse_port=False)


async def serve(arguments: argparse.Namespace, add: Callable[[grpc.aio.Server], None]) -> None:
    server = make_server(arguments.frontend, arguments.keepalive_ms)
    add(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection(
        ("grpc.testing.TestService", "grpc.health.v1.Health", reflection.SERVICE_NAME), server
    )
    await checks.set("", health_pb2.HealthCheckResponse.SERVING)
    ready: dict[str, object] = {"pid": os.getpid(), "port": server.add_insecure_port("127.0.0.1:0")}
    if arguments.unix:
        server.add_insecure_port(f"unix:{arguments.unix}")
        ready["unix"] = arguments.unix
    if arguments.tls:
        key, certificate = (Path(arguments.tls, name).read_bytes() for name in ("key.pem", "cert.pem"))
        ready["tls_port"] = server.add_secure_port("127.0.0.1:0", _credentials(arguments.frontend, key, certificate))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await server.start()
    print(json.dumps(ready), flush=True)
    await stopped.wait()
    await server.stop(arguments.grace)


def _credentials(frontend: str, key: bytes, certificate: bytes) -> Any:
    if frontend == "reference":
        return grpc.ssl_server_credentials([(key, certificate)])
    from couponry.frontend import native  # noqa: PLC0415 (the reference runs without the extension)

    return native.tls_credentials(((key, certificate),))


def main(add: Callable[[grpc.aio.Server], None] = servicers.add_all) -> int:
    """Serves what `add` adds until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frontend", choices=("native", "reference"), default="native")
    parser.add_argument("--unix", help="also listen on this socket")
    parser.add_argument("--tls", help="also listen with TLS: a folder with key.pem and cert.pem")
    parser.add_argument("--keepalive-ms", type=int, help="ping a silent peer of the native front end this often")
    parser.add_argument("--grace", type=float, default=5.0)
    logging.setup(LogSettings(format="json"))
    uvloop.run(serve(parser.parse_args(), add))
    return 0


if __name__ == "__main__":
    sys.exit(main())
