"""The report: receipts line by line, the checks, and the figures of the run."""

from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from couponry.demo.checks import Check
from couponry.demo.service import LayerReads
from couponry.demo.story import Order, Story

__all__ = ["ProgressBars", "render"]

_RECEIPTS = 2
_ENTRIES = ("template", "activity", "user")
_LAYERS = ("l1", "l2", "l3")


class ProgressBars:
    """A bar a step on a terminal; a line a step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def step(self, text: str, total: int) -> Callable[[], None]:
        """Begins a step of `total` parts."""
        if not self._console.is_terminal:
            self._console.print(f"- {text}")
        task = self._bars.add_task(text, total=total)
        return lambda: self._bars.advance(task)


def render(story: Story, checks: Sequence[Check], layers: Sequence[LayerReads]) -> RenderableType:
    """The whole report."""
    names = {template.template_id: template.spec.name for template in story.templates}
    receipts = [_receipt(order, names) for order in story.orders[1 : 1 + _RECEIPTS]]
    return Group(*receipts, _checks(checks), _latencies(story), _layers(layers), _throughput(story))


def _receipt(order: Order, names: dict[int, str]) -> Table:
    decision = order.priced
    table = Table(title=f"Receipt of {order.order_id} ({decision.currency})", title_justify="left", show_footer=True)
    table.add_column("line", f"{len(decision.lines)} lines")
    table.add_column("list", _money(decision.original), justify="right")
    table.add_column("discount", _money(-decision.discount), justify="right")
    table.add_column("net", _money(decision.payable), justify="right")
    table.add_column("by unit")
    for line in decision.lines:
        units = ", ".join(f"{unit.count} x {_money(unit.net)}" for unit in line.units)
        table.add_row(line.line_id, _money(line.list), _money(-line.discount), _money(line.net), units)
    for parcel in decision.shipments:
        table.add_row(parcel.shipment_id, _money(parcel.list), _money(-parcel.discount), _money(parcel.net), "shipping")
    table.add_section()
    for applied in decision.applied:
        table.add_row(names.get(applied.template_id, "?"), "", _money(-applied.discount), "", "coupon")
    return table


def _checks(checks: Sequence[Check]) -> Table:
    table = Table("check", title="What must hold", title_justify="left")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    table.add_column("")
    for check in checks:
        table.add_row(check.name, check.expected, check.found, "[green]holds" if check.holds else "[red]BROKEN")
    return table


def _latencies(story: Story) -> Table:
    table = Table("call", title="Latency seen by the client, ms", title_justify="left")
    for name in ("calls", "P50", "P90", "P99", "longest"):
        table.add_column(name, justify="right")
    for name, seconds in sorted(story.latencies.items(), key=lambda entry: -len(entry[1])):
        ordered = sorted(seconds)
        shares = [ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.5, 0.9, 0.99)]
        table.add_row(name, f"{len(ordered):,}", *(f"{value * 1000:.1f}" for value in (*shares, ordered[-1])))
    return table


def _layers(layers: Sequence[LayerReads]) -> Table:
    table = Table("entry", title="Reads answered by each cache layer", title_justify="left")
    for name in ("L1", "L2 Redis", "L3 MySQL", "L1 share"):
        table.add_column(name, justify="right")
    for reads in layers:
        _add_layers(table, reads)
    table.add_section()
    whole = [reads for reads in layers if reads.kind in _ENTRIES]
    _add_layers(
        table, LayerReads(" + ".join(_ENTRIES), *(sum(getattr(each, name) for each in whole) for name in _LAYERS))
    )
    return table


def _add_layers(table: Table, reads: LayerReads) -> None:
    total = reads.l1 + reads.l2 + reads.l3
    if total:
        table.add_row(reads.kind, f"{reads.l1:,}", f"{reads.l2:,}", f"{reads.l3:,}", f"{reads.l1 / total:.1%}")


def _throughput(story: Story) -> str:
    claims = sum(len(answers) for answers in story.answers.values())
    return (
        f"{claims:,} claims in {story.claim_seconds:.1f} s: {claims / story.claim_seconds:,.0f} claims/s"
        f" (client, service, Redis and MariaDB on this machine);"
        f" the last win was in MySQL {story.persist_seconds:.2f} s after the last claim"
    )


def _money(minor: int) -> str:
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02}"
