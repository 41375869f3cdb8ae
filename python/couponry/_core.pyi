"""The extension module: conversions to the Rust crates under rust/. Checked against the module by stubtest."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias, final

from couponry.discount.inputs import Cart, Coupon, Rules, Terms
from couponry.discount.rows import (
    AppliedRow,
    CertificateRow,
    HintRow,
    LineRow,
    RejectedRow,
    ShipmentRow,
    Told,
)

__all__ = [
    "L1",
    "Binlog",
    "BinlogSource",
    "Call",
    "ClaimBatch",
    "ClaimBatcher",
    "ClaimLink",
    "CodeKey",
    "Engine",
    "Fill",
    "HealthTable",
    "Outcome",
    "Protocol",
    "TellStream",
    "Wins",
    "best_cart",
    "best_carts",
    "check_terms",
    "lua_scripts",
    "price_cart",
    "price_each",
]

# Scripts (rust/core/src/scripts.rs)

def lua_scripts() -> list[tuple[str, str]]:
    """Every Redis script of lua/ as (name without ending, text)."""

# The binlog (rust/core/src/binlog.rs). A place is its identity and its digits, as Redis holds it.

_Place: TypeAlias = tuple[bytes, bytes]

@final
class BinlogSource:
    """A server whose binlog may be read, and the account to do it; `schema` is the database of the cached tables."""

    def __new__(
        cls, *, host: str, port: int, unix_socket: str | None, user: str, password: str, schema: str
    ) -> BinlogSource: ...
    def problem(self) -> tuple[Literal["no_log", "not_allowed", "unreachable"], str] | None:
        """What keeps it from being read, and the same in words; None where nothing does. Blocks while it asks."""

@final
class Binlog:
    """A reader that raises L1's floors, on threads of its own, and measures how fresh L1 is.

    It begins at `start`, or where the log is now. ValueError for a start that is no place.
    """

    def __new__(cls, source: BinlogSource, l1: L1, start: _Place | None = None) -> Binlog: ...
    def passed(self) -> _Place | None:
        """Every event before it is in the floors. None: it has no place, yet or any longer."""

    def first(self) -> _Place | None:
        """Where it began, since it started or since it lost its place."""

    def figures(self) -> list[tuple[str, int]]:
        """Since the start: events, transactions, rows, bytes, reconnects, probes, failed_probes."""

    def losses(self) -> list[tuple[str, int]]:
        """How often it lost its place, by cause (rust/binlog/src/error.rs)."""

    def trouble(self) -> str | None:
        """What keeps it from going on, in words; None while it goes on."""

    def stop(self) -> None:
        """Ends its threads. Blocks until they have ended."""

@final
class TellStream:
    """A reader for whoever tells L2: at most `most` changes wait to be taken, beyond that the stream waits too."""

    def __new__(cls, source: BinlogSource, l1: L1, start: _Place | None = None, *, most: int = 2048) -> TellStream: ...
    def fileno(self) -> int:
        """Readable when there is something to take."""

    def take(
        self,
    ) -> tuple[
        _Place | None,
        int | None,
        bool,
        bool | None,
        list[tuple[str, str, Literal["present", "inserted", "left", "touched", "gone", "quarantine"], int, int]],
    ]:
        """All that waits: up to which place, L1's monotonic ms as of which that is the newest (None: as before),
        whether the place was lost since, whether one was found since and is the one that was asked for (None: neither),
        and the changes: kind, key, fate, row, version.
        """

    def probe(self) -> None:
        """Has the server asked for its place now."""

    def figures(self) -> list[tuple[str, int]]:
        """As Binlog's."""

    def trouble(self) -> str | None:
        """As Binlog's."""

    def stop(self) -> None:
        """As Binlog's."""

# L1 (rust/core/src/cache.rs)

