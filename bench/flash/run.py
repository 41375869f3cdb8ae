"""The speed table of flash sales: new stores for each run, the median and the worst of several; books after each run.

Run: `make bench-flash` (QUICK=1: one short run each), or `python -m bench.flash.run [--runs 3] [--seconds 10]
[--only WORD] [--json FILE]`. The exit status tells whether the books were right, not whether a bar was met.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.flash import stage
from bench.flash.stage import PARTICIPATE, RECEIVE, Load, Shop, Wrong
from couponry.v1 import flash_sale_pb2
from tests.conformance import tools
from tests.conformance.harness import Report

_WON = str(flash_sale_pb2.PARTICIPATE_STATUS_WON)
_SOLD_OUT = str(flash_sale_pb2.PARTICIPATE_STATUS_SOLD_OUT)
_MOST_STOCK = 10_000_000
_FEW = 1000
# An open loop that got behind by more than this share did not achieve its rate.
_ACHIEVED = 0.99
_SINGLES = 200

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: what is run, and which figures must lie on which side of what."""

    name: str
    run: Callable[[float], Figures]
    least: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    stated: tuple[str, ...] = ()

    def bar(self) -> str:
        """In words."""
        words = [f"{name} >= {_short(value)}" for name, value in self.least.items()]
        return ", ".join([*words, *(f"{name} < {_short(value)}" for name, value in self.most.items())])

    def met(self, figures: Figures) -> bool:
        """Whether every bar is met."""
        over = all(figures[name] >= value for name, value in self.least.items())
        return over and all(figures[name] < value for name, value in self.most.items())


def _claims(load: Load, *, stock: int = _MOST_STOCK, ack: flash_sale_pb2.Ack = flash_sale_pb2.ACK_REDIS) -> Figures:
    """Claims of distinct users without a persister beside them; it writes the rows afterwards."""
    with stage.opened_shop() as shop:
        with shop.service(JOBS__ENABLED="false") as service:
            activity_id = stage.create_activity(service, stock, ack=ack)
            redis_before = shop.redis_cpu_seconds()
            running = stage.start_load(service, PARTICIPATE, load, stage.claims(activity_id, load.calls))
            report = stage.end_load(running)
            redis_us = (shop.redis_cpu_seconds() - redis_before) * 1e6 / sum(report["kinds"].values())
        figures = _of_load(report, load)
        figures["Redis us"] = redis_us
        told = _told(report, {_WON, _SOLD_OUT})
        with shop.service():
            shop.drain(activity_id, told)
            _check(shop, activity_id, stock, told)
    return figures


def _claims_beside_persister(seconds: float) -> Figures:
    load = Load(seconds, rate=60_000)
    with stage.opened_shop() as shop, shop.service() as service:
        activity_id = stage.create_activity(service, _MOST_STOCK)
        running = stage.start_load(service, PARTICIPATE, load, stage.claims(activity_id, load.calls))
        report = stage.end_load(running)
        meanwhile = shop.sold(activity_id)
        figures = _of_load(report, load)
        figures["persisted/s"] = meanwhile / (load.seconds + load.warmup)
        told = _told(report, {_WON})
        backlog = told - meanwhile
        rate = shop.drain(activity_id, told)
        figures["drained/s"] = rate if backlog > 0 else figures["persisted/s"]
        figures["backlog"] = backlog
        _check(shop, activity_id, _MOST_STOCK, told)
    return figures


