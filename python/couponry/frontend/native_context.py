"""What a servicer sees of its call: `grpc.aio.ServicerContext` over the extension's call. One object per call, so it
keeps little and computes the rest when it is asked for.
"""

import asyncio
import functools
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar
from urllib.parse import quote

import grpc
import grpc.aio

from couponry._core import Call

__all__ = ["Context", "Metadatum", "SyncContext", "SyncMessages", "code_number"]

Metadata = Sequence[tuple[str, str | bytes]]
Answer = TypeVar("Answer")

_OK = 0
_RESOURCE_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_INTERNAL = grpc.StatusCode.INTERNAL.value[0]
_UNKNOWN = grpc.StatusCode.UNKNOWN.value[0]
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}

_MUST_WAIT = 1
_TOO_LARGE = 2


class Metadatum(NamedTuple):
    """One entry of a request's metadata."""

    key: str
    value: str | bytes


def code_number(code: grpc.StatusCode | int) -> int:
    """The number of a status code; one that gRPC does not know is UNKNOWN."""
    if isinstance(code, grpc.StatusCode):
        number: int = code.value[0]
        return number
    return code if code in _BY_NUMBER else _UNKNOWN


class Context(grpc.aio.ServicerContext[Any, Any]):
    """The context of one call."""

    __slots__ = (
        "_aborted",
        "_call",
        "_callbacks",
        "_code",
        "_deserialize",
        "_details",
        "_encoding",
        "_ended",
        "_initial_sent",
        "_loop",
        "_max_send",
        "_metadata",
        "_next_plain",
        "_serialize",
        "_trailing",
    )

    def __init__(self, call: Call, loop: asyncio.AbstractEventLoop, encoding: int, max_send: int) -> None:
        self._call = call
        self._loop = loop
        self._max_send = max_send
        self._deserialize: Callable[[bytes], Any] | None = None
        self._serialize: Callable[[Any], bytes] | None = None
        self._code: int | None = None
        self._details = ""
        self._trailing: Metadata = ()
        self._metadata: tuple[Metadatum, ...] | None = None
        self._callbacks: list[Callable[[Any], None]] | None = None
        self._aborted: grpc.aio.AbortError | None = None
        self._ended = False
        self._initial_sent = False
        self._encoding = 0
        self._next_plain = False
        if encoding:
            self.set_compression(grpc.Compression(encoding))

    # Messages

    async def read(self) -> Any:
        """The next request message, or `grpc.aio.EOF`."""
        data = await self.read_bytes()
        if data is None:
            return grpc.aio.EOF
        return data if self._deserialize is None else self._deserialize(data)

    async def read_bytes(self) -> bytes | None:
        """The next request message as it came; None at the end."""
        self.raise_if_over()
        while True:
            data = self._call.read()
            if data is True:
                raise asyncio.CancelledError
            if data is not False:
                return data
            ready: asyncio.Future[None] = self._loop.create_future()
            self._call.set_reader(ready)
            await ready

    async def messages(self) -> AsyncIterator[Any]:
        """The request messages that are still to come."""
        while (message := await self.read()) is not grpc.aio.EOF:
            yield message

    async def write(self, message: Any) -> None:
        """Sends a response message; returns when the next one may be sent."""
        self.raise_if_over()
        data = self.to_bytes(message)
        sent = self._call.send(data, self._takes_compression())
        self._initial_sent = True
        if sent == 0:
            return
        if sent == _MUST_WAIT:
            ready: asyncio.Future[None] = self._loop.create_future()
            self._call.set_writer(ready)
            await ready
        elif sent == _TOO_LARGE:
            self.refuse_size(len(data))
        else:
            raise asyncio.CancelledError

    def use(self, deserialize: Callable[[bytes], Any] | None, serialize: Callable[[Any], bytes] | None) -> None:
        """Says how messages become bytes."""
        self._deserialize = deserialize
        self._serialize = serialize

    def to_bytes(self, message: Any) -> bytes:
        """A response message as it is sent."""
        if self._serialize is not None:
            return self._serialize(message)
        if isinstance(message, str):
            return message.encode()
        return b"" if message is None else bytes(message)

    def _takes_compression(self) -> bool:
        if not self._encoding:
            return False
        plain, self._next_plain = self._next_plain, False
        return not plain

    # The end

    def finish(self, message: Any = None, *, has_message: bool = False) -> None:
        """Ends the call as the code says that was set; the message is sent only with OK."""
        if self._ended:
            self.raise_if_over()
        code = self._code or _OK
        if has_message and code == _OK:
            data = self.to_bytes(message)
            if len(data) > self._max_send:
                self.refuse_size(len(data))
            self._end(code, self._details, self._trailing, data)
        else:
            self._end(code, self._details, self._trailing)

    def fail(self, error: BaseException) -> None:
        """Ends the call because its handler raised."""
        if not self._ended:
            self._end(self._code or _UNKNOWN, f"Unexpected {type(error)}: {error}", self._trailing)

    def fail_with(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the call with a status of the server's own."""
        if not self._ended:
            self._end(code_number(code), details, ())

    def refuse_size(self, size: int) -> NoReturn:
        """Ends the call for a response that is too large."""
        details = f"SERVER: Sent message larger than max ({size} vs. {self._max_send})"
        self._aborted = grpc.aio.AbortError(details)
        self._end(_RESOURCE_EXHAUSTED, details, ())
        raise self._aborted

    def _end(self, code: int, details: str, trailing: Metadata, data: bytes | None = None) -> None:
        self._ended = True
        self._code = code
        self._details = details
        compress = data is not None and self._takes_compression()
        try:
            self._call.finish(code, details, trailing or None, data, compress)
        except (TypeError, ValueError):
            self._call.finish(_INTERNAL, "Invalid metadata", None)

    def raise_if_over(self) -> None:
        """Raises what ended the call, if it is over."""
        if self._aborted is not None:
            raise self._aborted
        if self._ended:
            raise grpc.aio.UsageError("RPC already finished.")

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        """Ends the call with a status and raises."""
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        number = code_number(code)
        assert number != _OK, "Expecting non-ok status code."  # noqa: S101 - what grpc.aio raises
        if trailing_metadata:
            self.set_trailing_metadata(trailing_metadata)
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        if not self._ended:
            self._end(number, details or self._details, self._trailing)
        raise self._aborted

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """Ends the call with a rich status and raises."""
        await self.abort(status.code, status.details, status.trailing_metadata)
        raise AssertionError("abort does not return")

    def set_code(self, code: grpc.StatusCode | int) -> None:
        """The code that the call will end with."""
        self._code = code_number(code)

    def set_details(self, details: str) -> None:
        """The details that the call will end with."""
        self._details = details

    def code(self) -> Any:
        """The number that was set; None before."""
        return self._code

    def details(self) -> str:
        """The details that were set."""
        return self._details

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._ended or self._call.cancelled

    def cancelled(self) -> bool:
        """Whether the call ended before its handler did: by the client, its deadline, or a lost connection."""
        return self._call.cancelled

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Calls `callback` with this context when the handler has ended."""
        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(callback)

    def run_callbacks(self) -> None:
        """Tells those who wanted to know that the handler has ended."""
        callbacks, self._callbacks = self._callbacks or (), None
        for callback in callbacks:
            self._loop.call_soon(callback, self)

    # Metadata and compression

    def invocation_metadata(self) -> Any:
        """What the client sent, `-bin` values decoded."""
        if self._metadata is None:
            self._metadata = tuple(map(Metadatum._make, self._call.metadata()))
        return self._metadata

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends the headers in front of the messages, once."""
        self.raise_if_over()
        if self._initial_sent:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        try:
            self._initial_sent = self._call.send_initial(tuple(initial_metadata), self._encoding, True)
        except (TypeError, ValueError):
            self._end(_INTERNAL, "Invalid metadata", ())
            raise

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """The metadata that the call will end with."""
        trailing = tuple(trailing_metadata)
        for entry in trailing:
            if not (
                isinstance(entry, tuple)
                and len(entry) == 2
                and isinstance(entry[0], str)
                and isinstance(entry[1], str | bytes)
            ):
                raise TypeError(
                    "Invalid trailing metadata type, expected Tuple[Tuple[str, Union[str, bytes]]...]: "
                    f"{trailing_metadata}"
                )
        self._trailing = trailing

    def trailing_metadata(self) -> Any:
        """The metadata that the call will end with, as set so far."""
        return self._trailing

    def set_compression(self, compression: grpc.Compression) -> None:
        """How messages of this call are compressed, where the client takes that."""
        if self._initial_sent:
            raise RuntimeError("Compression setting must be specified before sending initial metadata")
        encoding = int(compression)
        self._encoding = encoding if self._call.accepts(encoding) else 0
        self._call.send_initial(None, self._encoding, False)

    def disable_next_message_compression(self) -> None:
        """Sends the next message as it is."""
        self._next_plain = True

    @property
    def request_compressed(self) -> bool:
        """Whether the request message that was read last came compressed. grpc.aio does not tell."""
        return self._call.request_compressed

    # The peer

    def time_remaining(self) -> Any:
        """Seconds until the deadline, 0 after it; None without one."""
        return self._call.time_remaining()

    def peer(self) -> str:
        """The address of the peer as gRPC writes it."""
        return _peer(self._extra("socket"), self._extra("peername"))

    def peer_identities(self) -> Any:
        """The names in the client's certificate."""
        key = self.peer_identity_key()
        return None if key is None else self.auth_context()[key]

    def peer_identity_key(self) -> str | None:
        """The property of `auth_context` that holds the client's names; None without a client certificate."""
        auth = self.auth_context()
        for key in ("x509_subject_alternative_name", "x509_common_name"):
            if key in auth:
                return key
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """What is known of the connection's security and the client's certificate."""
        connection: ssl.SSLObject | None = self._extra("ssl_object")
        if connection is None:
            return {"transport_security_type": [b"insecure"], "security_level": [b"TSI_SECURITY_NONE"]}
        return _auth_context(connection)

    def _extra(self, name: str) -> Any:
        transport = self._call.transport
        return None if transport is None else transport.get_extra_info(name)


def _peer(socket: Any, address: Any) -> str:
    if isinstance(address, tuple):
        host, port = address[0], address[1]
        if ":" in host:
            return f"ipv6:{quote(f'[{host}]', safe=':')}:{port}"
        return f"ipv4:{host}:{port}"
    if socket is None:
        return "unknown"
    if isinstance(address, bytes):
        return f"unix-abstract:{address[1:].decode(errors='replace')}"
    return f"unix:{address or ''}"


def _auth_context(connection: ssl.SSLObject) -> dict[str, list[bytes]]:
    auth = {
        "transport_security_type": [b"ssl"],
        "security_level": [b"TSI_PRIVACY_AND_INTEGRITY"],
        "ssl_session_reused": [b"true" if connection.session_reused else b"false"],
    }
    certificate: Any = connection.getpeercert()
    binary = connection.getpeercert(binary_form=True)
    if not certificate or binary is None:
        return auth
    subject = [part for parts in certificate.get("subject", ()) for part in parts]
    common = [value.encode() for name, value in subject if name == "commonName"]
    if common:
        auth["x509_common_name"] = common
    alternative = [value.encode() for _, value in certificate.get("subjectAltName", ())]
    if alternative:
        auth["x509_subject_alternative_name"] = alternative
    auth["x509_pem_cert"] = [ssl.DER_cert_to_PEM_cert(binary).encode()]
    return auth


class SyncContext:
    """The context of a handler that is no coroutine and runs on a thread."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    def _wait(self, coroutine: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn:
        """Ends the call with a status and raises."""
        self._wait(self._context.abort(code, details))
        raise AssertionError("abort does not return")

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """Ends the call with a rich status and raises."""
        self._wait(self._context.abort_with_status(status))
        raise AssertionError("abort does not return")

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends the headers in front of the messages."""
        self._wait(self._context.send_initial_metadata(initial_metadata))

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Calls `callback` when the call is over. False where it is over already."""
        if not self.is_active():
            return False
        self._loop.call_soon_threadsafe(self._context.add_done_callback, lambda _: callback())
        return True

    def is_active(self) -> bool:
        """Whether the client still waits for the call."""
        return not self._context.done()

    def __getattr__(self, name: str) -> Any:
        """Everything that neither waits nor sends is the same as in the other context."""
        if name in _SAME_ON_A_THREAD:
            return getattr(self._context, name)
        raise AttributeError(name)


_SAME_ON_A_THREAD = frozenset(
    {
        "auth_context",
        "cancelled",
        "code",
        "details",
        "disable_next_message_compression",
        "invocation_metadata",
        "peer",
        "peer_identities",
        "peer_identity_key",
        "request_compressed",
        "set_code",
        "set_compression",
        "set_details",
        "set_trailing_metadata",
        "time_remaining",
        "trailing_metadata",
    }
)


class SyncMessages(Iterator[Any]):
    """The request messages for a handler on a thread."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._read = functools.partial(_read_from_thread, context, loop)

    def __next__(self) -> Any:
        message = self._read()
        if message is grpc.aio.EOF:
            raise StopIteration
        return message


def _read_from_thread(context: Context, loop: asyncio.AbstractEventLoop) -> Any:
    return asyncio.run_coroutine_threadsafe(context.read(), loop).result()
