"""The calls of the calculator. The work is done in Rust, without the interpreter's lock."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from couponry import _core
from couponry.discount.answers import Answer, rejected
from couponry.discount.decision import BestDecision, Decision, Standing
from couponry.discount.errors import InvalidCart, InvalidCoupons, InvalidTerms
from couponry.discount.inputs import Cart, Coupon, Rules, Terms
from couponry.discount.rows import Told

__all__ = ["best", "best_many", "price", "price_each", "validate_terms"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_DEFAULT_RULES: Final = Rules()


def price(cart: Cart, coupons: Sequence[Coupon], rules: Rules = _DEFAULT_RULES, *, now: datetime) -> Decision:
    """Applies these coupons and no others to the cart, in the order of application, and says why not where not.

    The order in which coupons are submitted changes nothing. Raises InvalidCart for what is wrong with the cart, else
    InvalidCoupons for what is wrong with coupons, rules or `now` (more coupons than `rules.submitted_limit` among it).
    """
    coupons = tuple(coupons)
    outcome = _core.price_cart(cart, coupons, rules, _ms(now))
    if isinstance(outcome, tuple):
        raise _invalid(outcome)
    return Decision.of(Answer(outcome, cart, coupons))


def best(cart: Cart, coupons: Sequence[Coupon], rules: Rules = _DEFAULT_RULES, *, now: datetime) -> BestDecision:
    """Applies the set of these coupons that takes the most off; of equal sets the one with fewer coupons, then the one
    that expires earlier, then the one with smaller ids. `certificate` says why no other set takes more.

    Raises what `price` raises.
    """
    coupons = tuple(coupons)
    outcome = _core.best_cart(cart, coupons, rules, _ms(now))
    if isinstance(outcome, tuple):
        raise _invalid(outcome)
    return BestDecision.of(Answer(outcome, cart, coupons))


def best_many(
    calls: Sequence[tuple[Cart, Sequence[Coupon]]],
    rules: Rules = _DEFAULT_RULES,
    *,
    now: datetime,
    threads: int | None = None,
) -> list[BestDecision]:
    """`best` for each (cart, coupons), in their order, on `threads` threads (None: one a core).

    Raises what `price` raises, for the first call that is wrong, with paths as `calls[3].cart.lines[0].quantity` and
    `calls[3].coupons[2].coupon_id`; ValueError for less than one thread.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads: must be at least 1, is {threads}")
    snapshot = [(cart, tuple(coupons)) for cart, coupons in calls]
    place, outcomes = _core.best_carts(snapshot, rules, _ms(now), threads or 0)
    decisions = []
    for outcome, (cart, coupons) in zip(outcomes, snapshot if place is None else snapshot[place:], strict=False):
        if isinstance(outcome, tuple):
            bad_cart, bad_rest = outcome
            raise _invalid(
                (
                    [(f"calls[{place}].cart.{field}", text) for field, text in bad_cart],
                    [
                        (f"calls[{place}].{field}" if field.startswith("coupons") else field, text)
                        for field, text in bad_rest
                    ],
                )
            )
        decisions.append(BestDecision.of(Answer(outcome, cart, coupons)))
    return decisions


def price_each(
    cart: Cart, coupons: Sequence[Coupon], rules: Rules = _DEFAULT_RULES, *, now: datetime
) -> list[Standing]:
    """What each of these coupons does standing alone, in their order: as `price` of it, for any number in one call.

    Raises what `price` raises, but not for too many coupons.
    """
    coupons = tuple(coupons)
    rows = _core.price_each(cart, coupons, rules, _ms(now))
    if isinstance(rows, tuple):
        raise _invalid(rows)
    return [Standing(discount, row and rejected(coupons, row)) for discount, row in rows]


def validate_terms(terms: Terms) -> None:
    """Raises InvalidTerms with everything that is wrong with the terms of a template."""
    violations = _core.check_terms(terms)
    if violations:
        raise InvalidTerms(violations)


def _ms(time: datetime) -> int | None:
    return None if time.utcoffset() is None else (time - _EPOCH) // _MILLISECOND


def _invalid(refused: tuple[Told, Told]) -> InvalidCart | InvalidCoupons:
    bad_cart, bad_coupons = refused
    return InvalidCart(bad_cart) if bad_cart else InvalidCoupons(bad_coupons)
