"""The words of a report that the terminal and the page share. Amounts are minor units, with thousands set apart."""

from collections.abc import Iterator, Sequence
from typing import Final

from couponry.replay.findings import Code, percent
from couponry.replay.report import Bucket, CurrencyReport, Report, RunReport, TemplateReport, WorstCart

__all__ = ["FINDING_NAMES", "amount_label", "applied", "one_line", "refusals", "run_line", "share_label", "totals"]

FINDING_NAMES: Final = {
    Code.FREE_ORDER: "free order",
    Code.STEEP_STACK: "steep stack",
    Code.NEVER_APPLIES: "never applies",
    Code.DOMINATED: "dominated",
}
_MIB: Final = 1024 * 1024


def one_line(text: str) -> str:
    """What the shop wrote, without the characters that move a cursor."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def share_label(buckets: Sequence[Bucket], place: int) -> str:
    """Of a bucket of shares."""
    bound = buckets[place].up_to
    if bound == 0:
        return "nothing"
    if bound == 10_000:
        return "for free"
    if bound == 9_999:
        return "> 95 %"
    return f"≤ {bound // 100} %"


def amount_label(buckets: Sequence[Bucket], place: int) -> str:
    """Of a bucket of amounts."""
    return "nothing" if buckets[place].up_to == 0 else f"≤ {buckets[place].up_to:,}"


def totals(report: Report, draft: CurrencyReport, against: CurrencyReport | None) -> list[list[str]]:
    """Rows of a name and its value under the draft, then, where there is one, under the current campaign."""
    if against is None:
        return [[name, value] for name, value in _totals(draft)]
    rows = [[name, value, other] for (name, value), (_, other) in zip(_totals(draft), _totals(against), strict=True)]
    change = next(entry for entry in report.changes if entry.currency == draft.currency)
    return [
        *rows,
        ["discount, draft less current", f"{change.discount:+,}", ""],
        ["orders with more / same / less off", f"{change.more:,} / {change.same:,} / {change.less:,}", ""],
    ]


def _totals(currency: CurrencyReport) -> Iterator[tuple[str, str]]:
    yield "orders", f"{currency.orders:,}"
    yield "orders affected", f"{currency.affected:,} ({percent(currency.affected_bp)})"
    yield "orders for free", f"{currency.free:,}"
    yield "original", f"{currency.original:,}"
    yield "discount", f"{currency.discount:,} ({percent(currency.discount_bp)})"
    yield "payable", f"{currency.payable:,}"
    yield "mean discount, all orders", f"{currency.mean_discount:,}"
    yield "mean discount, affected", f"{currency.mean_discount_affected:,}"


def refusals(template: TemplateReport, most: int = 3) -> str:
    """The reasons that are told most."""
    reasons = sorted(template.refused.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in reasons[:most])


def applied(cart: WorstCart) -> str:
    """Its coupons, each with what it takes."""
    return ", ".join(f"{key} {discount:,}" for key, discount in cart.applied)


def run_line(report: Report) -> str:
    """How it was run, and what it took."""
    run: RunReport = report.run
    seconds = f"{run.milliseconds // 1000}.{run.milliseconds % 1000 // 100}"
    parts = [
        f"{run.carts - run.skipped:,} carts priced in {seconds} s ({run.carts_a_second:,} carts/s)",
        f"processes: {run.processes}",
        f"peak memory: {-(-run.peak_memory_bytes // _MIB):,} MiB",
        f"mode: {run.mode}",
    ]
    if run.skipped:
        parts.insert(1, f"wrong lines left out: {run.skipped:,}")
    if report.draft.bounded:
        parts.append(f"best set not proven: {report.draft.bounded:,}")
    return " · ".join(parts)
