"""The service as the demo runs it: a process of its own, reached over gRPC, ended with the demo however that ends."""

import os
import signal
import socket
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from couponry.devstack import DevStack, DevStackError
from couponry.devstack.process import Keeper, PidFile, wait_until

__all__ = ["LayerReads", "Service"]

_START_S = 30.0
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class LayerReads:
    """Keys of one kind answered by each layer."""

    kind: str
    l1: int
    l2: int
    l3: int


class Service:
    """`couponry serve` on free loopback ports over a private stack."""

    def __init__(self, stack: DevStack, state: Path, *, frontend: str = "native") -> None:
        self._log = state / "log" / "service.log"
        self._pid_file = PidFile(state / "run" / "service.pid")
        self._state = state
        self.address = f"127.0.0.1:{_free_port()}"
        self._metrics = f"127.0.0.1:{_free_port()}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COUPONRY_")},
            **stack.environment(),
            "COUPONRY_SERVER__LISTEN": self.address,
            "COUPONRY_SERVER__FRONTEND": frontend,
            "COUPONRY_METRICS__LISTEN": self._metrics,
            "COUPONRY_LOG__LEVEL": "warning",
        }
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the process and waits until it takes connections. Raises DevStackError with the log's end."""
        if self._keeper is None:
            self._keeper = Keeper()
        begin = self._log.stat().st_size if self._log.exists() else 0
        argv = [sys.executable, "-m", "couponry", "serve"]
        self._pid_file.write(self._keeper.start(argv, self._log, self._state, self._environment))
        deadline = time.monotonic() + _START_S
        wait_until(lambda: self._answers() or self._pid_file.running() is None, deadline - time.monotonic())
        if not self._answers():
            said = self._log.read_text("utf-8", errors="replace")[begin:][-2000:]
            self.stop()
            raise DevStackError(f"the service does not start:\n{said}")

    def stop(self) -> None:
        """SIGTERM: the service drains and ends."""
        self._pid_file.end(signal.SIGTERM, _STOP_S)
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None

    def kill(self) -> None:
        """kill -9."""
        self._pid_file.end(signal.SIGKILL, _STOP_S)

    def layer_reads(self) -> list[LayerReads]:
        """What each layer answered since the service started."""
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=10) as page:
            text = page.read().decode()
        counts: dict[str, dict[str, int]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "couponry_layer_reads_total":
                    counts.setdefault(sample.labels["kind"], {})[sample.labels["layer"]] = int(sample.value)
        return [LayerReads(kind, **layers) for kind, layers in sorted(counts.items())]

    def _answers(self) -> bool:
        host, _, port = self.address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
