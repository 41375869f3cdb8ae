"""Addresses in settings, taken apart: where to listen, a MySQL DSN. Those of Redis are in redis_addresses.py.

What these functions raise says what is wrong and repeats nothing of a DSN: it is secret.
"""

import os
from dataclasses import dataclass, field
from urllib.parse import parse_qs, quote, unquote, urlsplit

# The kernel's sun_path holds 108 bytes, the closing zero among them.
UNIX_PATH_LIMIT = 107


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens: a host and port, or the path of a unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MySqlAddress:
    """A MySQL DSN taken apart. `str` gives it without the password."""

    user: str
    password: str = field(repr=False)
    host: str
    port: int
    database: str
    unix_socket: str | None = None

    def __str__(self) -> str:
        return f"{self.database} at {self.unix_socket or f'{self.host}:{self.port}'}"


def parse_listen(text: str) -> ListenAddress:
    """`HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Port 0 asks for any free one."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ValueError("needs a path after unix:")
        check_socket_path(path)
        return ListenAddress(path=path)
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit():
        raise ValueError("must be HOST:PORT or unix:PATH")
    if int(port) > 65535:
        raise ValueError("has a port above 65535")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare and bare == host:
        raise ValueError("needs brackets around an IPv6 address, as in [::1]:7700")
    return ListenAddress(host=bare, port=int(port))


def parse_mysql_dsn(dsn: str) -> MySqlAddress:
    """`mysql://user:password@host:3306/database`, or with `?unix_socket=PATH`.

    Reserved characters in user, password and path are percent-encoded. Raises ValueError.
    """
    try:
        parts = urlsplit(dsn)
        port = parts.port
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("is not a URL: mysql://user:password@host:3306/database") from None
    if parts.scheme != "mysql":
        raise ValueError("must begin with mysql://")
    if not parts.username:
        raise ValueError("needs a user: mysql://user:password@host:3306/database")
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise ValueError("needs one database name after the host")
    if unknown := sorted(set(query) - {"unix_socket"}):
        raise ValueError(f"has an unknown option {unknown[0]!r}; unix_socket is the only one")
    unix_socket = query["unix_socket"][-1] if "unix_socket" in query else None
    if unix_socket is not None:
        check_socket_path(unix_socket)
    elif not parts.hostname:
        raise ValueError("needs a host or ?unix_socket=PATH")
    return MySqlAddress(
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        host=parts.hostname or "localhost",
        port=port or 3306,
        database=database,
        unix_socket=unix_socket,
    )


def mysql_dsn(address: MySqlAddress) -> str:
    """The DSN of an address, password included."""
    secret = f":{quote(address.password, safe='')}" if address.password else ""
    host = f"[{address.host}]" if ":" in address.host else address.host
    where = f"{quote(address.user, safe='')}{secret}@{host}:{address.port}"
    option = f"?unix_socket={quote(address.unix_socket)}" if address.unix_socket else ""
    return f"mysql://{where}/{quote(address.database, safe='')}{option}"


def check_socket_path(path: str) -> None:
    """Refuses a path that the kernel could not bind."""
    if not path or len(os.fsencode(path)) > UNIX_PATH_LIMIT:
        raise ValueError(f"needs a socket path of 1 to {UNIX_PATH_LIMIT} bytes")
