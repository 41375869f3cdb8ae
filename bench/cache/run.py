"""The tables of the cache: hit rates on traces, the cost of a hit, memory, and how soon a commit reaches L1.

Run: `make bench-cache`. Times move with the machine; hit rates do not.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

_TRACES: Final = Path("target/release/couponry-traces")
_CONTENDERS: Final = ("couponry", "moka", "lru", "optimum")


@dataclass(frozen=True, slots=True)
class Score:
    """A contender on one kind of a trace. `lies` are hits on a row whose change had been told."""

    trace: str
    kind: str
    contender: str
    reads: int
    hits: int
    lies: int


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the verdict. `met` None: it has no bar."""

    what: str
    found: str
    bar: str
    met: bool | None


def _json_lines(*command: str) -> Iterator[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    for line in done.stdout.splitlines():
        yield json.loads(line)


def _module(name: str, *arguments: str) -> dict[str, Any]:
    [figures] = _json_lines(sys.executable, "-m", name, *arguments)
    return figures


def hit_rates(console: Console, divisor: int, rounds: int) -> Iterator[Bar]:
    """The table of the traces. moka's hits count with its lies: what it answers, right or wrong.

    moka draws its hash at random, which moves a hit rate by up to half a point: the sum of several rounds is shown.
    """
    traces: defaultdict[str, list[Score]] = defaultdict(list)
    for _ in range(rounds):
        for line in _json_lines(str(_TRACES), str(divisor)):
            traces[line["trace"]].append(Score(**line))
    table = Table("trace", "reads", "Couponry's L1", "moka bare", "of which wrong", "LRU", "optimum", title="Hit rates")
    for trace, all_kinds in traces.items():
        kinds = dict.fromkeys(score.kind for score in all_kinds)
        groups = {f"{trace}: {kind}": [each for each in all_kinds if each.kind == kind] for kind in kinds}
        for name, group in (groups if len(kinds) > 1 else {}).items():
            table.add_row(name, *_cells(group))
        table.add_row(trace, *_cells(all_kinds), end_section=True)
        away = _rate(all_kinds, "couponry") - _rate(all_kinds, "moka")
        yield Bar(f"{trace}: hit rate against moka bare", f"{away * 100:+.2f} points", ">= -0.50", away >= -0.005)
    console.print(table)
    day = _rate(traces["flash-sale day"], "couponry")
    yield Bar("flash-sale day: L1 hits of all reads", f"{day:.1%}", ">= 95 %", day >= 0.95)


def _cells(group: Iterable[Score]) -> list[str]:
    scores = list(group)
    reads = sum(score.reads for score in scores if score.contender == "moka")
    lies = sum(score.lies for score in scores if score.contender == "moka") / reads
    ours, moka, lru, optimum = (f"{_rate(scores, name):.2%}" for name in _CONTENDERS)
    return [f"{reads:,}", ours, moka, f"{lies:.2%}", lru, optimum]


def _rate(scores: Iterable[Score], contender: str) -> float:
    own = [score for score in scores if score.contender == contender]
    return sum(score.hits + score.lies for score in own) / sum(score.reads for score in own)


def cost_of_a_hit() -> Iterator[Bar]:
    """From Rust beside moka, from Python beside a dict."""
    [rust] = _json_lines(str(_TRACES), "hit")
    hit, bare = rust["hit_ns"], rust["moka_ns"]
    yield Bar("L1 hit from Rust", f"{hit:.0f} ns; moka bare {bare:.0f} ns", "<= 150 ns", hit <= 150)
    yield Bar("the same, both clocks read", f"{rust['hit_with_clocks_ns']:.0f} ns", "", None)
    python = _module("bench.cache.get")
    found = f"{python['l1_ns']:.0f} ns; dict.get {python['dict_ns']:.0f} ns"
    yield Bar("L1 hit from Python", found, "<= 300 ns", python["l1_ns"] <= 300)


def memory(seconds: float) -> Iterator[Bar]:
    """The process at capacity, less what it held before."""
    figures = _module("bench.cache.memory", "--seconds", str(seconds))
    times = (figures["highest"] - figures["base"]) / figures["capacity"]
    found = f"{times:.2f} times ({figures['stores']:,} stores in {seconds:.0f} s, {figures['floors']:,} floors)"
    yield Bar("resident set at capacity, less its base", found, "<= 1.3 times", times <= 1.3)


def reading_the_log(rows: int) -> Iterator[Bar]:
    """On one core, into floors of an L1 that holds none of the rows: the cost of a change that concerns nothing."""
    figures = _module("bench.cache.log", "--rows", str(rows))
    for name, what, bar in (("one", "one row a transaction", 200_000), ("large", "a large transaction", 1_000_000)):
        decoded, into_l1 = figures[name]["decoded_ns"], figures[name]["into_l1_ns"]
        a_second = 1e9 / into_l1
        found = f"{a_second:,.0f} rows/s: {into_l1:.0f} ns a row, {decoded:.0f} ns of it decoded"
        yield Bar(f"binlog into L1, {what}", found, f">= {bar:,} rows/s", a_second >= bar)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--divisor", type=int, default=1, help="the traces' length is divided by it")
    parser.add_argument("--rounds", type=int, default=3, help="how often each trace is played")
    parser.add_argument("--memory-seconds", type=float, default=30)
    parser.add_argument("--log-rows", type=int, default=1_000_000, help="changes in the log that is read")
    arguments = parser.parse_args()
    console = Console(width=140, highlight=False)
    bars = [
        *hit_rates(console, arguments.divisor, arguments.rounds),
        *cost_of_a_hit(),
        *memory(arguments.memory_seconds),
        *reading_the_log(arguments.log_rows),
    ]
    table = Table("what", "found", "bar", "", title="The cache")
    for bar in bars:
        word = "" if bar.met is None else "[green]MET" if bar.met else "[red]MISSED"
        table.add_row(bar.what, bar.found, bar.bar, word)
    console.print(table)
    return 1 if any(bar.met is False for bar in bars) else 0


if __name__ == "__main__":
    sys.exit(main())
