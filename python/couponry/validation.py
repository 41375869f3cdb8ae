"""Checks at the door: each names the field that is wrong, and all violations of a request are found in one go.

Use `Violations` to collect and `raise_if_any` before any work is done.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from couponry.clock import from_timestamp
from couponry.errors import FieldViolation, InvalidArgument

__all__ = ["MAX_ID", "Violations", "fingerprint", "refuse_unknown_enums"]

MAX_ID: Final = 2**53 - 1
MAX_AMOUNT: Final = 2**63 - 1
_CURRENCY = re.compile(r"[A-Z]{3}\Z")
# DATETIME holds years 1000 to 9999; nobody's coupon needs more than this.
_EARLIEST_S: Final = 0
_LATEST_S: Final = 253_402_300_799  # 9999-12-31T23:59:59Z


class Violations:
    """Collects what is wrong with a request."""

    def __init__(self) -> None:
        self._found: list[FieldViolation] = []

    def add(self, field: str, text: str) -> None:
        """Notes one violation."""
        self._found.append(FieldViolation(field, text))

    def extend(self, prefix: str, violations: Iterable[tuple[str, str]]) -> None:
        """Notes (field, text) pairs whose fields are relative to `prefix`."""
        for field, text in violations:
            self.add(f"{prefix}.{field}" if prefix else field, text)

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raises InvalidArgument with everything found so far."""
        if self._found:
            raise InvalidArgument(self._found)

    def shop_id(self, field: str, value: str) -> str:
        """An opaque id of the shop's: 1 to 64 bytes."""
        size = len(value.encode())
        if not 1 <= size <= 64:
            self.add(field, f"must be 1 to 64 bytes, is {size}")
        return value

    def request_id(self, field: str, value: str) -> str:
        """Optional; at most 64 bytes."""
        size = len(value.encode())
        if size > 64:
            self.add(field, f"must be at most 64 bytes, is {size}")
        return value

    def own_id(self, field: str, value: int) -> int:
        """An id that Couponry made: 1 to 2^53 - 1."""
        return self.between(field, value, 1, MAX_ID)

    def between(self, field: str, value: int, least: int, most: int) -> int:
        """An integer within both ends."""
        if not least <= value <= most:
            self.add(field, f"must be {least} to {most}, is {value}")
        return value

    def amount(self, field: str, value: int, *, least: int = 0) -> int:
        """Minor units, not below `least`."""
        if value < least:
            self.add(field, f"must be at least {least}, is {value}")
        return value

    def text(self, field: str, value: str, *, most: int, least: int = 0) -> str:
        """Text of `least` to `most` characters, stored as given."""
        if not least <= len(value) <= most:
            self.add(field, f"must be {least} to {most} characters, is {len(value)}")
        if "\x00" in value:
            self.add(field, "must not contain a NUL character")
        return value

    def currency(self, field: str, value: str) -> str:
        """ISO 4217, three capital letters."""
        if not _CURRENCY.match(value):
            self.add(field, "must be an ISO 4217 code of three capital letters")
        return value

    def metadata(self, field: str, value: Mapping[str, str]) -> dict[str, str]:
        """At most 20 entries, keys 1 to 64 bytes, values at most 500 characters."""
        if len(value) > 20:
            self.add(field, f"must have at most 20 entries, has {len(value)}")
        for key, entry in value.items():
            size = len(key.encode())
            if not 1 <= size <= 64:
                self.add(f"{field} key", f"must be 1 to 64 bytes, is {size}")
            self.text(f'{field}["{key[:64]}"]', entry, most=500)
        return dict(value)

    def instant(self, field: str, holder: Message, name: str, *, required: bool = False) -> datetime | None:
        """The timestamp field `name` of `holder`, or None where it is absent."""
        if not holder.HasField(name):
            if required:
                self.add(field, "is required")
            return None
        value: Timestamp = getattr(holder, name)
        if not (_EARLIEST_S <= value.seconds <= _LATEST_S and 0 <= value.nanos < 1_000_000_000):
            self.add(field, "must be a time from 1970 to 9999")
            return None
        return from_timestamp(value)

    def window(self, field: str, start: datetime | None, end: datetime | None) -> None:
        """A window starts before it ends."""
        if start is not None and end is not None and start >= end:
            self.add(field, "must be later than the start of the window")

    def duration_ms(self, field: str, value: Duration, *, least_ms: int, most_ms: int) -> int:
        """A duration in milliseconds within both ends."""
        ms = value.seconds * 1000 + value.nanos // 1_000_000
        if not least_ms <= ms <= most_ms:
            self.add(field, f"must be {least_ms / 1000:g} s to {most_ms / 1000:g} s")
        return ms

    def count(self, field: str, value: int, *, least: int, most: int) -> int:
        """The number of entries of a list."""
        if not least <= value <= most:
            self.add(field, f"must have {least} to {most} entries, has {value}")
        return value

    def page_size(self, field: str, value: int) -> int:
        """1 to 200; 0 is 50."""
        return self.between(field, value, 1, 200) if value else 50

    def enum(self, field: str, value: int) -> int:
        """A given enum value; unknown numbers were refused before."""
        if value == 0:
            self.add(field, "must be specified")
        return value


