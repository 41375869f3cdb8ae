"""Whether a template alone can make an order free, tried on carts made for it, as large as its own amounts.

The calculator answers, so no rule is written twice; a history shows only what has happened to be in it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from couponry.discount import Cart, Coupon, CouponClass, InvalidInput, Line, Rules, Scope, Terms, price

__all__ = ["largest_free_order"]

_ANY: Final = "couponry-replay-probe"
# For a percentage without an amount: large enough that it is not free by rounding.
_SOME: Final = 10_000
_NOW: Final = datetime(2000, 1, 1, tzinfo=UTC)


def largest_free_order(terms: Terms, rules: Rules) -> int | None:
    """The largest order (minor units; of the terms' own amounts, and 10,000) that such a coupon alone makes free."""
    coupon = Coupon(1, 1, terms)
    free = []
    for cart in _carts(terms):
        try:
            decision = price(cart, (coupon,), rules, now=_NOW)
        except InvalidInput:  # an amount of the terms that no cart can have
            continue
        if 0 == decision.payable < decision.original:
            free.append(decision.original)
    return max(free, default=None)


def _carts(terms: Terms) -> Iterator[Cart]:
    place = _eligible(terms)
    if place is None:
        return
    sku, spu, category, shop = place
    amounts = {_SOME, terms.min_spend, terms.amount_off, terms.max_discount}
    for tier in terms.tiers:
        amounts |= {tier.min_spend, tier.amount_off}
    if terms.repeat is not None:
        amounts |= {terms.repeat.every, terms.repeat.amount_off}
    quantities = {1, terms.min_quantity}
    if (nth := getattr(terms, "nth_item", None)) is not None:
        quantities |= {nth.group_size, nth.discounted_units}
    for quantity in sorted(filter(None, quantities)):
        for amount in sorted(filter(None, amounts)):
            unit_price = -(-amount // quantity)
            yield Cart(
                terms.currency,
                (Line("1", sku, shop, quantity, unit_price, spu, () if category is None else (category,)),),
            )


def _eligible(terms: Terms) -> tuple[str, str | None, str | None, str] | None:
    """Sku, spu, category and shop of a line that the terms are for, if there can be one."""
    scope = terms.scope
    shop = terms.shop_id if terms.coupon_class is CouponClass.SHOP and terms.shop_id is not None else _ANY
    places: list[tuple[str, str | None, str | None, str]] = [
        *((sku, None, None, shop) for sku in scope.include_skus),
        *((_ANY, spu, None, shop) for spu in scope.include_spus),
        *((_ANY, None, category, shop) for category in scope.include_categories),
        *((_ANY, None, None, name) for name in scope.include_shops if shop in {_ANY, name}),
    ]
    if scope == Scope(
        exclude_skus=scope.exclude_skus,
        exclude_spus=scope.exclude_spus,
        exclude_categories=scope.exclude_categories,
        exclude_shops=scope.exclude_shops,
    ):
        places = [(_ANY, None, None, shop)]
    for sku, spu, category, name in places:
        if (
            sku not in scope.exclude_skus
            and spu not in scope.exclude_spus
            and category not in scope.exclude_categories
            and name not in scope.exclude_shops
        ):
            return sku, spu, category, name
    return None
