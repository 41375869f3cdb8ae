"""A report on the terminal."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from couponry.replay import wording
from couponry.replay.findings import Code, percent
from couponry.replay.report import Bucket, CurrencyReport, Report

__all__ = ["show"]

_BAR: Final = 40
_COLOURS: Final = {
    Code.FREE_ORDER: "red",
    Code.STEEP_STACK: "red",
    Code.NEVER_APPLIES: "yellow",
    Code.DOMINATED: "yellow",
}


def show(report: Report, console: Console) -> None:
    """Prints all of it."""
    others = {} if report.against is None else {entry.currency: entry for entry in report.against.currencies}
    for currency in report.draft.currencies:
        console.print(_totals(currency, others.get(currency.currency), report))
        console.print(
            _distribution(
                f"discount as a share of the order, {currency.currency}", currency.shares_bp, wording.share_label
            )
        )
        console.print(
            _distribution(f"discount in minor units, {currency.currency}", currency.amounts, wording.amount_label)
        )
    console.print(_templates(report))
    if report.worst:
        console.print(_worst(report))
    console.print(_findings(report))
    console.print(Text(wording.run_line(report), style="dim"))


def _table(title: str, *columns: str, right: Sequence[int] = ()) -> Table:
    table = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for place, column in enumerate(columns):
        if place in right:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    return table


def _cell(text: str) -> str:
    return escape(wording.one_line(text))


def _totals(draft: CurrencyReport, against: CurrencyReport | None, report: Report) -> Table:
    columns = ["", "draft", *(["current"] if against is not None else [])]
    table = _table(f"{draft.currency}, in minor units", *columns, right=(1, 2))
    for row in wording.totals(report, draft, against):
        table.add_row(*row)
    return table


def _distribution(title: str, buckets: Sequence[Bucket], label: Callable[[Sequence[Bucket], int], str]) -> Table:
    table = _table(title, "", "orders", "", right=(0, 1))
    most = max((bucket.orders for bucket in buckets), default=0)
    for place, bucket in enumerate(buckets):
        if bucket.orders or not place:
            bar = "█" * (bucket.orders * _BAR // most) if most else ""
            table.add_row(label(buckets, place), f"{bucket.orders:,}", bar)
    return table


def _templates(report: Report) -> Table:
    table = _table(
        "templates of the draft",
        "key",
        "tried on",
        "applies to",
        "discount",
        "largest",
        "refused most for",
        right=(1, 2, 3, 4),
    )
    for template in report.draft.templates:
        numbers = template.seen, template.orders, template.discount, template.largest_discount
        refused = wording.refusals(template, most=1)
        table.add_row(_cell(template.key), *(f"{number:,}" for number in numbers), refused)
    return table


def _worst(report: Report) -> Table:
    against = report.against is not None
    columns = ["order", "line", "original", "discount", "share", *(["current"] if against else []), "coupons"]
    table = _table(f"worst carts, by {report.run.worst_by}", *columns, right=range(1, len(columns) - 1))
    for cart in report.worst:
        table.add_row(
            _cell(cart.order_id),
            f"{cart.line:,}",
            f"{cart.original:,} {cart.currency}",
            f"{cart.discount:,}",
            percent(cart.share_bp),
            *([f"{cart.against_discount:,}"] if against else []),
            _cell(wording.applied(cart)),
        )
    return table


def _findings(report: Report) -> RenderableType:
    if not report.findings:
        return Text("\nno findings", style="green")
    table = _table("findings", "finding", "coupon", "")
    for finding in report.findings:
        colour = _COLOURS[finding.code]
        table.add_row(
            f"[{colour}]{wording.FINDING_NAMES[finding.code]}[/{colour}]", _cell(finding.key), _cell(finding.text)
        )
    return table
