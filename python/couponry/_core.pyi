"""The extension module: conversions to the Rust crates under rust/. Checked against the module by stubtest."""

from collections.abc import Sequence
from typing import final

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

__all__ = ["L1", "CodeKey", "Outcome", "best_cart", "best_carts", "check_terms", "lua_scripts", "price_cart"]

# Scripts (rust/core/src/scripts.rs)

def lua_scripts() -> list[tuple[str, str]]:
    """Every Redis script of lua/ as (name without ending, text)."""

# L1 (rust/core/src/cache.rs)

@final
class L1:
    """A TinyLFU cache a kind of entry; capacities in bytes by kind. KeyError for a kind that was not named."""

    def __new__(cls, capacities: dict[str, int]) -> L1: ...
    def get(self, kind: str, key: str, now_ms: int) -> bytes | None:
        """The payload of an entry that may be served at `now_ms` (milliseconds since 1970)."""

    def put(self, kind: str, key: str, payload: bytes, expires_at_ms: int) -> None:
        """Stores an entry that is served while now < `expires_at_ms`."""

    def invalidate(self, kind: str, key: str) -> None:
        """Removes an entry."""

    def clear(self) -> None:
        """Removes every entry of every kind."""

    def stats(self) -> dict[str, dict[str, int]]:
        """By kind: hits, misses, stores, invalidations, entries, bytes."""

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

def price_cart(
    cart: Cart, coupons: Sequence[Coupon], rules: Rules, now_ms: int | None
) -> Outcome | tuple[Told, Told]:
    """The decision; or violations of the cart, else those of coupons and rules.

    `now_ms` is milliseconds since 1970, None of a time without a zone.
    """

def best_cart(cart: Cart, coupons: Sequence[Coupon], rules: Rules, now_ms: int | None) -> Outcome | tuple[Told, Told]:
    """The same of the best of the coupons."""

def best_carts(
    calls: Sequence[tuple[Cart, Sequence[Coupon]]], rules: Rules, now_ms: int | None, threads: int
) -> tuple[int | None, list[Outcome | tuple[Told, Told]]]:
    """The same for each call, on so many threads (0: one a core); or the place of one that is wrong, and its violations."""

def check_terms(terms: Terms) -> Told:
    """What is wrong with the terms."""
