"""Plain data (of TOML) as the calculator's dataclasses: by their own fields and types, so that none is forgotten.

Every problem is told with the path of its field; values are never converted, so that no float becomes money.
"""

import dataclasses
import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["Problems", "read", "unknown"]

T = TypeVar("T")
_NAMES: Final[Mapping[type, str]] = {
    bool: "true or false",
    datetime: "a time with its offset, as 2026-06-01T00:00:00Z",
    int: "a whole number",
    str: "a text",
}
_WRONG: Final = object()


class Problems(list[tuple[str, str]]):
    """(field, text) of everything that is wrong."""


def read(cls: type[T], data: object, path: str, problems: Problems) -> T | None:
    """`data` as the dataclass `cls`, or None when that added to `problems`."""
    if not isinstance(data, dict):
        problems.append((path, "must be a table of fields"))
        return None
    before = len(problems)
    hints = get_type_hints(cls)
    own = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    problems.extend(unknown(data, own, path))
    values: dict[str, Any] = {}
    for name, field in own.items():
        where = f"{path}.{name}" if path else name
        if name in data:
            values[name] = _value(hints[name], data[name], where, problems)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            problems.append((where, "is required"))
    return cls(**values) if len(problems) == before else None


def unknown(data: Mapping[str, object], known: Iterable[str], path: str) -> Iterator[tuple[str, str]]:
    """A problem for each field that is not known, with the nearest one that is."""
    names = list(known)
    for name in data.keys() - set(names):
        close = difflib.get_close_matches(name, names, n=1)
        yield f"{path}.{name}" if path else name, f"unknown field{f'; did you mean {close[0]}?' if close else ''}"


def _value(hint: Any, value: object, path: str, problems: Problems) -> Any:
    if get_origin(hint) in {Union, types.UnionType}:  # of optional fields only: an absent field is None
        hint = next(part for part in get_args(hint) if part is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            problems.append((path, "must be a list"))
            return _WRONG
        return tuple(
            _value(get_args(hint)[0], entry, f"{path}[{place}]", problems) for place, entry in enumerate(value)
        )
    if dataclasses.is_dataclass(hint):
        return read(hint, value, path, problems)  # type: ignore[arg-type]
    if issubclass(hint, StrEnum):
        if value not in hint.__members__:
            problems.append((path, f"must be one of {', '.join(hint.__members__)}"))
            return _WRONG
        return hint(value)
    # A bool is an int to Python, and a time without offset a datetime.
    if type(value) is not hint or (isinstance(value, datetime) and value.utcoffset() is None):
        problems.append((path, f"must be {_NAMES[hint]}"))
    return value
