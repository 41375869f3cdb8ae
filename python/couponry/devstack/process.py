"""Starting processes through the keeper, and ending them by pid, never by name.

A pid alone may belong to somebody else by now, so a pid file keeps the process's start time too.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from couponry.devstack.errors import DevStackError

_POLL_S = 0.01


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Looks at `condition` every 10 ms; false when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def start_time(pid: int) -> str | None:
    """When the process started, as a text to compare; None if it does not run (or is a zombie)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        if Path("/proc/self").exists():
            return None
    else:
        state, *rest = stat.rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return None if not shown or shown[0].startswith("Z") else " ".join(shown[1:])


@dataclass(frozen=True, slots=True)
class PidFile:
    """Names one running process, or none."""

    path: Path

    def write(self, pid: int) -> None:
        """Remembers the process; one that has ended already is remembered as ended."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": pid, "started": start_time(pid)}))
        temporary.replace(self.path)

    def running(self) -> int | None:
        """The pid of the process that was remembered, while it still runs."""
        try:
            known = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None
        alive = known["started"] is not None and start_time(known["pid"]) == known["started"]
        return int(known["pid"]) if alive else None

    def end(self, sign: signal.Signals, timeout_s: float) -> None:
        """Sends the signal, waits until the process is gone, and kills it when that takes long."""
        pid = self.running()
        if pid is not None:
            for step in (sign, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.kill(pid, step)
                if wait_until(lambda: self.running() is None, timeout_s):
                    break
            else:
                raise DevStackError(f"process {pid} does not end")
        self.path.unlink(missing_ok=True)


class Keeper:
    """The owner's end of keeper.py. Closing it, or dying, ends what it started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C of the terminal is for the owner, who ends it in order
        )

    def start(self, argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]) -> int:
        """Starts a program with its output in `log` and returns its pid."""
        return int(self._order("start", argv, log, cwd, env)["pid"])

    def run(self, argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]) -> int:
        """Runs a program to its end and returns its exit status."""
        return int(self._order("run", argv, log, cwd, env)["code"])

    def detach(self) -> None:
        """Ends the keeper and leaves what it started running."""
        self._send({"do": "detach"})
        self.close()

    def close(self) -> None:
        """Ends the keeper and everything that it still runs."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _order(self, do: str, argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str]) -> dict[str, Any]:
        log.parent.mkdir(parents=True, exist_ok=True)
        return self._send({"do": do, "argv": list(argv), "log": str(log), "cwd": str(cwd), "env": dict(env)})

    def _send(self, order: dict[str, Any]) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None or stdin.closed:
            raise DevStackError("the keeper of the private servers has ended")
        with self._lock:
            try:
                stdin.write(json.dumps(order) + "\n")
                stdin.flush()
                line = stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise DevStackError("the keeper of the private servers has ended")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise DevStackError(reply["error"])
        return reply
