"""What goes wrong with the private stores, told so that a person can act on it."""

from pathlib import Path


class DevStackError(Exception):
    """A private server did not start, stop or answer. The text carries the end of its log."""


class MissingProgramError(DevStackError):
    """A server is not installed. The text says what to install."""


def log_tail(log: Path, lines: int = 20) -> str:
    """The last lines of a log, indented for an error message."""
    try:
        text = log.read_text("utf-8", errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (empty log)"
