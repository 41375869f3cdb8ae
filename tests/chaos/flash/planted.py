"""Faults planted into a scratch copy of the service, to judge the judge: `make chaos-flash-faults`.

Each is a rule of the protocol left out, and comes with the storm that needs the rule. The copy reads its scripts from a
folder of its own, so nothing is built and the service has no switch. The control is the same storms without a fault:
nothing may be found. Exit status 0: every planted fault was caught, and the control found nothing.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.table import Table

from tests.chaos.flash.run import Plan, Report, run, show

__all__ = ["PLANTED", "Edit", "Planted", "plant"]

_REPOSITORY: Final = Path(__file__).resolve().parents[3]
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Edit:
    """One place of one file."""

    file: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Planted:
    """A rule left out, and a storm that must show it."""

    name: str
    edits: Sequence[Edit]
    faults: Sequence[str]
    stock: int = 300
    users: int = 5000
    weather: bool = False
    settings: tuple[tuple[str, str], ...] = ()


_FENCE: Final = "python/couponry/flash_sale/fence.py"
_OUTBOX: Final = "python/couponry/flash_sale/outbox.py"
_WINS: Final = "python/couponry/flash_sale/wins.py"
_OWN_SCRIPTS: Final = Edit(
    "python/couponry/store/redis.py",
    "from couponry._core import lua_scripts\n",
    "def lua_scripts():\n"
    "    from pathlib import Path\n"
    "    folder = Path(__file__).parents[3] / 'lua'\n"
    "    return [(path.stem, path.read_text()) for path in sorted(folder.glob('*.lua'))]\n",
)

PLANTED: Final = (
    Planted(
        "claims do not ask which Redis this is",
        [
            Edit(
                "lua/claim.lua",
                "if m[1] ~= replid then return {0} end",
                "if not m[1] or m[1] == '' then return {0} end",
            )
        ],
        ["cut_tail"] * 6,
    ),
    Planted(
        "the persister takes over whatever epoch it finds",
        [
            Edit(
                _OUTBOX,
                '        epoch, cursor = row["epoch"], max(row["number"], row["base"])\n',
                "        m = (await self._sale.look(place)).m\n"
                '        if m.get("epoch") and int(m["epoch"]) != row["epoch"]:\n'
                "            await self._mysql.execute(\n"
                '                "UPDATE activity_progress SET epoch = %s, base = %s"\n'
                '                " WHERE activity_id = %s AND bucket = %s",\n'
                '                (int(m["epoch"]), int(m["base"]), *place),\n'
                "            )\n"
                "            row = await store.select_progress(self._mysql, place)\n"
                '        epoch, cursor = row["epoch"], max(row["number"], row["base"])\n',
            )
        ],
        ["lose_commits_and_a_pass"] * 3,
    ),
    Planted(
        "the outbox is written after the winners",
        [
            Edit(
                "lua/claim.lua",
                "  redis.call('XADD', KEYS[3], epoch .. '-' .. last, 'first', string.format('%d', first),\n"
                "    'ms', string.format('%d', now), 'wins', table.concat(outbox))\n",
                "",
            ),
            Edit(
                "lua/claim.lua",
                "  redis.call('HSET', KEYS[2], unpack(pairs_of_u))\n",
                "  redis.call('HSET', KEYS[2], unpack(pairs_of_u))\n"
                "  redis.call('XADD', KEYS[3], epoch .. '-' .. last, 'first', string.format('%d', first),\n"
                "    'ms', string.format('%d', now), 'wins', table.concat(outbox))\n",
            ),
        ],
        ["refuse_entries"] * 4,
        stock=3000,
    ),
    Planted(
        "the outbox is trimmed of what MySQL does not have",
        [
            Edit(
                "python/couponry/jobs/persister.py",
                'mark_epoch=progress["mark_epoch"],',
                'mark_epoch=progress["epoch"],',
            ),
            Edit("python/couponry/jobs/persister.py", 'mark_number=progress["mark_number"],', "mark_number=2**28,"),
        ],
        ["kill_persister", "kill_server"] * 3,
        stock=3000,
        settings=(("COUPONRY_FLASH_SALE__TRIM_AFTER_S", "1"), ("COUPONRY_JOBS__TRIM_INTERVAL_MS", "50")),
    ),
    Planted(
        "numbers go on where the data found end",
        [
            Edit(
                _FENCE,
                'base = max(progress["number"], progress["base"], closed.number("number")) + max(\n'
                '            left_before, left_after, closed.number("left")\n'
                "        )",
                'base = max(progress["number"], progress["base"], closed.number("number"))',
            )
        ],
        ["cut_tail", "promote", "cut_tail", "split"],
    ),
    Planted(
        "stock left counts increases that are pending",
        [Edit(_FENCE, 'total = run.progress["total"] - coming', 'total = run.progress["total"]')],
        ["kill_redis"] * 6,
    ),
    Planted(
        "a repeat is not recognised",
        [Edit("lua/claim.lua", "if string.sub(own, at, at + 15) == hash then", "if false then")],
        ["kill_server"] * 2,
    ),
    Planted(
        "offered wins are not held against the limit",
        [Edit(_WINS, 'limit=progress["highest_limit"]', "limit=2**31 - 1")],
        ["split"] * 5,
        stock=4000,
        users=600,
    ),
    Planted(
        "the cursor moves outside of the transaction",
        [
            Edit(
                _WINS,
                "await store.move_cursor(tx, place, number=cursor, sold=sold, failed=len(lost))",
                "await store.move_cursor(tx, place, number=0, sold=sold, failed=len(lost))",
            ),
            Edit(
                _OUTBOX,
                "        if taken is None:\n",
                "        if taken is not None:\n"
                "            await self._mysql.execute(\n"
                '                "UPDATE activity_progress SET number = GREATEST(number, %s)"\n'
                '                " WHERE activity_id = %s AND bucket = %s",\n'
                "                (last, *place),\n"
                "            )\n"
                "        if taken is None:\n",
            ),
        ],
        ["kill_persister", "kill_all_servers"] * 3,
    ),
    Planted(
        "a pass opens Redis before it commits",
        [
            Edit(
                _FENCE,
                "        return _Opening(run.token, closed.replid, rebuild=not adopt, m=m)\n",
                "        await self._sale.open(run.place, run.token, closed.replid, rebuild=not adopt, m=m)\n"
                "        return _Opening(run.token, closed.replid, rebuild=not adopt, m=m)\n",
            )
        ],
        ["lose_a_pass"] * 3,
        stock=3000,
    ),
    Planted(
        "a rebuild forgets the winners",
        [Edit(_FENCE, "            if not rows:\n                break\n", "            break\n")],
        ["empty_redis"] * 3,
    ),
    Planted(
        "ack = MYSQL is told before the row is there",
        [
            Edit(
                "python/couponry/flash_sale/claims.py",
                "batch.confirmed(await self._rows.persisted(place, [(number, user) for user, _, number in wins]))",
                "batch.confirmed([True] * len(wins))",
            )
        ],
        ["kill_persister_and_empty_redis"] * 4,
        stock=3000,
    ),
    Planted(
        "a move gives what it asked for, not what it took",
        [
            Edit(
                "python/couponry/flash_sale/adjuster.py",
                "        elif kind == store.MOVE:\n",
                '        elif kind == store.MOVE:\n            units = -pending["delta"]\n',
            )
        ],
        ["kill_server", "kill_all_servers", "kill_redis"] * 2,
        stock=60,
    ),
)
_CONTROL: Final = tuple(dict.fromkeys(name for planted in PLANTED for name in planted.faults))


def plant(edits: Sequence[Edit], tree: Path) -> None:
    """A copy of the service with these edits. Raises LookupError where the code is no longer what an edit expects."""
    for folder in ("python", "lua"):
        shutil.copytree(_REPOSITORY / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in (_OWN_SCRIPTS, *edits):
        path = tree / edit.file
        text = path.read_text("utf-8")
        if text.count(edit.right) != 1:
            raise LookupError(f"{edit.file} has {text.count(edit.right)} times: {edit.right.strip()}")
        path.write_text(text.replace(edit.right, edit.wrong), "utf-8")


async def _storm(planted: Planted, seed: int, state: Path) -> Report:
    tree = state / "tree"
    plant(planted.edits, tree)
    return await run(
        Plan(
            planted.faults,
            seed,
            weather=planted.weather,
            ends=False,
            tree=tree,
            settings=planted.settings,
            stock=planted.stock,
            users=planted.users,
            # A service with a fault may never come to rest.
            patience_s=12,
        ),
        state / "run",
    )


def _one(planted: Planted, seed: int) -> Report:
    state = Path(tempfile.mkdtemp(prefix="couponry-planted-"))
    try:
        return uvloop.run(_storm(planted, seed, state))
    finally:
        shutil.rmtree(state, ignore_errors=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="those with this text in their name")
    parser.add_argument("--no-control", action="store_true")
    arguments = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    table = Table("planted fault", "caught", "s", "by the finding", box=None, pad_edge=False)
    missed = False
    if not arguments.no_control:
        began = time.monotonic()
        report = _one(Planted("none", (), _CONTROL, weather=True), arguments.seed)
        findings = report.verdict.findings
        missed = bool(findings)
        if findings:
            show(report, console)
        table.add_row("(none)", "FOUND" if findings else "nothing", f"{time.monotonic() - began:.0f}", "")
    for planted in PLANTED:
        if arguments.only and arguments.only not in planted.name:
            continue
        began = time.monotonic()
        for attempt in range(_ATTEMPTS):
            found = _one(planted, arguments.seed + attempt).verdict.findings
            if found:
                break
        missed = missed or not found
        first = found[0].text if found else ""
        table.add_row(planted.name, "yes" if found else "NO", f"{time.monotonic() - began:.0f}", first[:150])
        console.print(f"{planted.name}: {'caught' if found else 'NOT CAUGHT'} ({len(found)} findings)")
    console.print(table)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