def fingerprint(request: Message, *, without: str = "request_id") -> bytes:
    """128 bits of a request's body, so that a reused request id with another body is noticed."""
    body = type(request)()
    body.CopyFrom(request)
    if without in body.DESCRIPTOR.fields_by_name:
        body.ClearField(without)
    return hashlib.blake2b(body.SerializeToString(deterministic=True), digest_size=16).digest()


def refuse_unknown_enums(request: Message) -> None:
    """Raises InvalidArgument for each enum field whose number the contract does not have.

    Walks only the fields whose types can hold an enum: a cart of 500 lines costs nothing.
    """
    violations = Violations()
    _walk(request, "", violations)
    violations.raise_if_any()


def _walk(message: Message, prefix: str, violations: Violations) -> None:
    for field, visit in _plan(message.DESCRIPTOR):
        visit(message, f"{prefix}{field.name}", violations)


_Visit = Callable[[Message, str, Violations], None]


@lru_cache(maxsize=512)
def _plan(descriptor: Descriptor) -> tuple[tuple[FieldDescriptor, _Visit], ...]:
    return tuple(
        (field, _visit_enum(field) if field.type == FieldDescriptor.TYPE_ENUM else _visit_message(field))
        for field in descriptor.fields
        if field.type == FieldDescriptor.TYPE_ENUM
        or (field.message_type is not None and _holds_enum(field.message_type, frozenset()))
    )


def _holds_enum(descriptor: Descriptor, seen: frozenset[str]) -> bool:
    if descriptor.full_name in seen:
        return False
    seen = seen | {descriptor.full_name}
    return any(
        field.type == FieldDescriptor.TYPE_ENUM
        or (field.message_type is not None and _holds_enum(field.message_type, seen))
        for field in descriptor.fields
    )


def _visit_enum(field: FieldDescriptor) -> _Visit:
    enum_type = field.enum_type
    assert enum_type is not None  # noqa: S101 - an enum field has one
    known = frozenset(enum_type.values_by_number)

    def visit(message: Message, path: str, violations: Violations) -> None:
        value = getattr(message, field.name)
        for index, number in enumerate(value) if field.is_repeated else [(None, value)]:
            if number not in known:
                place = path if index is None else f"{path}[{index}]"
                violations.add(place, f"{number} is no value of {enum_type.name}")

    return visit


def _visit_message(field: FieldDescriptor) -> _Visit:
    def visit(message: Message, path: str, violations: Violations) -> None:
        if field.is_repeated:
            for index, entry in enumerate(getattr(message, field.name)):
                _walk(entry, f"{path}[{index}].", violations)
        elif message.HasField(field.name):
            _walk(getattr(message, field.name), f"{path}.", violations)

    return visit
