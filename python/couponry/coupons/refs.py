"""Coupons named by id or by code as typed, and the limit on guessing codes.

A code that is malformed, fails its check character or names no coupon of the user counts as a wrong guess; past the
limit every code of that user is refused for a while, right ones too, so that guessing learns nothing.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from couponry.clock import Clock
from couponry.coupons.codes import Codes
from couponry.errors import Exhausted
from couponry.v1 import discount_pb2
from couponry.validation import Violations

__all__ = ["RefResolver", "ResolvedRef"]


@dataclass(frozen=True, slots=True)
class ResolvedRef:
    """A ref of a request: the id it names (None where no coupon can have its code), the code as it was given ("" where
    it was an id), and the path of its field."""

    coupon_id: int | None
    code: str
    field: str


@dataclass(slots=True)
class _Guesses:
    since: datetime
    wrong: int


class RefResolver:
    """Resolves refs, and counts each user's wrong codes in this process.

    More than `wrong_codes` wrong ones within `window_s` refuse the user's codes until the window is over. At most
    `users` users are remembered, the latest.
    """

    def __init__(
        self, *, codes: Codes, clock: Clock, wrong_codes: int = 36, window_s: int = 60, users: int = 10_000
    ) -> None:
        self._codes = codes
        self._clock = clock
        self._wrong_codes = wrong_codes
        self._window = timedelta(seconds=window_s)
        self._users = users
        self._guesses: OrderedDict[str, _Guesses] = OrderedDict()

    def resolve(
        self, user_id: str, refs: Sequence[discount_pb2.CouponRef], field: str, violations: Violations
    ) -> list[ResolvedRef]:
        """Each ref of the list `field`. Raises Exhausted / RATE_LIMITED with the time to wait."""
        return self._resolve(user_id, [(f"{field}[{index}]", ref) for index, ref in enumerate(refs)], violations)

    def resolve_one(self, user_id: str, ref: discount_pb2.CouponRef, field: str, violations: Violations) -> ResolvedRef:
        """The one ref of `field`. Raises Exhausted / RATE_LIMITED with the time to wait."""
        return self._resolve(user_id, [(field, ref)], violations)[0]

    def missed(self, user_id: str, refs: Iterable[ResolvedRef]) -> None:
        """Counts the codes among refs that turned out to be no coupon of the user."""
        # Those that decode to nothing were counted when they were resolved.
        self._count(user_id, sum(1 for ref in refs if ref.code and ref.coupon_id is not None))

    def _resolve(
        self, user_id: str, refs: Sequence[tuple[str, discount_pb2.CouponRef]], violations: Violations
    ) -> list[ResolvedRef]:
        if any(ref.WhichOneof("ref") == "code" for _, ref in refs):
            self._refuse_past_limit(user_id)
        found: list[ResolvedRef] = []
        for path, ref in refs:
            match ref.WhichOneof("ref"):
                case "coupon_id":
                    violations.own_id(f"{path}.coupon_id", ref.coupon_id)
                    found.append(ResolvedRef(ref.coupon_id, "", path))
                case "code":
                    violations.text(f"{path}.code", ref.code, least=1, most=64)
                    found.append(ResolvedRef(self._codes.decode(ref.code), ref.code, path))
                case _:
                    violations.add(path, "must have a coupon_id or a code")
                    found.append(ResolvedRef(None, "", path))
        self._count(user_id, sum(1 for ref in found if ref.code and ref.coupon_id is None))
        return found

    def _refuse_past_limit(self, user_id: str) -> None:
        guesses = self._guesses.get(user_id)
        if guesses is None:
            return
        left = guesses.since + self._window - self._clock()
        if left <= timedelta(0):
            del self._guesses[user_id]
        elif guesses.wrong >= self._wrong_codes:
            raise Exhausted(
                "too many wrong codes: try again later", reason="RATE_LIMITED", retry_after_s=left.total_seconds()
            )

    def _count(self, user_id: str, wrong: int) -> None:
        if not wrong:
            return
        guesses = self._guesses.setdefault(user_id, _Guesses(self._clock(), 0))
        guesses.wrong += wrong
        self._guesses.move_to_end(user_id)
        if len(self._guesses) > self._users:
            self._guesses.popitem(last=False)
