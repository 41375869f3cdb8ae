"""The scripts of lua/ that run a sale, as calls with values; each script's header says what it does and why.

Nothing here decides anything. Every call raises Unavailable where Redis cannot be reached.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from couponry._core import Wins
from couponry.flash_sale.wire import Place, State, Win, fields, from_outbox, from_records, to_records
from couponry.store.redis import Redis

__all__ = ["Adjusted", "CancelledWin", "Claimed", "Closed", "Confirmed", "Counts", "Outboxed", "PassGone", "Sale"]

_PAGE: Final = 1000
_FILL_USERS: Final = 500
# Old keys of a rebuild stay for a day, for whoever wants to look; new ones that no pass swapped in, too.
_ASIDE_S: Final = 86_400


class PassGone(Exception):
    """Another pass or another server came between: this fence pass gives up, nothing was changed."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A batch's verdicts: win numbers, or the negative numbers of claim.lua."""

    left: int
    now_ms: int
    start_ms: int
    verdicts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Outboxed:
    """What the outbox holds behind a number; `wins` only where the epochs are the same."""

    epoch: int
    number: int
    wins: Wins


@dataclass(frozen=True, slots=True)
class Closed:
    """What a pass found when it closed m. `m` is None where it was absent or a stub."""

    replid: str
    now_ms: int
    m: Mapping[str, str] | None

    def number(self, field: str) -> int:
        """An integer field of m; 0 where it is absent."""
        return int(self.m.get(field, 0)) if self.m else 0


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The answer to an adjustment, the first time and every time."""

    applied: bool
    delta: int
    left: int
    total: int


@dataclass(frozen=True, slots=True)
class CancelledWin:
    """The win that an adjustment cancels."""

    user: bytes
    request_hash: bytes
    number: int
    claimed_ms: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """States of wins (b"" where Redis does not have one), and how many replicas have them as they are."""

    states: Sequence[bytes]
    replicas: int


@dataclass(frozen=True, slots=True)
class Counts:
    """What the audit counts in one script."""

    live: int
    failed: int
    cancelled: int
    most: int
    twice: int
    waiting: int
    m: Mapping[str, str]


class Sale:
    """The sale's Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def claim(self, place: Place, kind: bytes, claims: Sequence[tuple[bytes, bytes]]) -> Claimed | None:
        """Decides (user, request hash) pairs; None: NOT_READY, nothing was done."""
        args: list[str | int | bytes] = [kind]
        for claim in claims:
            args.extend(claim)
        reply = await self._run("claim", place, args)
        if reply[0] == 0:
            return None
        return Claimed(left=reply[1], now_ms=reply[2], start_ms=reply[3], verdicts=reply[4:])

    async def confirm(
        self, place: Place, wins: Sequence[tuple[bytes, bytes, int]], *, replicas: int, timeout_ms: int
    ) -> Confirmed | None:
        """Looks wins (user, request hash, number) up and waits for replicas to have them; None: NOT_READY."""
        args: list[str | int | bytes] = [part for win in wins for part in win]
        reply, reached = await self._redis.run_and_wait(
            "confirm", self._keys(place), args, replicas=replicas, timeout_ms=timeout_ms
        )
        return None if reply[0] == 0 else Confirmed(states=tuple(reply[1:]), replicas=reached)

    async def look(self, place: Place) -> State:
        """m as it is now."""
        reply = await self._run("look", place)
        return State(open=reply[0] == 1, now_ms=reply[1], m=fields(reply[2:]))

    async def records(self, place: Place, user: bytes) -> list[Win]:
        """A user's wins, whichever Redis this is."""
        with self._redis.guarded():
            # The stubs of redis-py give one type to its sync and async clients.
            found: Any = self._redis.client.hget(self._keys(place)[1], user)
            records: bytes | None = await found
        return from_records(user, records) if records else []

    async def outbox(self, place: Place, *, epoch: int, after: int, wanted: int) -> Outboxed | None:
        """At least `wanted` wins behind a number, or all there are; None where m is absent or a stub."""
        reply = await self._run("outbox", place, [epoch, after, wanted])
        if not reply:
            return None
        return Outboxed(epoch=int(reply[0]), number=int(reply[1]), wins=Wins.from_outbox(reply[2], after))

    async def fail(self, place: Place, epoch: int, wins: Sequence[Win]) -> int:
        """Notes wins that could not become coupons."""
        args: list[str | int | bytes] = [epoch]
        for win in wins:
            args.extend((win.user, win.request_hash, win.number))
        return int(await self._run("fail", place, args))

    async def trim(self, place: Place, *, epoch: int, mark_epoch: int, mark_number: int) -> int:
        """Removes outbox entries up to a mark; how many went."""
        return int(await self._run("trim", place, [epoch, mark_epoch, mark_number]))

    async def settle(self, place: Place, epoch: int, life_s: int) -> None:
        """Gives the keys a life."""
        await self._run("settle", place, [epoch, life_s])

    async def adjust(
        self,
        place: Place,
        *,
        epoch: int,
        number: int,
        before: str,
        nonce: str,
        kind: str,
        delta: int,
        win: CancelledWin | None = None,
    ) -> Adjusted | None:
        """Applies an adjustment, of kind "cancel" with its win; None: a fence pass is needed first."""
        args: list[str | int | bytes] = [epoch, number, before, nonce, kind, delta]
        if win is not None:
            args += [win.user, win.request_hash, win.number, win.claimed_ms]
        reply = await self._run("adjust", place, args)
        if reply[0] == 0:
            return None
        return Adjusted(applied=reply[0] == 1, delta=reply[1], left=reply[2], total=reply[3])

    async def share(self, place: Place, *, elsewhere: bool, epoch: int | None = None) -> bool:
        """Notes whether other buckets may have stock; False: nobody has opened this one, or it has some itself."""
        args = ["" if epoch is None else epoch, "1" if elsewhere else "0"]
        return bool(await self._run("share", place, args))

    async def configure(self, place: Place, epoch: int, settings: Mapping[str, str | int]) -> bool:
        """Brings settings of newer versions; False: a fence pass is needed, and brings them itself."""
        order = ("version", "start", "end", "limit", "paused", "template_version", "template_paused")
        return bool(await self._run("configure", place, [epoch, *(settings[field] for field in order)]))

    async def audit(self, place: Place, *, epoch: int, after: int) -> Counts:
        """Counts a bucket."""
        reply = await self._run("audit", place, [epoch, after])
        live, failed, cancelled, most, twice, waiting = reply[:6]
        return Counts(live, failed, cancelled, most, twice, waiting, fields(reply[6:]))

    async def close(self, place: Place, token: str) -> Closed:
        """First step of a pass."""
        reply = await self._run("fence_close", place, [token])
        return Closed(replid=reply[0].decode(), now_ms=reply[1], m=fields(reply[2:]) or None)

    async def read_winners(
        self, place: Place, token: str, replid: str, cursor: bytes, epoch_of: Mapping[str, int]
    ) -> tuple[bytes, list[Win]]:
        """A part of u of a closed bucket and the next cursor, b"0" at the end. Raises PassGone."""
        reply = await self._run("fence_read", place, [token, replid, "winners", cursor, _PAGE])
        if reply[0] == 0:
            raise PassGone
        flat = reply[2]
        return reply[1], [
            win for at in range(0, len(flat), 2) for win in from_records(flat[at], flat[at + 1], epoch_of)
        ]

    async def read_outbox(self, place: Place, token: str, replid: str, epoch: int, after: int) -> list[Win]:
        """The next wins in o of a closed bucket, whatever their epoch, behind (epoch, number). Raises PassGone."""
        reply = await self._run("fence_read", place, [token, replid, "outbox", f"{epoch}-{after + 1}", 16])
        if reply[0] == 0:
            raise PassGone
        return from_outbox(reply[1])

    async def fill(self, place: Place, token: str, replid: str, winners: Sequence[tuple[bytes, list[Win]]]) -> None:
        """Writes users with all their wins into the new u. Raises PassGone."""
        keys = [self._keys(place)[0], self._redis.key(place.beside(token)[0])]
        for at in range(0, len(winners), _FILL_USERS):
            args: list[str | int | bytes] = [token, replid, _ASIDE_S]
            for user, wins in winners[at : at + _FILL_USERS]:
                args.extend((user, to_records(wins)))
            if await self._redis.run_script("fence_fill", keys, args) == 0:
                raise PassGone

    async def open(self, place: Place, token: str, replid: str, *, rebuild: bool, m: Mapping[str, str | int]) -> bool:
        """Last step of a pass; False: another pass or another server came between."""
        keys = [*self._keys(place), *(self._redis.key(key) for key in place.beside(token))]
        args: list[str | int | bytes] = [token, replid, "rebuild" if rebuild else "adopt", _ASIDE_S]
        for field, value in m.items():
            args.extend((field, value))
        return bool(await self._redis.run_script("fence_open", keys, args))

    def _keys(self, place: Place) -> list[str]:
        return [self._redis.key(key) for key in place.names()]

    async def _run(self, name: str, place: Place, args: Sequence[str | int | bytes] = ()) -> Any:
        return await self._redis.run_script(name, self._keys(place), args)
