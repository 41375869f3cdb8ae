"""A replay as plain values, whole numbers and texts only: what `--json` prints, and what tables and pages show.

Amounts are minor units of the currency beside them, shares basis points; means are rounded half up, the sums that they
are of stand beside them.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from couponry.replay.campaign import Campaign
from couponry.replay.findings import Finding, findings
from couponry.replay.running import Outcome
from couponry.replay.tally import AMOUNT_BOUNDS, SHARE_BOUNDS_BP, Example, Side, TemplateTally, Totals

__all__ = [
    "Bucket",
    "CampaignReport",
    "ChangeReport",
    "CurrencyReport",
    "Report",
    "RunReport",
    "TemplateReport",
    "WorstCart",
    "as_json",
    "report_of",
]


@dataclass(frozen=True, slots=True)
class Bucket:
    """Orders above the bound of the bucket before, up to this one included."""

    up_to: int
    orders: int


@dataclass(frozen=True, slots=True)
class CurrencyReport:
    """The orders of one currency. `affected` are those with a discount; `shares_bp` are of discount / original."""

    currency: str
    orders: int
    affected: int
    affected_bp: int
    free: int
    original: int
    affected_original: int
    discount: int
    payable: int
    discount_bp: int
    mean_discount: int
    mean_discount_affected: int
    shares_bp: tuple[Bucket, ...]
    amounts: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class TemplateReport:
    """A template: the orders it was tried on and those it applied to; `refused` counts coupons by reason."""

    key: str
    name: str
    kind: str
    currency: str
    seen: int
    orders: int
    coupons: int
    discount: int
    mean_discount: int
    largest_discount: int
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class CampaignReport:
    """The history under one campaign. Of `bounded` orders the best set is not proven."""

    currencies: tuple[CurrencyReport, ...]
    templates: tuple[TemplateReport, ...]
    bounded: int


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """Orders of which the draft takes more, as much, less than the other campaign; `discount` is what it takes more."""

    currency: str
    more: int
    same: int
    less: int
    discount: int


@dataclass(frozen=True, slots=True)
class WorstCart:
    """One of the worst carts; `applied` are (key, discount) in the order of application."""

    order_id: str
    line: int
    currency: str
    original: int
    discount: int
    payable: int
    share_bp: int
    against_discount: int | None
    applied: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class RunReport:
    """How it was run, and what it took. `carts` are those of the file, `skipped` the wrong ones among them."""

    carts: int
    skipped: int
    mode: str
    worst_by: str
    share_bp: int
    processes: int
    milliseconds: int
    carts_a_second: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    draft: CampaignReport
    against: CampaignReport | None
    changes: tuple[ChangeReport, ...]
    worst: tuple[WorstCart, ...]
    findings: tuple[Finding, ...]
    run: RunReport


def report_of(outcome: Outcome) -> Report:
    """The report of an outcome."""
    plan, tally = outcome.plan, outcome.tally
    keys = [template.key for template in plan.draft.templates]
    against = None
    if plan.against is not None and tally.against is not None:
        against = _campaign(plan.against, tally.against)
    return Report(
        draft=_campaign(plan.draft, tally.draft),
        against=against,
        changes=tuple(_changes(outcome)),
        worst=tuple(_worst(example, keys) for example in tally.worst.entries()),
        findings=findings(outcome),
        run=RunReport(
            carts=tally.carts,
            skipped=tally.bad,
            mode=plan.mode.value,
            worst_by=plan.worst_by,
            share_bp=plan.share_bp,
            processes=outcome.processes,
            milliseconds=round(outcome.seconds * 1000),
            carts_a_second=round(tally.carts / outcome.seconds) if outcome.seconds else 0,
            peak_memory_bytes=outcome.peak_bytes,
        ),
    )


def as_json(report: Report) -> str:
    """Two spaces deep, keys in the order of the classes here."""
    return json.dumps(asdict(report), indent=2, ensure_ascii=False)


def _half_up(amount: int, by: int) -> int:
    return (2 * amount + by) // (2 * by) if by else 0


def _campaign(campaign: Campaign, side: Side) -> CampaignReport:
    return CampaignReport(
        currencies=tuple(_currency(name, totals) for name, totals in sorted(side.currencies.items())),
        templates=tuple(_template(campaign, place, template) for place, template in enumerate(side.templates)),
        bounded=side.bounded,
    )


def _currency(name: str, totals: Totals) -> CurrencyReport:
    return CurrencyReport(
        currency=name,
        orders=totals.orders,
        affected=totals.affected,
        affected_bp=_half_up(totals.affected * 10_000, totals.orders),
        free=totals.free,
        original=totals.original,
        affected_original=totals.affected_original,
        discount=totals.discount,
        payable=totals.original - totals.discount,
        discount_bp=_half_up(totals.discount * 10_000, totals.original),
        mean_discount=_half_up(totals.discount, totals.orders),
        mean_discount_affected=_half_up(totals.discount, totals.affected),
        shares_bp=_buckets(SHARE_BOUNDS_BP, totals.shares),
        amounts=_buckets(AMOUNT_BOUNDS, totals.amounts),
    )


def _buckets(bounds: Sequence[int], counts: Sequence[int]) -> tuple[Bucket, ...]:
    """Up to the last one that is not empty."""
    filled = max((place for place, count in enumerate(counts) if count), default=-1) + 1
    return tuple(Bucket(bound, count) for bound, count in zip(bounds[:filled], counts[:filled], strict=True))


def _template(campaign: Campaign, place: int, tally: TemplateTally) -> TemplateReport:
    template = campaign.templates[place]
    return TemplateReport(
        key=template.key,
        name=template.name,
        kind=template.terms.kind.value,
        currency=template.terms.currency,
        seen=tally.seen,
        orders=tally.orders,
        coupons=tally.coupons,
        discount=tally.discount,
        mean_discount=_half_up(tally.discount, tally.orders),
        largest_discount=tally.most,
        refused=dict(sorted((str(reason), count) for reason, count in tally.reasons.items())),
    )


def _changes(outcome: Outcome) -> list[ChangeReport]:
    against = outcome.tally.against
    if against is None:
        return []
    return [
        ChangeReport(
            name,
            change.more,
            change.same,
            change.less,
            outcome.tally.draft.currencies[name].discount - against.currencies[name].discount,
        )
        for name, change in sorted(outcome.tally.changes.items())
    ]


def _worst(example: Example, keys: Sequence[str]) -> WorstCart:
    return WorstCart(
        order_id=example.order_id,
        line=example.line,
        currency=example.currency,
        original=example.original,
        discount=example.discount,
        payable=example.original - example.discount,
        share_bp=_half_up(example.discount * 10_000, example.original),
        against_discount=example.against,
        applied=tuple((keys[template - 1], discount) for template, discount in example.applied),
    )
