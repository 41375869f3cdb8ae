"""Codes of coupons as people see and type them; computed from the id, never stored.

The key is made by the first migration and kept in MySQL: with another key every code that is out there is worthless.
"""

from typing import Final

from couponry._core import CodeKey
from couponry.store.mysql import MySQL

__all__ = ["Codes"]

_SELECT_KEY: Final = "SELECT value FROM secrets WHERE name = 'coupon_code_key'"


class Codes:
    """Turns ids into codes and back."""

    def __init__(self, key: bytes) -> None:
        self.key: Final = CodeKey(key)

    @classmethod
    async def load(cls, mysql: MySQL) -> "Codes":
        """With the database's own key. Raises LookupError where no migration has run."""
        row = await mysql.fetch_one(_SELECT_KEY)
        if row is None:
            raise LookupError("the database has no code key: run `couponry migrate`")
        return cls(row["value"])

    def encode(self, coupon_id: int) -> str:
        """`XXXX-XXXX-XXXX`: 11 characters and a check character."""
        code = self.key.encode(coupon_id)
        return f"{code[:4]}-{code[4:8]}-{code[8:]}"

    def decode(self, typed: str) -> int | None:
        """The id of a code as typed (any case, blanks, hyphens, O for 0); None where no coupon can have it."""
        return self.key.decode(typed) if len(typed) <= 64 else None