@final
class L1:
    """A TinyLFU cache a kind of entry that is never older than what this process was told of; capacities in bytes.

    `absent_bytes` is for negative entries and `floors` the most floors, of each kind. Nobody tells of the kinds in
    `untold`: their entries end by time alone. `decoded_percent` is what the decoded form of a payload weighs. The
    clocks return milliseconds; by default they are the system's. KeyError for a kind that was not named.
    """

    def __new__(
        cls,
        capacities: dict[str, int],
        *,
        absent_bytes: int = ...,
        floors: int = 65_536,
        untold: Sequence[str] = ...,
        decoded_percent: dict[str, int] = ...,
        max_staleness_ms: int = 2000,
        fail_safe_ms: int = 60_000,
        mono_ms: Callable[[], int] | None = None,
        wall_ms: Callable[[], int] | None = None,
    ) -> L1: ...
    def get(self, kind: str, key: str, min_version: int = 0) -> bytes | Literal[False] | None:
        """The payload; False where there is known to be nothing; None where a load must tell."""

    def get_stale(self, kind: str, key: str) -> bytes | Literal[False] | None:
        """The same while SQL does not answer: for as long as fail-safe allows, also where L1 is no longer fresh."""

    def put(self, kind: str, key: str, payload: bytes, valid_through_ms: int) -> None:
        """Stores an entry of an untold kind, served while the wall clock is below `valid_through_ms`."""

    def begin(self, kind: str, key: str) -> Fill:
        """Begins a load."""

    def changed(self, kind: str, key: str, row: int, fate: str, version: int) -> None:
        """Raises a floor, removes the entry, detaches its loads.

        The fate is one of present, inserted, left, touched, gone, quarantine, written (rust/cache/src/change.rs); the
        last two take no version.
        """

    def remove(self, kind: str, key: str) -> bool:
        """Removes an entry, without a floor; whether there was one."""

    def clear(self, kind: str | None = None) -> None:
        """Removes every entry, of one kind or of all. Floors stay."""

    def take_due(self) -> list[tuple[str, str]]:
        """(kind, key) of hot entries that are about to end; each is named once."""

    def hottest(self, kind: str, most: int) -> list[tuple[str, int]]:
        """(key, hits) of the entries that were served most often. Looks at all of them."""

    def inspect(self, kind: str, key: str) -> dict[str, Any]:
        """One entry for people: held, absent, bytes, rows, hits, age_ms, left_ms, valid_through_ms; and its floors."""

    def stats(self) -> dict[str, dict[str, int]]:
        """By kind: counters since the start and what is held (rust/cache/src/stats.rs)."""

    def measure(self) -> None:
        """A reader of changes is about to start: from now on L1 is served only as far as it is known to be fresh."""

    def started(self, replayed: bool) -> None:
        """The reader has its first coordinate; `replayed`: it is at least a floor's life old."""

    def lost(self) -> None:
        """The reader lost its place."""

    def passed(self, as_of_ms: int) -> None:
        """The reader has passed the coordinate that the server had at this monotonic time."""

    @property
    def measured(self) -> bool:
        """Whether there is a reader."""

    @property
    def fresh(self) -> bool:
        """Whether entries may be served."""

    @property
    def starting(self) -> bool:
        """Whether the start-up rule holds: L2 is not filled, entries from SQL live max_staleness."""

    @property
    def age_ms(self) -> int | None:
        """How long ago everything had been passed; None without a reader."""

    @property
    def now_ms(self) -> int:
        """The monotonic clock."""

@final
class Fill:
    """One load of one key. `sent_ms` is when its SQL statement was sent; without, it is an answer of L2."""

    @property
    def detached(self) -> bool:
        """Whether the key changed since: later callers begin anew."""

    def refusal(self, rows: list[tuple[int, int]], *, sent_ms: int | None = None) -> str | None:
        """Why rows (id, version) may not be kept or, from L2, answered now; None where they may."""

    def store(
        self,
        payload: bytes | None,
        rows: list[tuple[int, int]],
        *,
        life_ms: int,
        valid_through_ms: int | None = None,
        sent_ms: int | None = None,
        since_first: bool = False,
    ) -> str | None:
        """Stores a payload (None: there is nothing), or says why not: slow, floor, folded, starting, over, cleared.

        `since_first`: what L2 was told of reaches to this reader's first coordinate or beyond it.
        """

# Coupon codes (rust/core/src/codes.rs)

@final
class CodeKey:
    """The 16-byte key that turns coupon ids into codes. ValueError for another length."""

    def __new__(cls, key: bytes) -> CodeKey: ...
    def encode(self, coupon_id: int) -> str:
        """The code, 12 characters without hyphens. ValueError for an id that is not below 2^53."""

    def decode(self, typed: str) -> int | None:
        """The id of a code as typed; None where it is malformed, fails its check or belongs to no id."""

# The discount calculator (rust/core/src/discount.rs)

