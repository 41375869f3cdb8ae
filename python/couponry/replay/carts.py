"""A history of carts as JSON Lines: cut into blocks for the workers, and read strictly, cart by cart.

The calculator checks the values of a cart; here is checked what it cannot see: names, what is missing, the shape.
"""

import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from datetime import datetime
from io import BufferedIOBase
from typing import Any, Final, Generic, TypeVar

from couponry.discount import Cart, InvalidCart, Line, Shipment
from couponry.replay.plain import Problems, unknown

__all__ = ["MAX_LINE", "Block", "Order", "TooLong", "blocks", "read_order"]

MAX_LINE: Final = 16 * 1024 * 1024
_BLOCK: Final = 256 * 1024
_KNOWN: Final = ("order_id", "at", "metadata", "currency", "lines", "shipments", "order_total")
_KNOWN_SET: Final = frozenset(_KNOWN)

T = TypeVar("T", Line, Shipment)


class TooLong(Exception):
    """A line beyond MAX_LINE; `line` is its number."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of the file, the first of which is line `first_line`."""

    first_line: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """A cart of the history: its line in the file, what the shop calls it, and when it was."""

    line: int
    order_id: str
    at: datetime | None
    cart: Cart


def blocks(source: BufferedIOBase, size: int = _BLOCK) -> Iterator[Block]:
    """The file in whole lines, at most about `size` bytes at a time. Raises TooLong."""
    line, kept = 1, b""
    while read := source.read1(size):  # one read at a time, so that Ctrl-C is heeded between them
        end = read.rfind(b"\n") + 1
        if end:
            text = kept + read[:end]
            yield Block(line, text)
            line, kept = line + text.count(b"\n"), read[end:]
        else:
            kept += read
        if len(kept) > MAX_LINE:
            raise TooLong(line)
    if kept:
        yield Block(line, kept)


def read_order(line: int, text: bytes) -> Order:
    """One line of the file. Raises InvalidCart with everything that is wrong with its shape."""
    problems = Problems()
    data = _decoded(text)
    if not data.keys() <= _KNOWN_SET:
        problems.extend(unknown(data, _KNOWN, ""))
    order_id = data.get("order_id")
    if order_id is None:
        order_id = f"line {line}"
    elif not isinstance(order_id, str) or not 1 <= len(order_id.encode(errors="replace")) <= 64:
        problems.append(("order_id", "must be a text of 1 to 64 bytes"))
    at = _instant(data.get("at"), problems)
    currency = data.get("currency")
    if currency is None:
        problems.append(("currency", "is required"))
    total = data.get("order_total")
    if isinstance(total, bool):
        problems.append(("order_total", "must be a whole number"))
    lines = tuple(_entries(_LINE, data.get("lines"), "lines", problems))
    shipments = tuple(_entries(_SHIPMENT, data.get("shipments"), "shipments", problems))
    if problems:
        raise InvalidCart(problems)
    return Order(line, order_id, at, Cart(currency, lines, shipments, total))  # type: ignore[arg-type]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


# Made once: json.loads makes a new one for every call with an option.
_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)


def _decoded(text: bytes) -> dict[str, Any]:
    try:
        data = _DECODER.decode(text.decode())
    except json.JSONDecodeError as error:
        raise InvalidCart([("", f"not JSON: {error.msg} at column {error.colno}")]) from None
    except UnicodeDecodeError:
        raise InvalidCart([("", "not UTF-8")]) from None
    except RecursionError:
        raise InvalidCart([("", "not a cart: nested too deeply")]) from None
    except ValueError as error:  # a constant, or a number of thousands of digits
        raise InvalidCart([("", f"not JSON: {error}")]) from None
    if not isinstance(data, dict):
        raise InvalidCart([("", "must be an object: {...}")])
    return data


def _instant(value: object, problems: Problems) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            if instant.utcoffset() is not None:
                return instant
    problems.append(("at", "must be a time with its offset, as 2026-06-01T08:30:00Z"))
    return None


class _Shape(Generic[T]):
    """The names of a dataclass of the cart."""

    def __init__(self, cls: type[T], numbers: tuple[str, ...]) -> None:
        self.cls: type[T] = cls
        self.names = [field.name for field in fields(cls)]
        self.known = frozenset(self.names)
        self.required = frozenset(field.name for field in fields(cls) if field.default is MISSING)
        self.numbers = numbers


_LINE: Final = _Shape(Line, ("quantity", "unit_price", "list_unit_price"))
_SHIPMENT: Final = _Shape(Shipment, ("amount",))


def _entries(shape: _Shape[T], data: object, path: str, problems: Problems) -> Iterator[T]:
    if data is None:
        return
    if not isinstance(data, list):
        problems.append((path, "must be a list"))
        return
    for place, entry in enumerate(data):
        if not isinstance(entry, dict):
            problems.append((f"{path}[{place}]", "must be an object: {...}"))
        elif not shape.required <= entry.keys() <= shape.known:
            problems.extend(unknown(entry, shape.names, f"{path}[{place}]"))
            missing = [name for name in shape.names if name in shape.required - entry.keys()]
            problems.extend((f"{path}[{place}].{name}", "is required") for name in missing)
        else:
            for name in shape.numbers:
                if isinstance(entry.get(name), bool):  # an int to Python
                    problems.append((f"{path}[{place}].{name}", "must be a whole number"))
            if "category_ids" in entry:
                _as_tuple(entry, "category_ids", f"{path}[{place}]", problems)
            yield shape.cls(**entry)


def _as_tuple(entry: dict[str, Any], name: str, path: str, problems: Problems) -> None:
    if isinstance(entry[name], list):
        entry[name] = tuple(entry[name])
    else:
        problems.append((f"{path}.{name}", "must be a list"))
