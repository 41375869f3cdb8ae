"""What the calculator refuses to look at; every violation is found in one go, by the path of its field.

ValueError
└── InvalidInput
    ├── InvalidCart      paths within the cart, as `lines[3].unit_price`
    ├── InvalidCoupons   paths within the call, as `coupons[2].terms.amount_off`, `rules.count_limit`, `now`
    └── InvalidTerms     paths within the terms, as `tiers[0].min_spend`
"""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["InvalidCart", "InvalidCoupons", "InvalidInput", "InvalidTerms", "Violation"]


class Violation(NamedTuple):
    """One field and what is wrong with it."""

    field: str
    text: str


class InvalidInput(ValueError):
    """Base of the three; `violations` is never empty."""

    def __init__(self, violations: Iterable[tuple[str, str]]) -> None:
        self.violations = tuple(Violation(field, text) for field, text in violations)
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.violations))


class InvalidCart(InvalidInput):
    """The cart is wrong; coupons and rules were not looked at."""


class InvalidCoupons(InvalidInput):
    """Coupons, rules or the time of the call are wrong."""


class InvalidTerms(InvalidInput):
    """The terms of a template are wrong."""
