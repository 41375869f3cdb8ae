"""The conformance runs: other projects' clients and checkers against one of the front ends.

Run: `python -m tests.conformance.run [--frontend native|reference] [interop-go interop-java h2spec clients]`.
"""

import argparse
import sys
from collections.abc import Callable

from tests.conformance import clients, h2spec, interop
from tests.conformance.harness import Report, Server, running

_RUNS: dict[str, Callable[[Server, Report], None]] = {
    "interop-go": interop.run_go,
    "interop-java": interop.run_java,
    "clients": clients.run,
    "h2spec": h2spec.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="run", help=", ".join(_RUNS))
    parser.add_argument("--frontend", choices=("native", "reference"), default="native")
    arguments = parser.parse_args()
    unknown = set(arguments.runs) - _RUNS.keys()
    if unknown:
        parser.error(f"no such run: {', '.join(sorted(unknown))}")
    report = Report(f"Conformance of the {arguments.frontend} front end")
    for name in arguments.runs or _RUNS:
        with running(arguments.frontend) as server:
            _RUNS[name](server, report)
            if not server.alive():
                report.add(name, "the server has ended", "it runs on", met=False)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
