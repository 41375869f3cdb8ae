"""A storm over a flash sale, and its judgement: `make chaos-flash SEED=1 KILLS=100`.

Exit status 0: every promise was kept. Else the findings are printed with the seed, the timeline, and all answers to the
claims that they are about.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop
from rich.console import Console
from rich.table import Table

from tests.chaos.flash.evidence import Answer, Evidence, read_answers
from tests.chaos.flash.faults import FAULTS, weather
from tests.chaos.flash.judge import Finding, Verdict, judge
from tests.chaos.flash.load import claim
from tests.chaos.flash.shop import Shop
from tests.chaos.flash.stage import Options, Stage, opened

__all__ = ["Plan", "Report", "full_plan", "run", "short_plan", "show"]

_REPOSITORY: Final = Path(__file__).resolve().parents[3]
# How often each fault comes in a hundred.
_DECK: Final = {
    "kill_server": 20,
    "kill_persister": 10,
    "kill_redis": 13,
    "kill_mariadb": 10,
    "kill_two": 9,
    "kill_all_servers": 4,
    "refuse_entries": 3,
    "empty_redis": 6,
    "cut_tail": 6,
    "old_snapshot": 5,
    "promote": 5,
    "split": 5,
    "lose_commits": 3,
    "lose_both": 1,
}
_SHORT: Final = (
    "kill_server", "kill_persister", "kill_redis", "kill_mariadb", "kill_two", "empty_redis", "cut_tail", "promote",
    "split", "lose_commits",
)  # fmt: skip
_FRESH_AT_ONCE: Final = 20
_FINDINGS_SHOWN: Final = 20
# Errors in a log that a storm explains: wins of another history, each of which the judge wants excused.
_REFUSED_ENTRY: Final = "The ID specified in XADD is equal or smaller"
_EXPLAINED: Final = frozenset({"wins could not become coupons"})


@dataclass(frozen=True, slots=True)
class Plan:
    """Which faults, in which order, and what goes on beside them."""

    faults: Sequence[str]
    seed: int
    weather: bool = True
    clients: int = 2
    ends: bool = True
    tree: Path | None = None
    settings: tuple[tuple[str, str], ...] = ()
    stock: int = 300
    users: int = 5000
    patience_s: float = 90.0


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a run."""

    plan: Plan
    evidence: Evidence
    verdict: Verdict
    storm_s: float
    whole_s: float


def full_plan(seed: int, kills: int) -> Plan:
    """A shuffled deck, dealt again and again; the data faults are spread over it."""
    rng = random.Random(seed)
    cards = [name for name, count in _DECK.items() for _ in range(count)]
    dealt: list[str] = []
    while len(dealt) < kills:
        rng.shuffle(cards)
        dealt += cards
    return Plan(dealt[:kills], seed)


def short_plan(seed: int) -> Plan:
    """Ten faults, one of each sort."""
    return Plan(random.Random(seed).sample(_SHORT, len(_SHORT)), seed)


async def run(plan: Plan, state: Path, *, until_found: bool = False) -> Report:
    """Runs the plan and judges it."""
    began = time.monotonic()
    options = Options(
        plan.seed,
        state,
        _REPOSITORY / ".couponry" / "template",
        tree=plan.tree,
        settings=dict(plan.settings),
        patience_s=plan.patience_s,
    )
    async with opened(options) as stage:
        shop = Shop(stage, stock=plan.stock, users=plan.users)
        await shop.prepare()
        await stage.start_clients(plan.clients)
        storm_began = time.monotonic()
        await _storm(stage, shop, plan)
        storm_s = time.monotonic() - storm_began
        try:
            await _finale(stage, shop)
        except Exception as error:  # noqa: BLE001 - the judge says what is known, and that this is not all
            stage.trouble(f"the end could not be reached: {type(error).__name__}: {error}")
        evidence = stage.evidence
        evidence.answers = read_answers(stage.logs)
        evidence.alarms = _alarms(stage)
    return Report(plan, evidence, judge(evidence), storm_s, time.monotonic() - began)


async def _storm(stage: Stage, shop: Shop, plan: Plan) -> None:
    beside = [asyncio.create_task(shop.adjust_all_the_time())]
    if plan.weather:
        beside.append(asyncio.create_task(weather(stage), name="weather"))
    if plan.ends:
        beside.append(asyncio.create_task(shop.replace_now_and_then()))
    await asyncio.sleep(1.0)
    for number, name in enumerate(plan.faults):
        stage.note(f"fault {number + 1} of {len(plan.faults)}: {name}")
        if not await _made(stage, name):
            break
        # Now and then the next fault meets what the last one left.
        if stage.rng.random() < 0.7:
            await stage.recovered()
        await asyncio.sleep(stage.rng.uniform(0.1, 0.9))
    stage.note("the storm is over")
    stage.calm()
    shop.closing = True
    await asyncio.sleep(0)
    for task in beside:
        # What the shop has asked for is asked until it is answered; the weather just ends.
        if task.get_name() == "weather":
            task.cancel()
    for result in await asyncio.gather(*beside, return_exceptions=True):
        if isinstance(result, Exception):
            stage.trouble(f"the shop failed: {type(result).__name__}: {result}")


