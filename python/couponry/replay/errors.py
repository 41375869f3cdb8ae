"""What a person can mend before a replay: the file, the line and the field that are wrong."""

from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["BadFiles", "BadLine", "BadLines", "ReplayError", "WorkerDied"]


class BadLine(NamedTuple):
    """A line that is no cart (the first is 1): (field, text) of what is wrong; no field is the line as a whole."""

    line: int
    problems: tuple[tuple[str, str], ...]

    def shown(self, name: str) -> Iterable[str]:
        """`carts.jsonl:17: lines[3].unit_price: must be a whole number`, a line of text for each problem."""
        return (": ".join(filter(None, (f"{name}:{self.line}", field, text))) for field, text in self.problems)


class ReplayError(Exception):
    """A replay that cannot go on. The text is for the person who typed the command, one problem a line."""


class BadFiles(ReplayError):
    """A file that cannot be read, or a campaign that cannot be priced."""


class BadLines(ReplayError):
    """Carts that are wrong."""


class WorkerDied(ReplayError):
    """A process that prices carts ended, by no doing of ours: killed, or out of memory."""