def _receive(seconds: float) -> Figures:
    """One hot template, and as many calls at once that each need a transaction of their own."""
    hot, single = Load(seconds, connections=8, streams=64), Load(seconds, connections=8, streams=_SINGLES // 8)
    with stage.opened_shop() as shop, shop.service() as service:
        template_id, *others = stage.create_templates(service, 1 + _SINGLES)
        loads = [
            stage.start_load(service, RECEIVE, hot, _receives(template_id, template_id, "hot", hot.calls)),
            stage.start_load(service, RECEIVE, single, _receives(others[0], others[-1], "single", single.calls)),
        ]
        reports = [stage.end_load(each) for each in loads]
        for report, first, last in zip(reports, (template_id, others[0]), (template_id, others[-1]), strict=True):
            given = sum(report["kinds"].values())
            where = "template_id BETWEEN %s AND %s"
            rows = shop.query(f"SELECT COUNT(*) FROM user_coupons WHERE {where}", first, last)  # noqa: S608
            issued = shop.query(f"SELECT SUM(issued) FROM template_counters WHERE {where}", first, last)  # noqa: S608
            if not given == rows == issued:
                raise Wrong(f"answered {given}, rows {rows}, issued {issued}")
    return {
        "received/s": reports[0]["calls_per_second"],
        "P99 ms": reports[0]["latency_us"]["p99"] / 1e3,
        "singles/s": reports[1]["calls_per_second"],
    }


def _receives(first: int, last: int, name: str, calls: int) -> list[str]:
    return [
        "--field",
        f"1=text:{name}-{{}}:1..{calls}",
        "--field",
        f"2=int:{first}..{last}",
        "--field",
        f"3=text:request-{name}-{{}}:1..{calls}",
        "--count-kinds",
    ]


def _of_load(report: dict[str, Any], load: Load) -> Figures:
    figures = {
        "claims/s": report["calls_per_second"],
        "P50 ms": report["latency_us"]["p50"] / 1e3,
        "P99 ms": report["latency_us"]["p99"] / 1e3,
        "server us": report["server_cpu_us"],
        "client us": report["client_cpu_us"],
    }
    if load.rate is not None:
        figures["achieved"] = report["calls"] / (load.rate * load.seconds)
    return figures


def _told(report: dict[str, Any], expected: set[str]) -> int:
    """Wins that were told. Raises Wrong for any other answer than those expected."""
    kinds: dict[str, int] = report["kinds"]
    if set(kinds) - expected:
        raise Wrong(f"answers by status: {kinds}")
    return kinds.get(_WON, 0)


def _check(shop: Shop, activity_id: int, stock: int, told: int) -> None:
    shop.books(activity_id, stock=stock, told=told).check()
    shop.audit(activity_id)


_OPEN = {"achieved": _ACHIEVED}
ROWS = (
    Row(
        "60 k claims/s offered, all win",
        lambda s: _claims(Load(s, rate=60_000)),
        least=_OPEN,
        most={"P99 ms": 10},
    ),
    Row("80 k claims/s offered", lambda s: _claims(Load(s, rate=80_000)), least=_OPEN, most={"P99 ms": 20}),
    Row(
        "closed loop, 8 x 32",
        lambda s: _claims(Load(s, streams=32)),
        least={"claims/s": 120_000},
        most={"P99 ms": 6},
    ),
    Row(
        "closed loop, 8 x 128",
        lambda s: _claims(Load(s, streams=128)),
        least={"claims/s": 200_000},
        most={"P99 ms": 10},
    ),
    Row(
        "sold out, 100 k/s offered",
        lambda s: _claims(Load(s, rate=100_000), stock=_FEW),
        least=_OPEN,
        most={"P99 ms": 10},
    ),
    Row(
        "60 k/s offered while the persister drains",
        _claims_beside_persister,
        least={"persisted/s": 15_000, "drained/s": 30_000, **_OPEN},
        most={"P99 ms": 30},
        stated=("backlog",),
    ),
    Row(
        "ack = MYSQL, closed loop, 8 x 128",
        lambda s: _claims(Load(s, streams=128), ack=flash_sale_pb2.ACK_MYSQL),
        least={"claims/s": 5_000},
    ),
    Row(
        f"ReceiveCoupon, one hot template, beside {_SINGLES} single transactions",
        _receive,
        least={"received/s": 5_000},
        stated=("singles/s",),
    ),
)


def _short(value: float) -> str:
    return f"{value / 1000:,.0f} k" if value >= 1000 else f"{value:g}"


def _shown(name: str, values: list[float], *, higher: bool) -> str:
    worst = min(values) if higher else max(values)
    median = statistics.median(values)

    def text(value: float) -> str:
        return f"{value / 1000:,.1f} k" if value >= 1000 else f"{value:.2f}"

    return f"{name} {text(median)}" + (f" (worst {text(worst)})" if len(values) > 1 else "")


def _print_row(report: Report, row: Row, runs: list[Figures]) -> None:
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    higher = {"claims/s", "achieved", "persisted/s", "drained/s", "received/s", "singles/s"}
    found = ", ".join(_shown(name, [run[name] for run in runs], higher=name in higher) for name in runs[0])
    report.add(row.name, found, row.bar(), row.met(median))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--json", type=Path, help="write every run's figures there")
    arguments = parser.parse_args()
    try:
        tools.loadgen()
    except tools.Missing as missing:
        print(f"skipped: {missing}", file=sys.stderr)
        return 2
    report = Report("Flash sales", ("MET", "MISSED"))
    found: dict[str, list[Figures]] = {}
    wrong = 0
    for row in ROWS:
        if arguments.only not in row.name:
            continue
        runs: list[Figures] = []
        for _ in range(arguments.runs):
            try:
                runs.append(row.run(arguments.seconds))
            except Wrong as error:
                wrong += 1
                print(f"  VOID     {row.name}: {error}", flush=True)
        if runs:
            found[row.name] = runs
            _print_row(report, row, runs)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
    report.close()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
