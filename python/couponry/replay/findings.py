"""What somebody should look at before a draft goes live: free orders, steep stacks, dead coupons."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from couponry.replay.dominance import Candidates
from couponry.replay.probing import largest_free_order
from couponry.replay.running import Outcome
from couponry.replay.tally import Example, TemplateTally

__all__ = ["Code", "Finding", "findings", "percent"]

_REASONS_TOLD: Final = 3


class Code(StrEnum):
    """What was found."""

    FREE_ORDER = "FREE_ORDER"
    """The coupon, alone or among others, makes an order free."""
    STEEP_STACK = "STEEP_STACK"
    """The coupon is one of several that together take more than the stated share of a cart."""
    NEVER_APPLIES = "NEVER_APPLIES"
    """No cart of the history uses the coupon."""
    DOMINATED = "DOMINATED"
    """Another coupon takes at least as much off every cart that it takes something off, and excludes it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about the template `key`.

    `orders` are those of the history in which it showed (for DOMINATED: in which the coupon alone would take
    something), `order_id` and `line` one of them. `by` are the keys of other templates that it is about.
    """

    code: Code
    key: str
    text: str
    orders: int
    order_id: str | None = None
    line: int | None = None
    by: tuple[str, ...] = ()


def percent(bp: int) -> str:
    """Basis points as people read them: 1234 is "12.34 %"."""
    return f"{bp // 100}.{bp % 100:02} %"


def findings(outcome: Outcome) -> tuple[Finding, ...]:
    """All about one template together, in the order of the file."""
    return tuple(
        finding
        for place, tally in enumerate(outcome.tally.draft.templates)
        for finding in _about(outcome, place, tally)
    )


def _about(outcome: Outcome, place: int, tally: TemplateTally) -> Iterator[Finding]:
    plan = outcome.plan
    templates = plan.draft.templates
    key, terms = templates[place].key, templates[place].terms
    keys = [template.key for template in templates]
    alone = largest_free_order(terms, plan.draft.rules)
    if alone is not None or tally.free:
        told = []
        if alone is not None:
            told.append(f"alone makes an order of {alone:,} {terms.currency} free")
        if tally.free:
            example = tally.freest.entries()[0]
            told.append(
                f"is in {_counted(tally.free, 'order')} for free, the largest of {example.original:,} "
                f"({_names(example, keys)})"
            )
        yield _shown_by(Finding(Code.FREE_ORDER, key, "; ".join(told), tally.free), tally.freest.entries(), keys)
    if tally.stacked:
        example = tally.steepest.entries()[0]
        text = (
            f"is in {_counted(tally.stacked, 'stack')} of more than {percent(plan.share_bp)}, the steepest of "
            f"{percent(example.discount * 10_000 // example.original)} ({_names(example, keys)})"
        )
        yield _shown_by(Finding(Code.STEEP_STACK, key, text, tally.stacked), tally.steepest.entries(), keys)
    if not tally.orders and outcome.tally.carts > outcome.tally.bad:
        yield Finding(Code.NEVER_APPLIES, key, _why_never(tally), 0)
    rivals = list(_rivals(place + 1, outcome.candidates))
    if rivals:
        by = tuple(keys[rival - 1] for rival in rivals)
        text = (
            f"never takes more than {' or '.join(by)}, and never stands beside it "
            f"({_counted(tally.alone, 'cart')} that it alone would take something off)"
        )
        yield Finding(Code.DOMINATED, key, text, tally.alone, by=by)


def _shown_by(finding: Finding, examples: Sequence[Example], keys: Sequence[str]) -> Finding:
    if not examples:
        return finding
    example = examples[0]
    others = dict.fromkeys(keys[template - 1] for template, _ in example.applied)
    others.pop(finding.key, None)
    return replace(finding, order_id=example.order_id, line=example.line, by=tuple(others))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _names(example: Example, keys: Sequence[str]) -> str:
    together = " + ".join(keys[template - 1] for template, _ in example.applied)
    return f"{example.order_id}: {together}"


def _why_never(tally: TemplateTally) -> str:
    if not tally.seen:
        return "no cart is of its currency, or of its shop"
    reasons = sorted(tally.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {_counted(count, 'time')}" for reason, count in reasons[:_REASONS_TOLD])


def _rivals(template: int, candidates: Candidates) -> Iterator[int]:
    """Of two that dominate each other (they always take the same) only the later one is told."""
    for rival in sorted(candidates.get(template, ())):
        if template not in candidates.get(rival, ()) or rival < template:
            yield rival