async def _made(stage: Stage, name: str) -> bool:
    try:
        await FAULTS[name](stage)
    except Exception as error:  # noqa: BLE001 - a fault that cannot be made spoils the run, which says so
        stage.trouble(f"{name} could not be made: {type(error).__name__}: {error}")
        stage.open_gates()
        return False
    return True


async def _finale(stage: Stage, shop: Shop) -> None:
    await stage.stop_clients()
    await stage.recovered()
    await _drained(stage, "after the storm")
    evidence = stage.evidence
    answers = read_answers(stage.logs)
    rows = await asyncio.to_thread(stage.maria.wins)
    # First those that must be as they were: a repeat of a win that was lost may win again, and use up stock.
    told = {answer.claim: answer for answer in answers if answer.won}
    standing = [answer for answer in told.values() if answer.win in rows]
    others = [answer for answer in told.values() if answer.win not in rows]
    stage.note(f"{len(told)} wins are asked again")
    evidence.again += await _ask_again(stage, standing)
    evidence.again += await _ask_again(stage, others)
    for activity in list(stage.running):
        await shop.adjust(activity, 7, f"after the storm {activity}")
        evidence.fresh += await _sell_out(stage, activity)
    await _drained(stage, "after everything was sold")
    progress = await asyncio.to_thread(stage.maria.progress)
    evidence.totals = Counter()
    for place in stage.places():
        evidence.totals[place.activity_id] += progress[place]["total"]
    evidence.audit = await _audit(stage)
    for activity in list(stage.running):
        await shop.end(activity)
    stage.note("everything is settled")
    sample = stage.rng.sample(standing, min(500, len(standing)))
    evidence.again += await _ask_again(stage, sample)
    evidence.audit += await _audit(stage)
    evidence.rows = await asyncio.to_thread(stage.maria.wins)
    evidence.failed = await asyncio.to_thread(stage.maria.failed)
    evidence.adjustments = await asyncio.to_thread(stage.maria.adjustments)


async def _drained(stage: Stage, when: str) -> None:
    async def condition() -> bool:
        return await asyncio.to_thread(stage.drained)

    if not await stage.until(condition, stage.options.patience_s):
        stage.trouble(f"{when}: not every win reached MySQL within {stage.options.patience_s:.0f} s")


async def _ask_again(stage: Stage, told: Sequence[Answer]) -> list[Answer]:
    """Each claim once more, of the servers in turn; what is not answered is asked once more."""
    waiting = iter(enumerate(told))
    answers: list[Answer] = []

    async def worker() -> None:
        for number, before in waiting:
            answer = await _ask(stage, number, before.activity, before.user, before.request)
            answers.append(answer)
            if not answer.decided:
                stage.trouble(f"a win was asked again and got {answer.outcome}: {answer.detail}")

    await asyncio.gather(*(worker() for _ in range(32)))
    return answers


async def _ask(stage: Stage, number: int, activity: int, user: str, request: str) -> Answer:
    """One claim, of the servers in turn until one decides it."""
    for attempt in range(10):
        target = stage.targets[(number + attempt) % len(stage.targets)]
        answer = await claim(target, "judge", activity, user, request, 15)
        if answer.decided:
            break
        await asyncio.sleep(0.05)
    return answer


async def _sell_out(stage: Stage, activity: int) -> list[Answer]:
    """New users claim until twenty in a row are told SOLD_OUT."""
    answers: list[Answer] = []
    while True:
        batch = await asyncio.gather(
            *(
                _ask(stage, number, activity, f"fresh-{activity}-{len(answers) + number}", "fresh")
                for number in range(_FRESH_AT_ONCE)
            )
        )
        answers += batch
        if all(answer.outcome == "SOLD_OUT" for answer in batch):
            return answers
        if not all(answer.outcome in {"SOLD_OUT", "WON"} for answer in batch):
            outcomes = Counter(answer.outcome for answer in batch)
            stage.trouble(f"after the storm activity {activity} answered {dict(outcomes)}")
            return answers


