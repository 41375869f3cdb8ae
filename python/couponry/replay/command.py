"""`couponry replay`: its options, its errors and its output. What it needs is imported when it runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from io import BufferedIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

if TYPE_CHECKING:
    from couponry.replay.pricing import Plan
    from couponry.replay.report import Report
    from couponry.replay.running import Outcome, Progress

__all__ = ["replay"]

_FAILED: Final = 1
_CANNOT_BEGIN: Final = 2


class WorstBy(StrEnum):
    """What the worst carts have most of."""

    SHARE = "share"
    DISCOUNT = "discount"
    CHANGE = "change"


class ModeOption(StrEnum):
    """What a customer does with the coupons."""

    BEST = "best"
    APPLY = "apply"


def replay(  # noqa: PLR0917 - options are parameters
    carts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The history: a cart of JSON a line; - is standard input.")
    ] = None,
    templates: Annotated[Path | None, typer.Option(metavar="FILE", help="The draft campaign, in TOML.")] = None,
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="A campaign to compare it with.")] = None,
    mode: Annotated[
        ModeOption, typer.Option(help="Use the best set of the coupons, or hand all of them in.")
    ] = ModeOption.BEST,
    now: Annotated[
        str | None, typer.Option(metavar="TIME", help="When carts without `at` were, as 2026-06-01T00:00:00Z.")
    ] = None,
    worst: Annotated[
        int, typer.Option(min=0, max=1_000, metavar="N", help="How many of the worst carts to show.")
    ] = 20,
    worst_by: Annotated[WorstBy, typer.Option(help="What the worst carts have most of.")] = WorstBy.SHARE,
    share: Annotated[
        int, typer.Option(min=1, max=100, metavar="PERCENT", help="Stacked coupons beyond it are a finding.")
    ] = 50,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as a page too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if there are findings.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave wrong lines out instead of ending.")] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, max=1_024, metavar="N", help="Processes that price; all cores if not given.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Print N random carts instead, for a first look.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the random carts: the same seed, the same carts.")] = 0,
) -> None:
    """Price a history of carts under a draft campaign, and say what it costs and what is wrong with it.

    docs/replay.md has the formats of the files.
    """
    from couponry.replay.errors import ReplayError  # noqa: PLC0415

    if generate is not None:
        _generate(generate, seed)
        return
    if carts is None or templates is None:
        raise typer.BadParameter("--carts and --templates are needed (or --generate)")
    if worst_by is WorstBy.CHANGE and against is None:
        raise typer.BadParameter("--worst-by change needs --against")
    try:
        plan = _plan(
            templates, against, mode=mode, now=_instant(now), worst=worst, worst_by=worst_by.value, share_bp=share * 100
        )
        outcome = _run(plan, carts, processes or _cores(), skip_bad=skip_bad)
        report = _report(outcome, html)
    except ReplayError as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise typer.Exit(_CANNOT_BEGIN) from None
    _print(report, as_json=as_json)
    if check and report.findings:
        raise typer.Exit(_FAILED)


def _generate(count: int, seed: int) -> None:
    from couponry.replay.generating import generate as carts  # noqa: PLC0415

    try:
        sys.stdout.writelines(carts(count, seed))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough; nothing is to be flushed when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _instant(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.utcoffset() is None:
        raise typer.BadParameter("--now must be a time with its offset, as 2026-06-01T00:00:00Z")
    return instant


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _plan(templates: Path, against: Path | None, *, mode: ModeOption, **options: Any) -> "Plan":
    from couponry.replay.campaign import load_campaign  # noqa: PLC0415
    from couponry.replay.pricing import Mode, Plan  # noqa: PLC0415

    draft = load_campaign(templates)
    other = None if against is None else load_campaign(against)
    return Plan(draft, other, mode=Mode(mode.value), **options)


def _run(plan: "Plan", carts: Path, processes: int, *, skip_bad: bool) -> "Outcome":
    from couponry.replay.running import replay as run  # noqa: PLC0415

    with _opened(carts) as (source, name, size), _progress(size) as progress:
        return run(plan, source, name=name, processes=processes, skip_bad=skip_bad, progress=progress)


@contextmanager
def _opened(carts: Path) -> Iterator[tuple[BufferedIOBase, str, int | None]]:
    """The file, its name in errors, and its size where it has one."""
    from couponry.replay.errors import BadFiles  # noqa: PLC0415

    if str(carts) == "-":
        yield cast("BufferedIOBase", sys.stdin.buffer), "<stdin>", None
        return
    try:
        source = carts.open("rb")
    except OSError as error:
        raise BadFiles(f"{carts}: {error.strerror}") from None
    with source:
        yield source, str(carts), carts.stat().st_size if carts.is_file() else None


@contextmanager
def _progress(size: int | None) -> Iterator["Progress"]:
    """A bar on standard error where that is a terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[carts]:,} carts"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=size, carts=0)
        total = 0

        def step(more_bytes: int, more_carts: int) -> None:
            nonlocal total
            total += more_carts
            bar.update(task, advance=more_bytes, carts=total)

        yield step


def _report(outcome: "Outcome", html: Path | None) -> "Report":
    from couponry.replay.errors import BadFiles  # noqa: PLC0415
    from couponry.replay.report import report_of  # noqa: PLC0415

    report = report_of(outcome)
    if html is not None:
        from couponry.replay.page import as_html  # noqa: PLC0415

        try:
            html.write_text(as_html(report), "utf-8")
        except OSError as error:
            raise BadFiles(f"{html}: {error.strerror}") from None
    return report


def _print(report: "Report", *, as_json: bool) -> None:
    if as_json:
        from couponry.replay.report import as_json as in_json  # noqa: PLC0415

        typer.echo(in_json(report))
        return
    from rich.console import Console  # noqa: PLC0415

    from couponry.replay.tables import show  # noqa: PLC0415

    show(report, Console(highlight=False))
