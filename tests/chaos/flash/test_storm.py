"""The short form of the storm: ten faults, one of each sort. `make chaos-flash` has the long one."""

import io
import os
from pathlib import Path

from rich.console import Console

from tests.chaos.flash.run import run, short_plan, show


async def test_every_answered_win_is_one_coupon_after_a_storm(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    report = await run(short_plan(seed), tmp_path)
    said = io.StringIO()
    show(report, Console(file=said, width=160))
    assert not report.verdict.findings, said.getvalue()
    assert report.verdict.counts["wins told, ack = REDIS"] > 0
    assert report.verdict.counts["wins told, ack = MYSQL"] > 0
