"""Every error that a caller can meet, as one exception tree; none of them knows gRPC.

A subclass is one kind of answer (the table in `servicers/status.py` gives its status code); `reason` is the name of a
value of `couponry.v1.Reason` without its prefix, so that a program never parses text.

    CouponryError
    ├── InvalidArgument      a field is wrong; carries every violation found
    ├── NotFound             absent, or not the caller's
    ├── Exhausted            a limit is reached
    ├── FailedPrecondition   the state does not allow it
    ├── Unavailable          a store is down, not loaded, draining; carries when to try again
    └── Unimplemented        a later release brings it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

__all__ = [
    "CouponryError",
    "Exhausted",
    "FailedPrecondition",
    "FieldViolation",
    "InvalidArgument",
    "NotFound",
    "Unavailable",
    "Unimplemented",
]


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """What is wrong with one field of a request; `field` is its path, e.g. `cart.lines[3].quantity`."""

    field: str
    text: str


class CouponryError(Exception):
    """Base of all errors that reach a caller.

    `metadata` are figures for programs (all strings), `retry_after_s` is when a repeat makes sense, `details` are
    further messages that travel with the status.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        text: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str | int] | None = None,
        retry_after_s: float | None = None,
        details: Iterable[Message] = (),
    ) -> None:
        super().__init__(text)
        self.text = text
        self.reason = reason or self.default_reason
        self.metadata = {key: str(value) for key, value in (metadata or {}).items()}
        self.retry_after_s = retry_after_s
        self.details = tuple(details)


class InvalidArgument(CouponryError):
    """One or more fields are wrong; nothing was done."""

    default_reason = "INVALID_FIELD"

    def __init__(
        self,
        violations: Iterable[FieldViolation],
        *,
        reason: str | None = None,
        metadata: Mapping[str, str | int] | None = None,
    ) -> None:
        self.violations = tuple(violations)
        first = self.violations[0]
        more = f" (and {len(self.violations) - 1} more)" if len(self.violations) > 1 else ""
        super().__init__(f"{first.field}: {first.text}{more}", reason=reason, metadata=metadata)

    @classmethod
    def of(cls, field: str, text: str, *, reason: str | None = None) -> "InvalidArgument":
        """One violation."""
        return cls([FieldViolation(field, text)], reason=reason)


class NotFound(CouponryError):
    """Absent, or not the caller's: the answer does not tell which."""

    default_reason = "NOT_FOUND"


class Exhausted(CouponryError):
    """Sold out, or a limit is reached."""

    default_reason = "TOTAL_LIMIT"


class FailedPrecondition(CouponryError):
    """The state does not allow it; the reason says why."""

    default_reason = "INTERNAL"


class Unavailable(CouponryError):
    """The service cannot answer now; `retry_after_s` says when to ask again."""

    default_reason = "STORE_UNAVAILABLE"

    def __init__(
        self,
        text: str,
        *,
        reason: str | None = None,
        metadata: Mapping[str, str | int] | None = None,
        retry_after_s: float = 0.5,
    ) -> None:
        super().__init__(text, reason=reason, metadata=metadata, retry_after_s=retry_after_s)


class Unimplemented(CouponryError):
    """A part of the contract that this release does not answer yet."""

    default_reason = "NOT_IMPLEMENTED"