@final
class Outcome:
    """What was decided, handed out in rows that name coupons, lines and shipments by their place in the input."""

    @property
    def original(self) -> int: ...
    @property
    def discount(self) -> int: ...
    @property
    def payable(self) -> int: ...
    @property
    def applied(self) -> list[AppliedRow]: ...
    @property
    def rejected(self) -> list[RejectedRow]: ...
    @property
    def lines(self) -> list[LineRow]: ...
    @property
    def shipments(self) -> list[ShipmentRow]: ...
    @property
    def hints(self) -> list[HintRow]: ...
    @property
    def certificate(self) -> CertificateRow | None:
        """None of a decision on given coupons."""

def price_cart(cart: Cart, coupons: Sequence[Coupon], rules: Rules, now_ms: int | None) -> Outcome | tuple[Told, Told]:
    """The decision; or violations of the cart, else those of coupons and rules.

    `now_ms` is milliseconds since 1970, None of a time without a zone.
    """

def best_cart(cart: Cart, coupons: Sequence[Coupon], rules: Rules, now_ms: int | None) -> Outcome | tuple[Told, Told]:
    """The same of the best of the coupons."""

def best_carts(
    calls: Sequence[tuple[Cart, Sequence[Coupon]]], rules: Rules, now_ms: int | None, threads: int
) -> tuple[int | None, list[Outcome | tuple[Told, Told]]]:
    """The same for each call, on so many threads (0: one a core); or the place of a wrong one, and its violations."""

def price_each(
    cart: Cart, coupons: Sequence[Coupon], rules: Rules, now_ms: int | None
) -> list[tuple[int, RejectedRow | None]] | tuple[Told, Told]:
    """Each coupon alone, however many: what it takes, and why where it takes nothing; or violations."""

def check_terms(terms: Terms) -> Told:
    """What is wrong with the terms."""

# Claims of flash sales (rust/core/src/claims.rs)

@final
class ClaimBatcher:
    """Gathers the claims of a tick, sends them to Redis as scripts and tells the callers their verdicts.

    `work` gets, as a list, the batches that Python has to do something for; `won` the activity and bucket of each batch
    that has a win. `sha` is the claim script's hash, `prefix` that of all keys. `per_script`: claims of a script;
    `in_flight`: scripts of a place under way; `held`: claims without an answer; `per_user_s` (0: any number) and
    `user_burst`: claims of a user.
    """

    def __new__(
        cls,
        event_loop: asyncio.AbstractEventLoop,
        l1: L1,
        codes: CodeKey,
        work: Callable[[list[ClaimBatch]], None],
        won: Callable[[int, int], None],
        *,
        sha: str,
        prefix: str,
        per_script: int,
        in_flight: int,
        held: int,
        per_user_s: int,
        user_burst: int,
    ) -> ClaimBatcher: ...
    def claim(self, activity_id: int, user: bytes, request_id: bytes, future: asyncio.Future[bytes]) -> None:
        """Takes a valid claim; the future gets the serialized ParticipateResponse, or an error."""

    def depart(self) -> None:
        """The end of a tick."""

    def link(self, transport: asyncio.BaseTransport, lost: Callable[[], None]) -> ClaimLink:
        """Sends scripts on an idle transport to Redis from now on, whose protocol the caller sets to the result."""

    def when_idle(self, callback: Callable[[], None]) -> None:
        """Calls back once, as soon as no claim is without an answer."""

    def close(self) -> None:
        """Lets go of the server and the connection."""

    @property
    def held(self) -> int:
        """Claims without an answer."""

    def stats(self) -> dict[str, int]:
        """Verdicts by kind, QUEUE_FULL, RATE_LIMITED, scripts (sent), held."""