async def _audit(stage: Stage) -> list[str]:
    """`couponry audit` past the proxies; the equations that do not hold."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "couponry", "audit", "--all", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            **os.environ,
            "COUPONRY_MYSQL__DSN": stage.maria.dsn,
            "COUPONRY_REDIS__SALE": f"unix://{stage.redis.socket}?db=0",
            "COUPONRY_REDIS__CACHE": f"unix://{stage.cache.socket}?db=0",
            "COUPONRY_LOG__LEVEL": "error",
        },
    )
    out, said = await process.communicate()
    if process.returncode == 0:
        return []
    try:
        return [f"audit: {text}" for text in _broken(json.loads(out))]
    except ValueError:
        return [f"the audit failed: {said.decode(errors='replace')[-500:]}"]


def _broken(report: object) -> list[str]:
    """Every object of the report whose `holds` is false."""
    found: list[str] = []
    match report:
        case {"holds": False, "name": name, "left": left, "right": right}:
            found.append(f"{name}: {left} and {right}")
        case dict():
            for key, value in report.items():
                found += [f"[{key}] {text}" for text in _broken(value)]
        case list():
            for value in report:
                found += _broken(value)
        case _:
            pass
    return found


def _alarms(stage: Stage) -> list[str]:
    """Every error in a log of the service, and every exception that nobody caught while it ran."""
    found: Counter[str] = Counter()
    for service in stage.services.values():
        lines = service.log.read_text("utf-8", errors="replace").splitlines() if service.log.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                if line.startswith("Traceback"):
                    found[f"{service.name} wrote a traceback"] += 1
                continue
            if entry.get("level") in {"error", "critical"} and entry.get("event") not in _EXPLAINED:
                if _REFUSED_ENTRY in line and stage.evidence.refused:
                    continue
                last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
                found[f"{service.name} wrote: {entry.get('event')} {last}"] += 1
    return [f"{text} ({count} times)" for text, count in found.items()]


def show(report: Report, console: Console) -> None:
    """One table; with findings also the timeline and the history of each claim that one is about."""
    evidence, verdict = report.evidence, report.verdict
    kinds = Counter(report.plan.faults)
    table = Table("what", "how many", box=None, pad_edge=False)
    table.add_row("seed", str(report.plan.seed))
    table.add_row("faults", f"{len(report.plan.faults)} in {report.storm_s:.0f} s, whole run {report.whole_s:.0f} s")
    table.add_row("", ", ".join(f"{name} {count}" for name, count in sorted(kinds.items())))
    for loss, count in Counter(loss.what for loss in evidence.losses).items():
        taken = sum(len(each.taken) for each in evidence.losses if each.what == loss)
        table.add_row(f"losses: {loss}", f"{count}, {taken} wins taken")
    for name, number in verdict.counts.items():
        table.add_row(name, str(number))
    table.add_row("findings", str(len(verdict.findings)))
    console.print(table)
    if not verdict.findings:
        return
    begin = evidence.timeline[0][0] if evidence.timeline else 0.0
    console.print(f"\nTimeline of seed {report.plan.seed}:", style="bold")
    for at, text in evidence.timeline:
        console.print(f"  {at - begin:8.3f}  {text}")
    console.print("\nFindings:", style="bold")
    answers = [*evidence.answers, *evidence.again, *evidence.fresh]
    for finding in verdict.findings[:_FINDINGS_SHOWN]:
        console.print(f"  {finding.text}", style="red")
        _show_history(finding, answers, begin, console)
    if len(verdict.findings) > _FINDINGS_SHOWN:
        console.print(f"  and {len(verdict.findings) - _FINDINGS_SHOWN} more")


def _show_history(finding: Finding, answers: Sequence[Answer], begin: float, console: Console) -> None:
    if finding.claim is None:
        return
    for answer in answers:
        if answer.claim == finding.claim:
            console.print(
                f"      {answer.sent - begin:8.3f} to {answer.at - begin:8.3f}  {answer.client} at {answer.server}:"
                f" {answer.request} -> {answer.outcome} {answer.coupon or ''} {answer.detail}"
            )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--faults", help="these faults in this order, with commas between")
    parser.add_argument("--keep", action="store_true", help="keep data and logs of a run without findings too")
    arguments = parser.parse_args()
    plan = full_plan(arguments.seed, arguments.kills)
    if arguments.faults:
        plan = Plan(arguments.faults.split(","), arguments.seed)
    console = Console(highlight=False, soft_wrap=True)
    state = Path(tempfile.mkdtemp(prefix="couponry-chaos-"))
    report = uvloop.run(run(plan, state))
    show(report, console)
    if report.verdict.findings or arguments.keep:
        console.print(f"\ndata and logs: {state}")
    else:
        shutil.rmtree(state)
    return int(bool(report.verdict.findings))


if __name__ == "__main__":
    sys.exit(main())
