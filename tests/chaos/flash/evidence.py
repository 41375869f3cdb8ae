"""What a run leaves for the judge: every answer that a client was given, what was taken from a store on purpose, and
what the stores hold at the end.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from couponry.flash_sale.wire import request_hash

__all__ = [
    "Activity",
    "AdjustmentRow",
    "AdjustmentTold",
    "Answer",
    "EndTold",
    "Evidence",
    "Loss",
    "Split",
    "Win",
    "read_answers",
]


class Win(NamedTuple):
    """One win wherever it is found: in an answer, in Redis, in MySQL."""

    activity: int
    user: bytes
    request: bytes
    coupon: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One call of Participate as its client saw it. `outcome` is a status, or "!" and the code of a failed call."""

    sent: float
    at: float
    client: str
    server: str
    activity: int
    user: str
    request: str
    outcome: str
    coupon: int = 0
    left: int = 0
    detail: str = ""

    @property
    def won(self) -> bool:
        """Whether a coupon was told."""
        return self.outcome == "WON"

    @property
    def decided(self) -> bool:
        """Whether it got a verdict. A failed call may have won; its outcome is "!" and the code."""
        return not self.outcome.startswith("!")

    @property
    def win(self) -> Win:
        """What was told."""
        return Win(self.activity, self.user.encode(), request_hash(self.request), self.coupon)

    @property
    def claim(self) -> tuple[int, bytes, bytes]:
        """Which claim this was an answer to."""
        return self.activity, self.user.encode(), request_hash(self.request)

    def line(self) -> bytes:
        """For the log."""
        values = [getattr(self, name) for name in self.__slots__]
        return json.dumps(values, ensure_ascii=False).encode() + b"\n"


def read_answers(paths: Iterable[Path]) -> list[Answer]:
    """The logs of all clients, by the time of the answer."""
    return sorted((Answer(*json.loads(line)) for path in paths for line in _lines(path)), key=lambda each: each.at)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as log:
        for line in log:
            # A client that was ended in the middle of a line was not answered.
            if line.endswith(b"\n"):
                yield line


@dataclass(frozen=True, slots=True)
class Activity:
    """What an activity was made with."""

    id: int
    ack: str
    limit: int
    stock: int
    buckets: int = 1


@dataclass(frozen=True, slots=True)
class Loss:
    """Data that were taken from a store on purpose, and what they held that nothing else did.

    `adjustments`: increases that MySQL lost, by activity, and what had moved to another bucket. `numbers`: MySQL and
    Redis lost at once, so that numbers may be told again (the design's exception).
    """

    what: str
    began: float
    ended: float
    taken: frozenset[Win]
    adjustments: dict[int, int] = field(default_factory=dict)
    numbers: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """Two Redis may have answered from `began` to `ended`; `shared` is what both knew before."""

    began: float
    ended: float
    shared: frozenset[Win]


@dataclass(frozen=True, slots=True)
class AdjustmentTold:
    """An answered AdjustStock."""

    at: float
    activity: int
    id: str
    delta: int
    applied: bool


@dataclass(frozen=True, slots=True)
class AdjustmentRow:
    """An adjustment in MySQL. `id` is empty for the end, for a part of a change of several buckets, and for stock that
    moves between them; of a change of several buckets there is a row for all of it, without a nonce.
    """

    activity: int
    id: str
    delta: int
    state: int
    applied: int
    nonce: bytes = b""


@dataclass(frozen=True, slots=True)
class EndTold:
    """An activity that was told to be settled."""

    at: float
    activity: int
    sold: int


@dataclass(slots=True)
class Evidence:
    """Everything.

    `again`: each WON asked again after the storm, and once more when it was settled; `fresh`: claims of new users until
    each activity was sold out; `refused`: from when to when an outbox refused entries on purpose; `alarms`: lines of
    the service's log that must not be there; `troubles`: what the conductor itself noticed, such as a service that did
    not come back.
    """

    activities: dict[int, Activity]
    answers: list[Answer] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    adjustments_told: list[AdjustmentTold] = field(default_factory=list)
    ends_told: list[EndTold] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    rows: frozenset[Win] = frozenset()
    failed: frozenset[Win] = frozenset()
    adjustments: Sequence[AdjustmentRow] = ()
    totals: dict[int, int] = field(default_factory=dict)
    again: list[Answer] = field(default_factory=list)
    fresh: list[Answer] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    timeline: list[tuple[float, str]] = field(default_factory=list)
