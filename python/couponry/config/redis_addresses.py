"""Addresses of Redis in settings: one server, a master watched by Sentinels, or a Cluster; the scheme says which.

What these functions raise says what is wrong and repeats nothing of the address: it is secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from couponry.config.addresses import check_socket_path

__all__ = ["RedisAddress", "RedisKind", "parse_redis_url", "redis_place"]

_EXAMPLES: Final = {
    "redis+sentinel": "redis+sentinel://host:26379,host2:26379/master",
    "redis+cluster": "redis+cluster://host:6379,host2:6379",
}
_SINGLE: Final = frozenset({"redis", "rediss", "unix"})
_PORTS: Final = {"redis+sentinel": 26379, "redis+cluster": 6379}
_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_OPTIONS: Final = {
    "redis+sentinel": _TLS_OPTIONS | {"sentinel_username", "sentinel_password"},
    "redis+cluster": _TLS_OPTIONS,
}
_LARGEST_DB: Final = 1_000_000


class RedisKind(StrEnum):
    """How the servers behind an address are organised."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """An address taken apart; of a SINGLE one only `url` counts. `str` gives where it is, without any password."""

    kind: RedisKind
    url: str = field(repr=False)
    nodes: tuple[tuple[str, int], ...] = ()
    master: str = ""
    db: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        if self.kind is RedisKind.SINGLE:
            parts = urlsplit(self.url)
            return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
        nodes = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.nodes)
        return f"{nodes} (Cluster)" if self.kind is RedisKind.CLUSTER else f"{self.master} of Sentinels {nodes}"


def parse_redis_url(url: str) -> RedisAddress:
    """`redis://`, `rediss://` (TLS) or `unix://`: one server, as redis-py reads it;
    `redis+sentinel://user:password@sentinel:26379,sentinel2:26379/master/db?sentinel_password=…`;
    `redis+cluster://user:password@node:6379,node2:6379`; both also as `rediss+…` (TLS).

    Raises ValueError.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL: redis://host:6379/0") from None
    if parts.scheme in _SINGLE:
        _check_single(url)
        return RedisAddress(RedisKind.SINGLE, url)
    scheme = parts.scheme.replace("rediss+", "redis+", 1)
    if scheme not in _EXAMPLES:
        raise ValueError("must begin with redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://")
    credentials, _, places = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    query = parse_qs(parts.query, keep_blank_values=True)
    if unknown := sorted(set(query) - _OPTIONS[scheme]):
        raise ValueError(f"has an unknown option {unknown[0]!r}; {', '.join(sorted(_OPTIONS[scheme]))} are known")
    master, db = _path(scheme, parts.path)
    return RedisAddress(
        kind=RedisKind.SENTINEL if master else RedisKind.CLUSTER,
        url=url,
        nodes=_nodes(scheme, places),
        master=master,
        db=db,
        tls=parts.scheme.startswith("rediss+"),
        username=unquote(username) or None,
        password=unquote(password) or None,
        options={name: values[-1] for name, values in query.items()},
    )


def redis_place(url: str) -> str:
    """Where a Redis URL points, without user and password."""
    return str(parse_redis_url(url))


def _check_single(url: str) -> None:
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: redis://host:6379/0") from None
    if parts.scheme == "unix":
        check_socket_path(parts.path)
    elif not parts.hostname:
        raise ValueError("needs a host: redis://host:6379/0")


def _nodes(scheme: str, places: str) -> tuple[tuple[str, int], ...]:
    nodes = []
    for place in places.split(","):
        try:
            parts = urlsplit(f"//{place}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host:
            raise ValueError(f"needs hosts, separated by commas: {_EXAMPLES[scheme]}")
        nodes.append((host, port or _PORTS[scheme]))
    return tuple(nodes)


def _path(scheme: str, path: str) -> tuple[str, int]:
    """The name of the master and the database; a Cluster has neither."""
    parts = [unquote(part) for part in path.strip("/").split("/")] if path.strip("/") else []
    if scheme == "redis+cluster":
        if parts and parts != ["0"]:
            raise ValueError(f"must not name a database, a Cluster has one: {_EXAMPLES[scheme]}")
        return "", 0
    db = parts[1] if len(parts) > 1 else "0"
    if not parts or len(parts) > 2 or not (db.isascii() and db.isdigit() and int(db) < _LARGEST_DB):
        raise ValueError(f"needs the name of the master after the Sentinels: {_EXAMPLES[scheme]}")
    return parts[0], int(db)