@final
class ClaimBatch:
    """Claims that Python has to do something for; each is answered or refused once.

    kind: stray (the activity is not known: `send` or `answer`), carry (there is no connection, or it was lost under
    the script: `decided`), not_ready (the activity must be opened, then as carry), wins (to be safe elsewhere:
    `confirmed`), empty (other buckets may have stock: as carry, `round` says how often), full, fast (`refuse`).
    """

    @property
    def kind(self) -> str: ...
    @property
    def activity_id(self) -> int:
        """0 where the batch is of several."""

    @property
    def bucket(self) -> int: ...
    @property
    def round(self) -> int:
        """How often an empty bucket was found by now; 0 for other kinds."""

    @property
    def ack(self) -> int:
        """The number of couponry.v1.Ack."""

    def __len__(self) -> int:
        """Claims without an answer."""

    def claims(self) -> list[tuple[bytes, bytes]]:
        """(user, request hash)."""

    def wins(self) -> list[tuple[bytes, bytes, int]]:
        """(user, request hash, number)."""

    def send(self, activity: bytes) -> bool:
        """Lets strays go to Redis, as their activity's stored message says. False where it says settled."""

    def decided(self, left: int, now_ms: int, start_ms: int, verdicts: Sequence[int]) -> None:
        """What the script said. ValueError, and nothing is told, for what is no reply to these claims."""

    def answer(self, messages: Sequence[bytes]) -> None:
        """A serialized ParticipateResponse for each claim. ValueError for another number of them."""

    def confirmed(self, found: Sequence[bool | None]) -> None:
        """For each win: it is safe, it failed, or (None) nobody knows yet, and it stays."""

    def refuse(
        self, error: BaseException, code: int, details: str, trailers: Iterable[tuple[str, str | bytes]]
    ) -> None:
        """Refuses all that have no answer: futures with the error, calls with the status. ValueError for trailers."""

@final
class ClaimLink(asyncio.Protocol):
    """The connection to Redis that scripts travel on."""

    def connection_made(self, _transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, _error: BaseException | None) -> None: ...
    def waiting_s(self) -> float:
        """Seconds since the oldest script under way was sent; 0 where there is none."""

# The outbox of flash sales (rust/core/src/outbox.rs)

@final
class Wins:
    """Wins on their way from Redis to MySQL, in the order given.

    A win is (number, user, request hash of 16 bytes, kind of 1 byte, time of the claim in ms, epoch or 0: not known).
    """

    def __new__(cls, wins: Sequence[tuple[int, bytes, bytes, bytes, int, int]]) -> Wins: ...
    @staticmethod
    def from_outbox(entries: Sequence[Any], after: int) -> Wins:
        """Of entries (id, [field, value, ...]) as Redis gives them, the wins whose numbers are beyond `after`.

        ValueError for what is no entry.
        """

    def __len__(self) -> int: ...
    @property
    def last(self) -> int | None:
        """The number of the last win."""

    def follow(self, after: int) -> bool:
        """Whether the numbers are after + 1, after + 2, ...: none is missing, none comes twice."""

    def times(self) -> list[int]:
        """The times of the claims, each at least once."""

    def numbers(self) -> list[int]:
        """The number of each win."""

    def values(self) -> list[tuple[int, bytes, bytes, bytes, int, int]]:
        """Each win."""

    def users(self, lead: bytes, *, most: int) -> list[bytes]:
        """The users, each once, as SQL rows that begin with `lead`, in texts of at most `most` bytes or one row."""

    def sort(
        self, held: Sequence[tuple[bytes, bytes]], *, stock: int, limit: int, taken: set[int]
    ) -> tuple[Wins, Wins, Wins]:
        """Those that become coupons, those that a transaction holds, those that do not fit; decided in their order.

        `held`: (user, request hash) of the wins that MySQL has of these users; `taken`: numbers that others have there.
        """

    def rows(self, lead: bytes, least_id: int, by_time: dict[int, bytes], *, most: int) -> list[bytes]:
        """SQL rows `(user, id, number, epoch, request hash, by time)` that begin with `lead`, in such texts.

        An id is least_id + number; `by_time` has SQL for each time of a claim, ValueError where one is missing.
        """

# The front end (rust/core/src/frontend.rs)

@final
class HealthTable:
    """Statuses of the health service, for `Engine.answer_health`."""

    def __new__(cls) -> HealthTable: ...
    def set(self, service: str, status: int) -> None:
        """The status of a service, "" for the server as a whole."""

