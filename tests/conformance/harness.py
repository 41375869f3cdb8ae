"""Servers under test, each in a process of its own, and the table that a run ends with."""

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

__all__ = ["Report", "Row", "Server", "running"]

_REPOSITORY = Path(__file__).resolve().parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `tls_folder` has the certificate that it shows on `tls_port`."""

    frontend: str
    pid: int
    port: int
    tls_port: int
    unix: Path
    tls_folder: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def rss(self) -> int:
        """Bytes of memory that the process holds now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def files(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def alive(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat")
        return state.exists() and state.read_text(encoding="ascii").rsplit(")", 1)[1].split()[0] != "Z"


@contextlib.contextmanager
def running(
    frontend: str, *options: str, module: str = "tests.conformance.server", log: Path | None = None
) -> Iterator[Server]:
    """A server of `module` (by default with the conformance servicers), stopped by SIGTERM at the end."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder, contextlib.ExitStack() as stack:
        make_certificate(Path(folder))
        errors = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        unix = Path(folder, "server.sock")
        command = (sys.executable, "-m", module, "--frontend", frontend)
        listening = ("--unix", str(unix), "--tls", folder)
        environment = os.environ | {"PYTHONPATH": _python_path()}
        process = subprocess.Popen(
            (*command, *listening, *options),
            cwd=_REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the {frontend} server did not start: run `{' '.join(command)}`")
            ready = json.loads(line)
            yield Server(frontend, ready["pid"], ready["port"], ready["tls_port"], unix, Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _python_path() -> str:
    here = (str(_REPOSITORY / "python"), str(_REPOSITORY))
    return os.pathsep.join((*here, *filter(None, (os.environ.get("PYTHONPATH"),))))


def make_certificate(folder: Path) -> None:
    """A self-signed certificate for 127.0.0.1 and localhost, `cert.pem` and `key.pem`."""
    names = "subjectAltName=DNS:localhost,DNS:*.test.google.fr,IP:127.0.0.1"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(folder / "key.pem"))
    shown = ("-days", "2", "-subj", "/CN=localhost", "-addext", names, "-out", str(folder / "cert.pem"))
    subprocess.run(
        ("openssl", "req", "-x509", *key, *shown),
        check=True,
        capture_output=True,
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `met` is None for what was not run; then `found` says why."""

    what: str
    found: str
    bar: str
    met: bool | None


class Report:
    """Rows of one run; printed as a table, and the exit code of the run."""

    def __init__(self, title: str, words: tuple[str, str] = ("ok", "FAILED")) -> None:
        self._title = title
        self._words = words
        self._rows: list[Row] = []

    def add(self, what: str, found: str, bar: str, met: bool | None) -> None:
        self._rows.append(Row(what, found, bar, met))
        word = "skipped" if met is None else self._words[0 if met else 1]
        print(f"  {word:8} {what}: {found}", flush=True)

    def skip(self, what: str, why: str, bar: str = "") -> None:
        self.add(what, why, bar, None)

    def close(self) -> int:
        table = Table(title=f"{self._title}, {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}")
        for heading in ("what", "found", "bar", ""):
            table.add_column(heading, overflow="fold")
        counts = [0, 0, 0]
        for row in self._rows:
            index = 2 if row.met is None else 0 if row.met else 1
            counts[index] += 1
            table.add_row(row.what, row.found, row.bar, (*self._words, "skipped")[index])
        Console(width=140).print(table)
        print(f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped", flush=True)
        return 1 if counts[1] else 0
