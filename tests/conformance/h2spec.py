"""h2spec's 145 cases, with its own request headers and with those of a gRPC call.

The server of the Go and Python worlds fail 29 and 88 of them; the native front end may fail those named here, no more.
"""

import re
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.conformance import tools
from tests.conformance.harness import Report, Server

__all__ = ["run"]

# Cases that ask for DATA where gRPC's answer is one block of trailers, and the one that is not met when replies are
# made before the next frame is read.
_ALLOWED = frozenset({"generic/2/2", "generic/2/3", "http2/5.1.2/1"})
# What grpc.aio fails, at most.
_REFERENCE_FAILURES = 90
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
_OFTEN = "http2/7/1"
_CASES = 145


def run(server: Server, report: Report) -> None:
    for shape in ("plain", "grpc"):
        what = f"h2spec, {'its own' if shape == 'plain' else 'gRPC-shaped'} headers"
        try:
            program = tools.go_tool("h2spec", shaped=shape == "grpc")
        except tools.Missing as missing:
            report.skip(what, str(missing), f"{_CASES} cases")
            continue
        total, failures = _run(program, server)
        names = f": {', '.join(sorted(failures))}" if 0 < len(failures) <= 12 else ""
        found = f"{len(failures)} of {total} fail{names}"
        if server.frontend == "reference":
            report.add(
                what, found, f"at most {_REFERENCE_FAILURES}", total == _CASES and len(failures) <= _REFERENCE_FAILURES
            )
        else:
            report.add(
                what, found, f"only {', '.join(sorted(_ALLOWED))}", total == _CASES and failures.keys() <= _ALLOWED
            )
            for case in sorted(failures.keys() - _ALLOWED):
                print(f"           {case}: {failures[case]}", flush=True)
            misses = sum(bool(_run(program, server, _OFTEN)[1]) for _ in range(10))
            report.add(f"{what}: {_OFTEN} ten times", f"{misses} fail", "0", misses == 0)


def _run(program: Path, server: Server, *cases: str) -> tuple[int, dict[str, str]]:
    """How many cases ran, and those that failed, by `section/number`."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "junit.xml")
        options = (
            "-h",
            "127.0.0.1",
            "-p",
            str(server.port),
            "-P",
            "/couponry.conformance.Bare/Echo",
            "-j",
            str(result),
        )
        done = subprocess.run(
            (str(program), *cases, *options), capture_output=True, text=True, timeout=900, check=False
        )
        if not result.exists():
            return 0, {"h2spec": f"ended with {done.returncode} and no report: {done.stderr[-300:]}"}
        # Bytes that the server sent stand in it as they came.
        text = _NOT_XML.sub("?", result.read_text(encoding="utf-8", errors="replace"))
    suites = ET.fromstring(text)  # noqa: S314 (written by the program just run)
    total, failures = 0, {}
    for suite in suites.iter("testsuite"):
        for number, case in enumerate(suite.iter("testcase"), start=1):
            total += 1
            for kind in ("error", "failure"):
                found = case.find(kind)
                if found is not None:
                    lines = " | ".join((found.text or "").split("\n"))
                    failures[f"{suite.get('package')}/{number}"] = f"{case.get('classname')}: {lines}"
    return total, failures
