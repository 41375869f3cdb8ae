"""One bucket of an activity, as the scripts of lua/ must treat it: in plain words, without batches of bytes or keys.

Time is given to it. `None` as an answer is NOT_READY: nothing was done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

__all__ = [
    "CANCELLED",
    "EMPTY",
    "ENDED",
    "FAILED",
    "LIMIT_REACHED",
    "NOT_STARTED",
    "PAUSED",
    "SOLD_OUT",
    "Adjustment",
    "Bucket",
    "Entry",
    "Win",
]

NOT_STARTED: Final = -1
ENDED: Final = -2
SOLD_OUT: Final = -3
LIMIT_REACHED: Final = -4
PAUSED: Final = -5
CANCELLED: Final = -6
FAILED: Final = -7
EMPTY: Final = -8


@dataclass(frozen=True)
class Win:
    """A win in u. `kind` is W (won), T (tried), C (cancelled) or F (failed)."""

    user: bytes
    request: bytes
    number: int
    ms: int
    kind: bytes

    @property
    def holds_a_place(self) -> bool:
        """Whether it counts against the user's limit."""
        return self.kind in {b"W", b"T"}


@dataclass(frozen=True)
class Entry:
    """An entry of the outbox: the wins of one batch, as they were when they were won."""

    epoch: int
    wins: tuple[Win, ...]


@dataclass(frozen=True)
class Adjustment:
    """The last adjustment that m knows, with what was answered; place 0 is none."""

    place: int = 0
    id: str = ""
    applied: bool = True
    delta: int = 0
    left: int = 0
    total: int = 0


@dataclass
class Bucket:
    """What m, u and o hold."""

    epoch: int
    base: int
    left: int
    total: int
    limit: int
    start: int
    end: int
    number: int = 0
    version: int = 1
    template_version: int = 1
    paused: bool = False
    template_paused: bool = False
    ended: bool = False
    elsewhere: bool = False
    open: bool = True
    last: Adjustment = Adjustment()
    wins: list[Win] = field(default_factory=list)
    outbox: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.number = self.number or self.base

    def claim(self, kind: bytes, now: int, claims: Sequence[tuple[bytes, bytes]]) -> list[int] | None:
        """The verdict on each (user, request), in the order given."""
        if not self.open:
            return None
        before = len(self.wins)
        verdicts = [self._claim_one(kind, now, user, request) for user, request in claims]
        won = tuple(self.wins[before:])
        if won:
            self.outbox.append(Entry(self.epoch, won))
        return verdicts

    def _claim_one(self, kind: bytes, now: int, user: bytes, request: bytes) -> int:
        own = [win for win in self.wins if win.user == user]
        for win in own:
            if win.request == request:
                return {b"C": CANCELLED, b"F": FAILED}.get(win.kind, win.number)
        if self.ended or now >= self.end:
            return ENDED
        if now < self.start:
            return NOT_STARTED
        if self.paused or self.template_paused:
            return PAUSED
        if sum(win.holds_a_place for win in own) >= self.limit:
            return LIMIT_REACHED
        if self.left <= 0:
            return EMPTY if self.elsewhere else SOLD_OUT
        self.left -= 1
        self.number += 1
        self.wins.append(Win(user, request, self.number, now, kind))
        return self.number

    def adjust(
        self,
        *,
        epoch: int,
        place: int,
        before: str,
        own: str,
        kind: str = "stock",
        delta: int = 0,
        win: Win | None = None,
    ) -> Adjustment | None:
        """`kind`: stock (refused where less is left), take (what is left and no more), end (all that is left goes) or
        cancel (`win` gives its unit and its place back).
        """
        if not self.open or epoch != self.epoch:
            return None
        if (place, own) == (self.last.place, self.last.id):
            return self.last
        if place != self.last.place + 1 or before != self.last.id:
            self.open = False
            return None
        applied, change = True, delta
        match kind:
            case "cancel":
                self._cancel(win)
                change = 1
            case "end":
                change = -self.left
                self.ended = True
            case "take":
                change = -max(0, min(self.left, -delta))
            case _:
                # MySQL counts an increase already, whatever is left.
                applied = delta > 0 or self.left + delta >= 0
                change = delta if applied else 0
        self.left += change
        self.total += 0 if kind == "cancel" else change
        self.last = Adjustment(place, own, applied, change, self.left, self.total)
        return self.last

    def _cancel(self, win: Win | None) -> None:
        """Its request is answered CANCELLED from now on, also where u did not know it."""
        assert win is not None
        for index, known in enumerate(self.wins):
            if (known.user, known.request, known.number) == (win.user, win.request, win.number):
                self.wins[index] = replace(known, kind=b"C")
                return
        self.wins.append(replace(win, kind=b"C"))

    def share(self, *, epoch: int | None, elsewhere: bool) -> bool:
        """Notes whether other buckets may have stock; a bucket that has some never says that nothing is left."""
        if not self.open or epoch not in {None, self.epoch} or (not elsewhere and self.left > 0):
            return False
        self.elsewhere = elsewhere
        return True

    def configure(
        self, *, epoch: int, version: int, window: tuple[int, int], limit: int, paused: bool, template: tuple[int, bool]
    ) -> bool:
        """Takes over what is newer; whether this was the Redis and the epoch to tell."""
        if not self.open or epoch != self.epoch:
            return False
        if version > self.version:
            self.version, self.limit, self.paused = version, limit, paused
            self.start, self.end = window
        if template[0] > self.template_version:
            self.template_version, self.template_paused = template
        return True

    def wins_by_user(self) -> dict[bytes, list[Win]]:
        """u."""
        users: dict[bytes, list[Win]] = {}
        for win in self.wins:
            users.setdefault(win.user, []).append(win)
        return users

    def mark(self, index: int, kind: bytes) -> None:
        """A win that failed or was cancelled; the outbox goes on telling it as it was won."""
        self.wins[index] = replace(self.wins[index], kind=kind)

    def trim(self, *, epoch: int, mark: tuple[int, int]) -> int:
        """Removes entries up to (epoch, number); how many went."""
        if not self.open or epoch != self.epoch:
            return 0
        kept = [entry for entry in self.outbox if (entry.epoch, entry.wins[-1].number) > mark]
        gone, self.outbox = len(self.outbox) - len(kept), kept
        return gone

    def reopen(self, *, epoch: int, base: int, left: int, rebuilt: bool) -> None:
        """What a fence pass does: stock left is what MySQL says; a rebuild leaves failed wins and the outbox behind."""
        self.epoch, self.base, self.number, self.left, self.open = epoch, base, base, left, True
        if rebuilt:
            self.wins = [win for win in self.wins if win.kind != b"F"]
            self.outbox = []
