"""The speed table of the front ends: both in one run, one after the other, medians of several rounds.

Run: `make bench-frontend`, or `python -m bench.frontend.run [--rounds 3] [--seconds 3] [--json FILE]`.
"""

import argparse
import json
import resource
import socket
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hyperframe.frame import Frame, SettingsFrame

from tests.conformance import tools
from tests.conformance.harness import Report, Server, running

_SERVER = "bench.frontend.server"
_GET_TEMPLATE = "/couponry.v1.TemplateService/GetTemplate"
_BARE = "/couponry.conformance.Bare"
_IDLE = 2000
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """One way of calling: a method, how many connections and streams on each, and what a right answer is."""

    method: str
    connections: int
    streams: int
    options: tuple[str, ...] = ()


_LOADS = {
    "cached": Load(_GET_TEMPLATE, 8, 32, ("--field", "1=int:1..1000", "--expect-messages", "1")),
    "wide": Load(_GET_TEMPLATE, 8, 128, ("--field", "1=int:1..1000", "--expect-messages", "1")),
    "single": Load(_GET_TEMPLATE, 1, 1, ("--field", "1=int:1..1000", "--expect-messages", "1")),
    "python": Load(f"{_BARE}/Echo", 8, 32, ("--expect-length", "0")),
    "stream": Load(
        f"{_BARE}/Stream",
        4,
        1,
        ("--message-hex", b"1000 100".hex(), "--expect-length", "100", "--expect-messages", "1000"),
    ),
}


def _measure(server: Server, load: Load, seconds: float) -> dict[str, Any]:
    command = (str(tools.loadgen()), server.address, load.method, "-c", str(load.connections), "-m", str(load.streams))
    times = ("--duration", str(seconds), "--warmup", "1", "--server-pid", str(server.pid))
    done = subprocess.run((*command, *load.options, *times), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{load.method} on {server.frontend}: {(done.stderr or done.stdout)[-600:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _idle_bytes(server: Server) -> float:
    """Memory of the server for one connection that has said hello and calls nothing."""
    opened = [_greeted(server) for _ in range(50)]
    before = server.rss()
    try:
        opened += [_greeted(server) for _ in range(_IDLE)]
        return (server.rss() - before) / _IDLE
    finally:
        for each in opened:
            each.close()


def _greeted(server: Server) -> socket.socket:
    """A connection on which both sides have sent and confirmed their settings."""
    opened = socket.create_connection(("127.0.0.1", server.port))
    acknowledgement = SettingsFrame(0, flags=["ACK"])
    opened.sendall(_PREFACE + SettingsFrame(0, settings={}).serialize() + acknowledgement.serialize())
    with opened.makefile("rb") as stream:
        while True:
            frame, length = Frame.parse_frame_header(memoryview(stream.read(9)))
            stream.read(length)
            if isinstance(frame, SettingsFrame) and "ACK" in frame.flags:
                return opened


def _round(frontend: str, seconds: float, found: dict[str, list[float]]) -> None:
    with running(frontend, module=_SERVER) as server:
        for name, load in _LOADS.items():
            if name == "wide" and frontend == "reference":
                continue
            result = _measure(server, load, seconds)
            found[f"{frontend} {name} rate"].append(result["calls_per_second"])
            found[f"{frontend} {name} messages"].append(result["messages_per_second"])
            found[f"{frontend} {name} cpu"].append(result["server_cpu_us"])
            found[f"{frontend} {name} p50"].append(result["latency_us"]["p50"])
            found[f"{frontend} {name} client"].append(result["client_cpu_us"])
    with running(frontend, module=_SERVER) as server:
        found[f"{frontend} idle"].append(_idle_bytes(server))


def _report(found: dict[str, list[float]]) -> int:
    median = {name: statistics.median(values) for name, values in found.items()}

    def pair(name: str, unit: str, scale: float = 1.0) -> str:
        return f"{median[f'native {name}'] / scale:,.1f} {unit} against {median[f'reference {name}'] / scale:,.1f}"

    def ratio(name: str) -> float:
        return median[f"native {name}"] / median[f"reference {name}"]

    report = Report("Front ends, medians", ("MET", "MISSED"))

    def faster(what: str, name: str, unit: str, times: float) -> None:
        found = f"{ratio(name):.1f} times: {pair(name, f'k {unit}/s', 1000)}"
        report.add(what, found, f">= {times:g} times", ratio(name) >= times)

    def cheaper(what: str, name: str, times: float) -> None:
        report.add(what, f"1/{1 / ratio(name):.1f}: {pair(name, 'us')}", f"<= 1/{times:g}", ratio(name) <= 1 / times)

    cheaper("cached GetTemplate, 8 x 32: CPU a request", "cached cpu", 25)
    faster("cached GetTemplate, 8 x 32: requests/s", "cached rate", "requests", 20)
    cheaper("cached GetTemplate, 1 x 1: P50", "single p50", 3)
    faster("call to an empty Python servicer, 8 x 32", "python rate", "requests", 2.5)
    faster("server stream of 100-byte messages, 4 x 1", "stream messages", "messages", 5)
    idle = median["native idle"] / 1024
    reference = median["reference idle"] / 1024
    report.add(f"{_IDLE:,} idle connections, each", f"{idle:.1f} KiB against {reference:.1f}", "<= 40 KiB", idle <= 40)
    client = median["native wide client"]
    wide = f"the server's {median['native wide cpu']:.2f} us, {median['native wide rate'] / 1000:,.1f} k requests/s"
    report.add("load generator, 8 x 128: its own CPU a request", f"{client:.2f} us ({wide})", "< 1 us", client < 1)
    return report.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="write every round's figures there")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    found: dict[str, list[float]] = defaultdict(list)
    try:
        for _ in range(arguments.rounds):
            for frontend in ("reference", "native"):
                _round(frontend, arguments.seconds, found)
    except tools.Missing as missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return 2
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return _report(found)


if __name__ == "__main__":
    sys.exit(main())