@final
class Engine:
    """One gRPC server on one event loop: its table of methods, its connections, its timer.

    `dispatch` gets the calls that came in one turn of a connection; `left` is called when a connection is gone.
    `limits` by name (seconds end in _s; KeyError for another name): max_receive_message, max_send_message,
    max_metadata,
    max_concurrent_streams, max_connections, preface_timeout_s, stall_timeout_s, max_idle_s, max_age_s,
    max_age_grace_s, keepalive_s, keepalive_timeout_s, keepalive_without_calls, min_ping_interval_s, max_ping_strikes.
    """

    def __new__(
        cls,
        event_loop: asyncio.AbstractEventLoop,
        dispatch: Callable[[list[Call]], None],
        left: Callable[[], None],
        limits: dict[str, Any],
    ) -> Engine: ...
    def set_routes(self, routes: list[tuple[str, bool]], open_ended: bool) -> None:
        """The methods: (path, whether it has a unary request), numbered by place. `open_ended` hands on other paths."""

    def answer_from_l1(self, path: str, l1: L1, kind: str, key_field: int, item_field: int, many: bool) -> None:
        """Answers a unary method from L1. KeyError for a path or kind that is not there."""

    def answer_claims(self, path: str, claims: ClaimBatcher) -> None:
        """Hands plain claims to a batcher. KeyError for a path that is not there."""

    def answer_calculations(self, path: str, l1: L1, user_kind: str, template_kind: str, rules: Rules) -> None:
        """Answers CalculateDiscount from L1. KeyError for a path or kind that is not there."""

    def answer_health(self, path: str, table: HealthTable) -> None:
        """Answers health checks. KeyError for a path that is not there."""

    def protocol(self) -> Protocol:
        """The protocol of one new connection."""

    def flush(self) -> None:
        """Serves the connections that replies woke."""

    def sweep(self) -> None:
        """Does what time asks for."""

    def drain(self) -> None:
        """Tells peers to go away and serves what runs."""

    def stop(self) -> None:
        """Ends every call and connection."""

    @property
    def connections(self) -> int:
        """Connections that are open."""

    @property
    def calls(self) -> int:
        """Calls in progress, those whose reply is still being sent included."""

@final
class Protocol(asyncio.Protocol):
    """One connection, for `loop.create_server`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...
    def data_received(self, data: bytes) -> None: ...
    def eof_received(self) -> bool: ...
    def end(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, _error: BaseException | None) -> None: ...

@final
class Call:
    """One call that a handler has. Encodings: 0 identity, 1 deflate, 2 gzip."""

    @property
    def path(self) -> str:
        """`/package.Service/Method`."""

    @property
    def route(self) -> int | None:
        """The method's number; None for a path that has none."""

    @property
    def transport(self) -> asyncio.BaseTransport | None:
        """The connection's transport; None when it is gone."""

    @property
    def request_compressed(self) -> bool:
        """Whether the message that was read last came compressed."""

    @property
    def cancelled(self) -> bool:
        """Whether the call ended before its handler ended it."""

    def set_task(self, task: asyncio.Task[Any]) -> None:
        """The task that is cancelled with the call."""

    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """What the client sent, -bin values decoded."""

    def accepts(self, encoding: int) -> bool:
        """Whether the client takes messages of this encoding."""

    def time_remaining(self) -> float | None:
        """Seconds until the deadline, 0 after it; None without one."""

    def read(self) -> bytes | bool | None:
        """The next message; None at the end; False: `set_reader` says when to ask again; True: the call is over."""

    def request(self) -> bytes | None:
        """The message of a unary request that came with the call."""

    def hot_keys(self) -> list[str] | None:
        """The keys of the items that a hot method's answer is made of; None where only its handler can answer."""

    def answer_hot(self, found: dict[str, bytes]) -> bool:
        """Answers a hot method's call with the items of `hot_keys`. False where one is missing: nothing was done."""

    def set_reader(self, future: asyncio.Future[None]) -> None:
        """Is released when `read` may have an answer."""

    def set_writer(self, future: asyncio.Future[None]) -> None:
        """Is released when the next message may be sent."""

    def send_initial(self, initial: Iterable[tuple[str, str | bytes]] | None, encoding: int, now: bool) -> bool:
        """What the reply's first headers hold; `now` sends them. False where they are sent. ValueError for metadata."""

    def send(self, message: bytes, compress: bool) -> int:
        """0: sent. 1: taken, and `set_writer` says when the next may come. 2: too large. 3: the call is over."""

    def finish(
        self,
        code: int,
        details: str,
        trailers: Iterable[tuple[str, str | bytes]] | None,
        message: bytes | None = None,
        compress: bool = False,
    ) -> bool:
        """Ends the call. False where it is over. ValueError, and nothing sent, for metadata that cannot be sent."""
