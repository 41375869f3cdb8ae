"""A process of the service: killed, frozen and started again, as a supervisor would."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from couponry.devstack.process import Keeper, PidFile

__all__ = ["Service"]

_STOP_S = 30.0


class Service:
    """`couponry serve` with an environment of its own. `held`: it is not to be started again now."""

    def __init__(self, name: str, state: Path, keeper: Keeper, environment: Mapping[str, str]) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log = state / f"{name}.log"
        self.held = False
        self._state = state
        self._keeper = keeper
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("COUPONRY_")},
            **environment,
        }
        self._pid_file = PidFile(state / f"{name}.pid")

    @property
    def pid(self) -> int | None:
        """Of the process, while it lives."""
        return self._pid_file.running()

    def start(self) -> None:
        """Starts it, and does not wait."""
        argv = [sys.executable, "-m", "couponry", "serve", "--wait"]
        self._pid_file.write(self._keeper.start(argv, self.log, self._state, self._environment))

    def kill(self) -> None:
        """kill -9. It is not started again before it is gone: the pid file would name the new process."""
        held, self.held = self.held, True
        try:
            self._pid_file.end(signal.SIGKILL, _STOP_S)
        finally:
            self.held = held

    def stop(self) -> None:
        """SIGTERM: it drains."""
        self.thaw()
        self._pid_file.end(signal.SIGTERM, _STOP_S)

    def freeze(self) -> None:
        """It stands still, as a host does that is out of memory or being moved."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    def _signal(self, sign: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
