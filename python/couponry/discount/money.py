"""Amounts in minor units as people read them: 320 CNY is "3.20 CNY", 320 JPY is "320 JPY"."""

from typing import Final

__all__ = ["amount_text"]

# Minor units by ISO 4217, of the currencies that have not two digits.
_ZERO: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR: Final = "CLF UYW"


def _digits(currency: str) -> int:
    return next((digits for digits, codes in ((0, _ZERO), (3, _THREE), (4, _FOUR)) if currency in codes.split()), 2)


def amount_text(amount: int, currency: str) -> str:
    """The amount in the currency's major unit, with its code."""
    digits = _digits(currency)
    sign = "-" if amount < 0 else ""
    major, minor = divmod(abs(amount), 10**digits)
    return f"{sign}{major}.{minor:0{digits}} {currency}" if digits else f"{sign}{major} {currency}"
