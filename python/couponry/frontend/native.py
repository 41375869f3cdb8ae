"""The native front end: HTTP/2 and gRPC in the extension, sockets, TLS and timers in uvloop. `NativeServer` stands in
for `grpc.aio.Server`: the same `add_…Servicer_to_server` functions, servicers and interceptors run on it unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
import grpc.aio

from couponry._core import L1, Call, ClaimBatcher, Engine
from couponry.config import ServerSettings
from couponry.discount import Rules
from couponry.frontend.native_calls import Method, method_of, serve
from couponry.frontend.native_context import Context, Metadatum
from couponry.frontend.native_health import HEALTH_CHECK, HealthServicer
from couponry.frontend.native_ports import Port, TlsCredentials, bind, tls_credentials

__all__ = ["NativeServer", "TlsCredentials", "make_server", "tls_credentials"]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
# The payloads of these keys, without those that only the method's handler can answer for.
Fetch: TypeAlias = "Callable[[Sequence[str]], Awaitable[dict[str, bytes]]]"

_MAX_METADATA_BYTES = 16 * 1024
_MIN_PING_INTERVAL_MS = 9_000
_HANDSHAKE_TIMEOUT_S = 10
_TLS_SHUTDOWN_TIMEOUT_S = 1
_BACKLOG = 4096
# What clients get to close their connections after GOAWAY, once no call is left.
_GOODBYE_S = 0.5
# gRPC's own "no limit".
_INT_MAX = 2**31 - 1

# grpc.aio's options by the engine's names; those that end in _ms become seconds, and INT_MAX never.
_OPTIONS = {
    "grpc.max_receive_message_length": "max_receive_message",
    "grpc.max_send_message_length": "max_send_message",
    "grpc.max_metadata_size": "max_metadata",
    "grpc.max_concurrent_streams": "max_concurrent_streams",
    "grpc.max_connection_idle_ms": "max_idle_s",
    "grpc.max_connection_age_ms": "max_age_s",
    "grpc.max_connection_age_grace_ms": "max_age_grace_s",
    "grpc.keepalive_time_ms": "keepalive_s",
    "grpc.keepalive_timeout_ms": "keepalive_timeout_s",
    "grpc.keepalive_permit_without_calls": "keepalive_without_calls",
    "grpc.http2.min_recv_ping_interval_without_data_ms": "min_ping_interval_s",
    "grpc.http2.max_ping_strikes": "max_ping_strikes",
    "grpc.server_handshake_timeout_ms": "preface_timeout_s",
    "couponry.stall_timeout_ms": "stall_timeout_s",
    "couponry.max_connections": "max_connections",
}
_OPTIONAL = frozenset({"max_idle_s", "max_age_s", "max_age_grace_s", "keepalive_s"})


@dataclass(frozen=True, slots=True)
class _CallDetails(grpc.HandlerCallDetails):
    """What interceptors and generic handlers are asked with."""

    method: str
    invocation_metadata: tuple[Metadatum, ...]


@dataclass(frozen=True, slots=True)
class _FromL1:
    """A method that is answered from L1."""

    l1: L1
    kind: str
    key_field: int
    item_field: int
    many: bool
    fetch: Fetch | None


@dataclass(frozen=True, slots=True)
class _Calculations:
    """CalculateDiscount over the users and templates that L1 holds."""

    l1: L1
    user_kind: str
    template_kind: str
    rules: Rules
    fetch: Fetch


def make_server(settings: ServerSettings, *, reuse_port: bool) -> NativeServer:
    """A server without ports and servicers. `reuse_port` lets several workers share one port."""
    return NativeServer(
        options=(
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", settings.max_message_bytes),
            ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MS),
            ("grpc.so_reuseport", int(reuse_port)),
        )
    )


class NativeServer(grpc.aio.Server):
    """A gRPC server with the interface of `grpc.aio.Server` and the arguments of `grpc.aio.server`.

    Options of grpc.aio that it does not know are ignored, as grpc.aio ignores them. Its own are
    `couponry.max_connections` and `couponry.stall_timeout_ms`.
    """

    def __init__(  # noqa: PLR0917 - as grpc.aio.server
        self,
        migration_thread_pool: Executor | None = None,
        handlers: Sequence[grpc.GenericRpcHandler] | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] | None = None,
        options: Sequence[tuple[str, Any]] | None = None,
        maximum_concurrent_rpcs: int | None = None,
        compression: grpc.Compression | None = None,
    ) -> None:
        given: Sequence[object] = interceptors or ()
        wrong = [each for each in given if not isinstance(each, grpc.aio.ServerInterceptor)]
        if wrong:
            raise ValueError(f"Interceptor must be ServerInterceptor, the following are invalid: {wrong}")
        self._pool = migration_thread_pool
        self._generic: list[grpc.GenericRpcHandler] = list(handlers or ())
        self._registered: dict[str, Handler] = {}
        self._interceptors = tuple(interceptors or ())
        self._options = dict(options or ())
        self._max_calls = maximum_concurrent_rpcs
        self._encoding = 0 if compression is None else int(compression)
        self._hot: dict[str, _FromL1 | _Calculations | HealthServicer | ClaimBatcher] = {}
        self._batched: dict[str, Callable[[list[Call]], None]] = {}
        self._fetches: dict[str, Fetch] = {}
        self._ports: list[Port] = []
        self._listeners: list[asyncio.Server] = []
        self._methods: list[Method] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = False
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection_left = asyncio.Event()
        self._terminated = asyncio.Event()
        limit = int(self._options.get("grpc.max_send_message_length", -1))
        self._max_send = limit if limit >= 0 else _INT_MAX

    def __del__(self) -> None:
        """Leaves no socket behind that was bound and never served."""
        for port in getattr(self, "_ports", ()):
            port.close()

    # Before the start

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Adds handlers that are asked, in their order, for each method that is not registered."""
        self._generic.extend(generic_rpc_handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Adds a service's methods by their names."""
        for name, handler in method_handlers.items():
            self._registered[f"/{service_name}/{name}"] = handler

    def add_insecure_port(self, address: str) -> int:
        """Binds an address; the port number, 1 for a unix socket. RuntimeError if it cannot be bound."""
        return self._bind(address, None)

    def add_secure_port(self, address: str, server_credentials: Any) -> int:
        """Binds an address for TLS with what `tls_credentials` made. grpc's own credentials hide their keys."""
        if not isinstance(server_credentials, TlsCredentials):
            raise TypeError("NativeServer takes credentials made by couponry.frontend.native.tls_credentials")
        return self._bind(address, server_credentials)

    def _bind(self, address: str, tls: TlsCredentials | None) -> int:
        port = bind(address, reuse_port=bool(self._options.get("grpc.so_reuseport", 1)), tls=tls)
        self._ports.append(port)
        return port.number

    def answer_from_l1(
        self,
        method: str,
        l1: L1,
        kind: str,
        *,
        key_field: int = 1,
        item_field: int = 1,
        many: bool = False,
        fetch: Fetch | None = None,
    ) -> None:
        """Answers a unary method inside the extension where L1 has the answer.

        `method` is `/package.Service/Method`. A request that holds nothing but the varint `key_field` (with `many`:
        nothing but that repeated field) is looked up by that number in decimal; the payload of the entry becomes
        message field `item_field` of the response, once for each key; with an `item_field` of 0 it is the response. Any
        other request goes to the method's handler.

        The misses of one turn of a connection go to `fetch` as one list of keys, in one task, and are answered inside
        the extension with what it brings. Those that need a key which it does not bring are the handler's, and so is
        every miss without a `fetch`. It must not raise. Hot methods do not pass interceptors: a server that has any
        answers none of them here.
        """
        self._hot[method] = _FromL1(l1, kind, key_field, item_field, many, fetch)

    def answer_calculations(
        self, method: str, l1: L1, rules: Rules, *, user_kind: str, template_kind: str, fetch: Fetch
    ) -> None:
        """Answers CalculateDiscount inside the extension from the user's live coupons and their templates in L1.

        `fetch` brings what is missing into L1; its keys are `kind:key`. The handler answers the same to the same call,
        and has all calls that are not plain: codes, what-ifs, budgets, coupons that are not live, anything wrong.
        """
        self._hot[method] = _Calculations(l1, user_kind, template_kind, rules, fetch)

    def answer_in_batches(self, method: str, answer: Callable[[list[Call]], None]) -> None:
        """Hands the calls of a unary method to `answer` as one list for each turn of a connection, with no task and no
        context each. `call.request()` is the request's bytes; `call.finish(code, details, trailers, message)` ends a
        call and may come at any later time. As with other hot methods, a server with interceptors does not do this.
        """
        self._batched[method] = answer

    def answer_claims(self, method: str, claims: ClaimBatcher) -> None:
        """Hands plain claims of a unary method to the batcher, which tells the verdicts; others go to the handler."""
        self._hot[method] = claims

    def answer_health(self) -> HealthServicer:
        """A health servicer to add and to set, whose Check is answered inside the extension."""
        health = HealthServicer()
        self._hot[HEALTH_CHECK] = health
        return health

    # Life

    async def start(self) -> None:
        """Begins to serve. Once only."""
        if self._started:
            raise grpc.aio.UsageError("Server already started.")
        self._started = True
        loop = self._loop = asyncio.get_running_loop()
        engine = self._engine = Engine(loop, self._dispatch, self._connection_left.set, self._limits())
        self._fill_routes(engine)
        for port in self._ports:
            for sock in port.sockets:
                self._listeners.append(await self._listen(loop, engine, sock, port.tls))

    @staticmethod
    async def _listen(
        loop: asyncio.AbstractEventLoop, engine: Engine, sock: socket.socket, tls: TlsCredentials | None
    ) -> asyncio.Server:
        create: Any = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        settings: dict[str, Any] = {"sock": sock, "backlog": _BACKLOG}
        if tls is not None:
            settings |= {
                "ssl": tls.context,
                "ssl_handshake_timeout": _HANDSHAKE_TIMEOUT_S,
                "ssl_shutdown_timeout": _TLS_SHUTDOWN_TIMEOUT_S,
            }
        listener: asyncio.Server = await create(engine.protocol, **settings)
        return listener

    async def stop(self, grace: float | None) -> None:
        """Takes no new connections, tells peers to go away, and ends what still runs after `grace` seconds. A later
        call with less grace ends it sooner.
        """
        for listener in self._listeners:
            listener.close()
        engine = self._engine
        if engine is not None:
            if grace:
                engine.drain()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace):
                        await self._quiet(engine)
            engine.stop()
            while self._tasks:
                await asyncio.wait(self._tasks)
        for port in self._ports:
            port.close()
        self._terminated.set()

    async def wait_for_termination(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109 - as grpc.aio.Server
        """Waits until the server is stopped. True if `timeout` seconds passed before."""
        try:
            async with asyncio.timeout(timeout):
                await self._terminated.wait()
        except TimeoutError:
            return True
        return False

    async def _quiet(self, engine: Engine) -> None:
        """Waits until no call is left, and for clients to close, but not long for those that do not."""
        while self._tasks or engine.calls:
            self._connection_left.clear()
            left = asyncio.ensure_future(self._connection_left.wait())
            try:
                await asyncio.wait((*self._tasks, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                left.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                while engine.connections:
                    self._connection_left.clear()
                    await self._connection_left.wait()

    def _limits(self) -> dict[str, Any]:
        limits: dict[str, Any] = {}
        for option, value in self._options.items():
            name = _OPTIONS.get(option)
            if name is None:
                continue
            if option.endswith("_ms"):
                endless = value >= _INT_MAX and name in _OPTIONAL
                limits[name] = None if endless else value / 1000
            elif name.startswith(("max_receive", "max_send")):
                limits[name] = value if value >= 0 else _INT_MAX
            elif name == "keepalive_without_calls":
                limits[name] = bool(value)
            else:
                limits[name] = value
        return limits

    def _fill_routes(self, engine: Engine) -> None:
        handlers = dict(self._registered)
        self._methods = [method_of(handler, self._pool) for handler in handlers.values()]
        routes = [(path, not method.request_streaming) for path, method in zip(handlers, self._methods, strict=True)]
        engine.set_routes(routes, bool(self._generic or self._interceptors))
        for path in self._batched:
            if path not in handlers or self._methods[list(handlers).index(path)].request_streaming:
                raise KeyError(f"{path} is not a registered method with a unary request")
        if self._interceptors:
            self._batched.clear()
            return
        for path, hot in self._hot.items():
            if isinstance(hot, HealthServicer):
                engine.answer_health(path, hot.table)
            elif isinstance(hot, ClaimBatcher):
                engine.answer_claims(path, hot)
            elif isinstance(hot, _Calculations):
                engine.answer_calculations(path, hot.l1, hot.user_kind, hot.template_kind, hot.rules)
                self._fetches[path] = hot.fetch
            else:
                engine.answer_from_l1(path, hot.l1, hot.kind, hot.key_field, hot.item_field, hot.many)
                if hot.fetch is not None:
                    self._fetches[path] = hot.fetch

    # Calls

    def _dispatch(self, calls: list[Call]) -> None:
        """Starts the handlers of the calls that came in one turn of a connection."""
        if self._batched:
            calls = self._dispatch_batches(calls)
        if self._fetches:
            calls = self._dispatch_misses(calls)
        self._serve(calls)

    def _serve(self, calls: list[Call]) -> None:
        loop = self._loop
        assert loop is not None  # noqa: S101 - set before the first connection
        tasks = self._tasks
        for call in calls:
            if self._max_calls is not None and len(tasks) >= self._max_calls:
                call.finish(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "Concurrent RPC limit exceeded!", None)
                continue
            context = Context(call, loop, self._encoding, self._max_send)
            route = call.route
            known = None if route is None or self._interceptors else self._methods[route]
            task = loop.create_task(serve(call, context, known, self._find))
            call.set_task(task)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _dispatch_batches(self, calls: list[Call]) -> list[Call]:
        """Hands on the calls of methods that are answered in batches; the others."""
        others: list[Call] = []
        batches: dict[str, list[Call]] = {}
        for call in calls:
            (batches.setdefault(call.path, []) if call.path in self._batched else others).append(call)
        for path, batch in batches.items():
            self._batched[path](batch)
        return others

    def _dispatch_misses(self, calls: list[Call]) -> list[Call]:
        """Fetches what hot methods missed; the calls that only a handler can answer."""
        others: list[Call] = []
        missed: dict[Fetch, tuple[list[Call], dict[str, None]]] = {}
        for call in calls:
            fetch = self._fetches.get(call.path)
            keys = None if fetch is None else call.hot_keys()
            if fetch is None or not keys:
                others.append(call)
                continue
            waiting, wanted = missed.setdefault(fetch, ([], {}))
            waiting.append(call)
            wanted.update(dict.fromkeys(keys))
        for fetch, (waiting, wanted) in missed.items():
            task = asyncio.ensure_future(self._fetch(fetch, waiting, list(wanted)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return others

    async def _fetch(self, fetch: Fetch, calls: list[Call], keys: list[str]) -> None:
        found = await fetch(keys)
        self._serve([call for call in calls if not call.cancelled and not call.answer_hot(found)])

    async def _find(self, call: Call, context: Context) -> Method | None:
        details = _CallDetails(call.path, context.invocation_metadata())
        ask: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]] = self._handler
        for interceptor in reversed(self._interceptors):
            ask = functools.partial(interceptor.intercept_service, ask)
        handler = await ask(details)
        return None if handler is None else method_of(handler, self._pool)

    async def _handler(self, details: grpc.HandlerCallDetails) -> Handler | None:
        registered = self._registered.get(details.method)
        if registered is not None:
            return registered
        for generic in self._generic:
            handler = generic.service(details)
            if handler is not None:
                return handler
        return None
