"""Which templates another one makes useless, as far as the history shows; exact, and nearly free.

B dominates A when A alone takes something off some cart, B alone takes at least as much off every such cart, and the
two never stand together. A pair that one cart has refuted is never looked at again, so that after the first carts only
the pairs that hold cost anything; what many processes find is the intersection of what each found.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from couponry.discount import Cart, Coupon, Decision, Reason, Rules, price

__all__ = ["Candidates", "Dominance", "intersect"]

Candidates = dict[int, frozenset[int]]
"""For a template that took something alone, the templates that may dominate it."""

# After these a coupon alone might still take something: others stood in its way.
_OF_OTHERS: Final = frozenset({"EXCLUSIVE", "GROUP_LIMIT", "STACK_LIMIT", "NOT_IN_BEST", "NO_EFFECT", "OVERSHOOT"})

_BY_TERMS: Final = frozenset({Reason.EXCLUSIVE, Reason.GROUP_LIMIT})


def intersect(into: Candidates, other: Candidates) -> None:
    """Adds what another process found."""
    for template, rivals in other.items():
        into[template] = into[template] & rivals if template in into else rivals


class Dominance:
    """The pairs that the carts of one process have not refuted."""

    def __init__(self, coupons: Sequence[Coupon], rules: Rules) -> None:
        self._one = {coupon.template_id: coupon for coupon in coupons}
        self._rules = rules
        self._conflicts: set[tuple[int, int]] = set()
        self.candidates: Candidates = {}

    def look(self, cart: Cart, decision: Decision, now: datetime) -> list[int]:
        """Learns from one cart; answers the templates that take something off it alone and still have a rival."""
        possible = {entry.template_id for entry in decision.applied}
        possible |= {entry.template_id for entry in decision.rejected if entry.reason in _OF_OTHERS}
        open_ = [template for template in possible if self.candidates.get(template, True)]
        if not open_:
            return []
        together = {entry.template_id for entry in decision.applied}
        alone: dict[int, int] = {}

        def takes(template: int) -> int:
            if template not in possible:
                return 0
            if template not in alone:
                alone[template] = price(cart, (self._one[template],), self._rules, now=now).discount
            return alone[template]

        held = []
        for template in sorted(open_):
            least = takes(template)
            if not least:
                continue
            rivals = self.candidates.get(template, possible - {template})
            if template in together:
                rivals = rivals - together
            self.candidates[template] = frozenset(
                rival
                for rival in rivals
                if takes(rival) >= least and self._conflict(cart, self._one[template], self._one[rival], now)
            )
            if self.candidates[template]:
                held.append(template)
        return held

    def _conflict(self, cart: Cart, one: Coupon, other: Coupon, now: datetime) -> bool:
        pair = one.template_id, other.template_id
        if pair in self._conflicts:
            return True
        decision = price(cart, (one, other), self._rules, now=now)
        # Of two coupons alone these are decided by their terms: so they hold for every cart.
        if any(entry.reason in _BY_TERMS for entry in decision.rejected):
            self._conflicts.add(pair)
        return len(decision.applied) < 2
