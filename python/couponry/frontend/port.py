"""Opens the service's port on a server, with or without TLS; the same for both front ends."""

from typing import Any

import grpc
import grpc.aio

from couponry.config import ListenAddress, ServerSettings, parse_listen
from couponry.frontend.native import NativeServer, tls_credentials

__all__ = ["open_port"]


def open_port(server: grpc.aio.Server, settings: ServerSettings) -> ListenAddress:
    """Binds `settings.listen`; the address with the port that was bound. Raises OSError where it is taken."""
    wanted = parse_listen(settings.listen)
    target = str(wanted)
    try:
        if settings.tls is None:
            port = server.add_insecure_port(target)
        else:
            pair = (settings.tls.key.read_bytes(), settings.tls.certificate.read_bytes())
            ca = settings.tls.client_ca.read_bytes() if settings.tls.client_ca else None
            # NativeServer's own credentials: grpc's do not show their keys.
            made = tls_credentials if isinstance(server, NativeServer) else grpc.ssl_server_credentials
            credentials: Any = made([pair], root_certificates=ca, require_client_auth=ca is not None)
            port = server.add_secure_port(target, credentials)
    except RuntimeError as error:
        raise OSError(f"the address {target} is taken or not of this machine") from error
    return wanted if wanted.path else ListenAddress(wanted.host, port)
