"""Prices the carts of a block and adds them up: what every process of a replay does.

A wrong line is noted and left out; whether that ends the replay is decided where the blocks are read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from couponry.discount import BestDecision, Cart, Decision, InvalidInput, Optimality, best, price
from couponry.replay.campaign import Campaign, Shelf
from couponry.replay.carts import Block, Order, read_order
from couponry.replay.dominance import Candidates, Dominance
from couponry.replay.errors import BadLine
from couponry.replay.tally import RANKS, Change, Example, Side, Tally, TemplateTally, Top, Totals

__all__ = ["Found", "Mode", "Plan", "Pricer", "empty_tally"]

_PROBLEMS_A_LINE: Final = 5


class Mode(StrEnum):
    """What a customer does with the coupons."""

    BEST = "best"
    """Uses the set that takes the most off."""
    APPLY = "apply"
    """Hands all of them in: the order of application decides."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is replayed, and how: the same for every process.

    `now` is for carts that do not say when they were. `share_bp` is the share of a cart beyond which stacked coupons
    are a finding.
    """

    draft: Campaign
    against: Campaign | None
    now: datetime
    mode: Mode = Mode.BEST
    worst: int = 20
    worst_by: str = "share"
    share_bp: int = 5_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a process found in a block, and all that it knows of dominance by then."""

    tally: Tally
    candidates: Candidates = field(default_factory=dict)


def empty_tally(plan: Plan) -> Tally:
    """Nothing priced yet."""

    def side(campaign: Campaign) -> Side:
        return Side([TemplateTally() for _ in campaign.templates])

    against = None if plan.against is None else side(plan.against)
    return Tally(side(plan.draft), against, Top(plan.worst, RANKS[plan.worst_by]))


class _Desk:
    """One campaign: the coupons for a cart, and the decision on them."""

    def __init__(self, campaign: Campaign, mode: Mode) -> None:
        self._shelf = Shelf(campaign.coupons())
        self._rules = campaign.rules
        self._price: Callable[..., Decision] = best if mode is Mode.BEST else price

    def decide(self, cart: Cart, now: datetime) -> Decision:
        return self._price(cart, self._shelf.coupons_for(cart), self._rules, now=now)


class Pricer:
    """Keeps the coupons of both campaigns, and what it has learned of dominance, from block to block."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._draft = _Desk(plan.draft, plan.mode)
        self._against = None if plan.against is None else _Desk(plan.against, plan.mode)
        self._dominance = Dominance(plan.draft.coupons(), plan.draft.rules)

    def price(self, block: Block) -> Found:
        """Everything in the block."""
        tally = empty_tally(self._plan)
        for line, text in enumerate(block.text.split(b"\n"), block.first_line):
            if not text or text.isspace():
                continue
            tally.carts += 1
            try:
                self._add(read_order(line, text), tally)
            except InvalidInput as error:
                told = tuple((violation.field, violation.text) for violation in error.violations[:_PROBLEMS_A_LINE])
                tally.bad += 1
                tally.first_bad.add(BadLine(line, told))
        return Found(tally, dict(self._dominance.candidates))

    def _add(self, order: Order, tally: Tally) -> None:
        now = order.at or self._plan.now
        cart = order.cart
        decision = self._draft.decide(cart, now)
        # Both are priced before anything is counted: a cart that one of them refuses counts for neither.
        other = None if self._against is None else self._against.decide(cart, now)
        example = Example(
            order.line,
            order.order_id,
            cart.currency,
            decision.original,
            decision.discount,
            tuple([(entry.template_id, entry.discount) for entry in decision.applied]),
            None if other is None else other.discount,
        )
        if decision.discount:
            tally.worst.add(example)
        _count(tally.draft, decision, cart.currency)
        self._lint(tally.draft.templates, decision, example)
        if other is not None and tally.against is not None:
            _count(tally.against, other, cart.currency)
            tally.changes.setdefault(cart.currency, Change()).add(decision.discount, other.discount)
        if len(self._plan.draft.templates) > 1:
            for template in self._dominance.look(cart, decision, now):
                tally.draft.templates[template - 1].alone += 1

    def _lint(self, templates: list[TemplateTally], decision: Decision, example: Example) -> None:
        free = 0 == decision.payable < decision.original
        stacked = len(decision.applied) > 1 and decision.discount * 10_000 > self._plan.share_bp * decision.original
        if not free and not stacked:
            return
        for template in {entry.template_id for entry in decision.applied}:
            tally = templates[template - 1]
            if free:
                tally.free += 1
                tally.freest.add(example)
            if stacked:
                tally.stacked += 1
                tally.steepest.add(example)


def _count(side: Side, decision: Decision, currency: str) -> None:
    totals = side.currencies.get(currency)
    if totals is None:
        totals = side.currencies[currency] = Totals()
    totals.add(decision.original, decision.discount)
    applied, seen = set(), set()
    for entry in decision.applied:
        applied.add(entry.template_id)
        template = side.templates[entry.template_id - 1]
        template.coupons += 1
        template.discount += entry.discount
        template.most = max(template.most, entry.discount)
    for refused in decision.rejected:
        seen.add(refused.template_id)
        side.templates[refused.template_id - 1].reasons[refused.reason] += 1
    for template_id in applied:
        side.templates[template_id - 1].orders += 1
    for template_id in applied | seen:
        side.templates[template_id - 1].seen += 1
    if isinstance(decision, BestDecision):
        side.bounded += decision.certificate.optimality is Optimality.BOUNDED
