"""Addresses as gRPC writes them, the sockets for them, and TLS. Sockets are bound at once, so that port 0 is known
before the server starts.
"""

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Port", "TlsCredentials", "bind", "tls_credentials"]

_BACKLOG = 4096
_LAST_PORT = 65_535


@dataclass(frozen=True, slots=True)
class TlsCredentials:
    """A server's certificate, and how clients are checked. Made by `tls_credentials`."""

    context: ssl.SSLContext


@dataclass(slots=True)
class Port:
    """Sockets that are bound and do not listen yet."""

    number: int
    sockets: list[socket.socket]
    tls: TlsCredentials | None
    path: Path | None = field(default=None)

    def close(self) -> None:
        """Closes what is not handed on, and removes the file of a unix socket."""
        for each in self.sockets:
            each.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()


def tls_credentials(
    private_key_certificate_chain_pairs: Sequence[tuple[bytes, bytes]],
    root_certificates: bytes | None = None,
    require_client_auth: bool = False,
) -> TlsCredentials:
    """As `grpc.ssl_server_credentials`, whose objects do not show their keys: (key, chain) in PEM, the roots of client
    certificates, and whether a client needs one. TLS 1.2 or newer, ALPN h2 only.
    """
    if not private_key_certificate_chain_pairs:
        raise ValueError("At least one private key-certificate chain pair is required!")
    if require_client_auth and root_certificates is None:
        raise ValueError("Illegal to require client auth without providing root certificates!")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["h2"])
    for key, chain in private_key_certificate_chain_pairs:
        # ssl takes files only; these are readable by this user and gone at once.
        with tempfile.TemporaryDirectory() as folder:
            key_file, chain_file = Path(folder) / "key", Path(folder) / "chain"
            key_file.write_bytes(key)
            chain_file.write_bytes(chain)
            context.load_cert_chain(chain_file, key_file)
    if root_certificates is not None:
        context.load_verify_locations(cadata=root_certificates.decode())
        context.verify_mode = ssl.CERT_REQUIRED if require_client_auth else ssl.CERT_OPTIONAL
    return TlsCredentials(context)


def bind(address: str, *, reuse_port: bool, tls: TlsCredentials | None) -> Port:
    """Binds `HOST:PORT`, `[V6]:PORT`, `unix:PATH` or `unix-abstract:NAME`. RuntimeError as grpc.aio raises it."""
    try:
        if address.startswith("unix:"):
            path = Path(address.removeprefix("unix:").removeprefix("//"))
            return Port(1, [_unix(str(path))], tls, path)
        if address.startswith("unix-abstract:"):
            return Port(1, [_unix("\0" + address.removeprefix("unix-abstract:"))], tls)
        return _bind_tcp(address, reuse_port=reuse_port, tls=tls)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"Failed to bind to address {address}: {error}") from error


def _unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if not path.startswith("\0") and Path(path).is_socket() and not _is_served(path):
            Path(path).unlink()
        sock.setblocking(False)
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    return sock


def _is_served(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
        return True


def _bind_tcp(address: str, *, reuse_port: bool, tls: TlsCredentials | None) -> Port:
    for scheme in ("dns:///", "dns:", "ipv4:", "ipv6:"):
        address = address.removeprefix(scheme)
    host, found, digits = address.rpartition(":")
    if not found or (":" in host and not host.startswith("[")):
        host, digits = address, "0"
    number = int(digits)
    if not 0 <= number <= _LAST_PORT:
        raise ValueError(f"{number} is not a port")
    host = host.removeprefix("[").removesuffix("]")
    found_addresses = socket.getaddrinfo(host or None, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    port = Port(number, [], tls)
    try:
        for family, kind, protocol, _, where in dict.fromkeys(found_addresses):
            sock = _tcp(family, kind, protocol, (where[0], port.number, *where[2:]), reuse_port=reuse_port)
            if sock is not None:
                port.sockets.append(sock)
                port.number = sock.getsockname()[1]
    except OSError:
        port.close()
        raise
    if not port.sockets:
        raise OSError("no address of that name can be used here")
    return port


def _tcp(family: int, kind: int, protocol: int, where: tuple[object, ...], *, reuse_port: bool) -> socket.socket | None:
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError:
        # A family that this machine does not have.
        return None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(where[0] != "::"))
        sock.setblocking(False)
        sock.bind(where)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
