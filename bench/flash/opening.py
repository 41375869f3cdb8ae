"""A sale that opens at second 0 with thousands of connected clients: the first second, and who was refused.

Run: `make bench-flash-open`, or `python -m bench.flash.opening [--clients 8000]`. The clients are connections of two
processes, made before. Once they all claim when it opens, once they have claimed without a pause since a second before.
Nobody who claims after the opening may hear anything but WON: the stock is enough. The exit status says whether that
and the books were right.
"""

import argparse
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.flash import stage
from bench.flash.stage import PARTICIPATE, Load, Wrong
from couponry.v1 import flash_sale_pb2
from tests.conformance import tools

_WON = str(flash_sale_pb2.PARTICIPATE_STATUS_WON)
_NOT_STARTED = str(flash_sale_pb2.PARTICIPATE_STATUS_NOT_STARTED)
_CLIENTS = 8000
_PROCESSES = 2
# Of the limit of open files, for clients; the rest is the service's own.
_SHARE = 0.8
_STOCK = 10_000_000
# What the connections take, and the fence pass that opens the activity.
_CONNECT_S = 20
_SECOND = 1.0


@dataclass(frozen=True, slots=True)
class Opening:
    """How the clients come: `early` seconds before the opening; `once`: each claims once."""

    name: str
    early: float
    once: bool


OPENINGS = (
    Opening("each claims once when it opens", 0, once=True),
    Opening("each claims again and again, from a second before", 1, once=False),
)


def _run(opening: Opening, clients: int) -> list[dict[str, Any]]:
    """The reports of the client processes. Raises Wrong where somebody was refused, or the books are wrong."""
    each = clients // _PROCESSES
    with stage.opened_shop() as shop:
        with shop.service() as service:
            start = int(time.time()) + _CONNECT_S
            activity_id = stage.create_activity(service, _STOCK, start=datetime.fromtimestamp(start, UTC))
            load = Load(
                _SECOND,
                connections=each,
                streams=1,
                warmup=opening.early,
                start_at=start - opening.early,
                requests=each if opening.once else None,
            )
            running = [
                stage.start_load(
                    service, PARTICIPATE, load, stage.claims(activity_id, load.calls, first=1 + at * load.calls)
                )
                for at in range(_PROCESSES)
            ]
            reports = [stage.end_load(process) for process in running]
            told = sum(report["kinds"].get(_WON, 0) for report in reports)
            shop.drain(activity_id, told)
        shop.books(activity_id, stock=_STOCK, told=told).check()
        shop.audit(activity_id)
    early = sum((Counter(report["kinds"]) for report in reports), Counter())
    late = sum((Counter(report["measured_kinds"]) for report in reports), Counter())
    if set(late) != {_WON} or set(early) - {_WON, _NOT_STARTED}:
        raise Wrong(f"refused: {dict(late)} after the opening, {dict(early)} in all")
    return reports


def _show(opening: Opening, reports: list[dict[str, Any]], clients: int) -> None:
    claims = sum(report["calls"] for report in reports)
    worst = {name: max(report["latency_us"][name] for report in reports) / 1e3 for name in ("p50", "p99", "max")}
    server = sum(report["server_cpu_us"] * report["calls"] for report in reports) / _PROCESSES / claims
    print(
        f"{clients} clients, {opening.name}: {claims} claims of the first second, all WON; "
        f"P50 {worst['p50']:.0f} ms, P99 {worst['p99']:.0f} ms, the slowest {worst['max']:.0f} ms; "
        f"server {server:.1f} us CPU a claim",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=_CLIENTS)
    arguments = parser.parse_args()
    try:
        tools.loadgen()
    except tools.Missing as missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return 2
    allowed = int(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * _SHARE)
    clients = min(arguments.clients, allowed) // _PROCESSES * _PROCESSES
    wrong = 0
    for opening in OPENINGS:
        try:
            _show(opening, _run(opening, clients), clients)
        except Wrong as error:
            wrong += 1
            print(f"VOID  {opening.name}: {error}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
