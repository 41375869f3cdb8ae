"""A report as one HTML file that needs nothing else: no script, no font, no address of another server."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from typing import Final

from couponry.replay import wording
from couponry.replay.charts import Bars, bar_chart
from couponry.replay.findings import percent
from couponry.replay.report import Bucket, CurrencyReport, Report

__all__ = ["as_html"]

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --page: #fff; --faint: #d9dee5; --draft: #2563a8; --current: #b9a03c;
  --bad: #b3261e; --dull: #6b7280; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --page: #14181f; --faint: #333c48; --draft: #6aa5e3;
  --current: #d6be60; --bad: #f2938c; --dull: #9aa3ae; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 1100px;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .25rem 1rem .25rem 0; border-bottom: 1px solid var(--faint); vertical-align: top;
  overflow-wrap: anywhere; }
th { color: var(--dull); font-weight: 600; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.chart { width: 100%; max-width: 760px; display: block; margin-bottom: 1rem; }
.chart text { fill: var(--dull); font: 11px system-ui, sans-serif; }
.chart .label { text-anchor: end; }
.axis { stroke: var(--dull); }
.draft { fill: var(--draft); } .current { fill: var(--current); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
.key.draft { background: var(--draft); } .key.current { background: var(--current); }
.FREE_ORDER, .STEEP_STACK { color: var(--bad); font-weight: 600; }
footer { color: var(--dull); margin-top: 2rem; }
"""


def as_html(report: Report) -> str:
    """The whole page."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Replay of a campaign</title>\n<style>{_STYLE}</style>\n</head>",
            "<body>\n<h1>Replay of a campaign</h1>",
            "<h2>Findings</h2>",
            _findings(report),
            *_currencies(report),
            "<h2>Templates of the draft</h2>",
            _templates(report),
            f"<h2>Worst carts, by {escape(report.run.worst_by)}</h2>",
            _worst(report),
            f"<footer>{escape(wording.run_line(report))}</footer>\n</body>\n</html>\n",
        ]
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[int]) -> str:
    """Of texts, which are escaped here; `numbers` are the columns set to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return (
            "<tr>"
            + "".join(
                f'<{tag} class="n">{escape(cell)}</{tag}>' if place in numbers else f"<{tag}>{escape(cell)}</{tag}>"
                for place, cell in enumerate(cells)
            )
            + "</tr>"
        )

    return "\n".join(["<table>", line("th", columns), *(line("td", row) for row in rows), "</table>"])


def _findings(report: Report) -> str:
    if not report.findings:
        return "<p>None.</p>"
    rows = "\n".join(
        f'<tr><td class="{finding.code}">{wording.FINDING_NAMES[finding.code]}</td><td>{escape(finding.key)}</td>'
        f"<td>{escape(finding.text)}</td></tr>"
        for finding in report.findings
    )
    return f"<table>\n<tr><th>finding</th><th>coupon</th><th></th></tr>\n{rows}\n</table>"


def _currencies(report: Report) -> Iterator[str]:
    others = {} if report.against is None else {entry.currency: entry for entry in report.against.currencies}
    for draft in report.draft.currencies:
        against = others.get(draft.currency)
        yield f"<h2>{escape(draft.currency)}, in minor units</h2>"
        yield _totals(report, draft, against)
        if against is not None:
            yield '<p><span class="key draft"></span>draft<span class="key current"></span>current</p>'
        for title, buckets, label in (
            ("Affected orders by discount as a share of the order", _shares, wording.share_label),
            ("Affected orders by discount in minor units", _amounts, wording.amount_label),
        ):
            yield f"<h3>{title}</h3>"
            yield _chart(title, buckets, label, draft, against)


def _shares(currency: CurrencyReport) -> Sequence[Bucket]:
    return currency.shares_bp


def _amounts(currency: CurrencyReport) -> Sequence[Bucket]:
    return currency.amounts


def _chart(
    title: str,
    buckets: Callable[[CurrencyReport], Sequence[Bucket]],
    label: Callable[[Sequence[Bucket], int], str],
    draft: CurrencyReport,
    against: CurrencyReport | None,
) -> str:
    sides = [("draft", buckets(draft)), *([("current", buckets(against))] if against is not None else [])]
    longest = max((side for _, side in sides), key=len)
    filled = [place for _, side in sides for place in range(1, len(side)) if side[place].orders]
    places = range(min(filled), max(filled) + 1) if filled else range(0)
    series = [
        Bars(name, name, [side[place].orders if place < len(side) else 0 for place in places]) for name, side in sides
    ]
    return bar_chart(title, [label(longest, place) for place in places], series)


def _totals(report: Report, draft: CurrencyReport, against: CurrencyReport | None) -> str:
    columns = ["", "draft", *(["current"] if against is not None else [])]
    return _table(columns, wording.totals(report, draft, against), frozenset({1, 2}))


def _templates(report: Report) -> str:
    columns = ["key", "name", "kind", "tried on", "applies to", "discount", "mean", "largest", "refused"]
    rows = []
    for template in report.draft.templates:
        numbers = template.seen, template.orders, template.discount, template.mean_discount, template.largest_discount
        shown = [f"{number:,}" for number in numbers]
        rows.append([template.key, template.name, template.kind, *shown, wording.refusals(template)])
    return _table(columns, rows, frozenset(range(3, 8)))


def _worst(report: Report) -> str:
    if not report.worst:
        return "<p>No order is affected.</p>"
    against = report.against is not None
    columns = ["order", "line", "original", "discount", "share", *(["current"] if against else []), "coupons"]
    rows = [
        [
            cart.order_id,
            f"{cart.line:,}",
            f"{cart.original:,} {cart.currency}",
            f"{cart.discount:,}",
            percent(cart.share_bp),
            *([f"{cart.against_discount:,}"] if against else []),
            wording.applied(cart),
        ]
        for cart in report.worst
    ]
    return _table(columns, rows, frozenset(range(1, len(columns) - 1)))
