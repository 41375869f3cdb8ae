"""What the doctor says of one thing it looked at."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "State", "judge", "line", "version_of"]


class State(StrEnum):
    """How a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: in which store, what it is, and what to write where if it is wrong."""

    store: str
    check: str
    state: State
    found: str
    advice: str = ""


def judge(store: str, check: str, found: str, advice: str, *, right: bool, wrong: State = State.FAIL) -> Finding:
    """What was found, with the advice where it is not right."""
    return Finding(store, check, State.OK, found) if right else Finding(store, check, wrong, found, advice)


def line(name: str, value: str) -> str:
    """The line for the server's configuration."""
    return f"[mysqld] {name} = {value}"


def version_of(text: str) -> tuple[int, ...]:
    """The first three numbers; none for what is no version."""
    parts = text.partition("-")[0].split(".")[:3]
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()
