"""What holds for every cart and coupon: returns add up, scales behave, what stands alone is what was given alone."""

from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from couponry.discount import (
    Cart,
    Coupon,
    Decision,
    FixedPrice,
    Kind,
    Reason,
    Repeat,
    Rules,
    Standing,
    Terms,
    Tier,
    price,
    price_each,
)
from tests.unit.discount.test_against_model import NOW, carts, rules, submissions


def small(cart: Cart) -> bool:
    return cart.order_total is None and all(line.unit_price <= 100_000 for line in cart.lines)


small_carts = carts().filter(small)


def of_small_amounts(coupon: Coupon) -> bool:
    terms = coupon.terms
    of_tiers = [amount for tier in terms.tiers for amount in (tier.min_spend, tier.amount_off)]
    of_repeat = [] if terms.repeat is None else [terms.repeat.every]
    amounts = [terms.min_spend, terms.amount_off or 0, terms.max_discount or 0, *of_tiers, *of_repeat]
    return max(amounts) <= 10**12 and (terms.fixed_price is None or terms.fixed_price.unit_price <= 10**12)


one_coupon = submissions().filter(bool).map(lambda submitted: replace(submitted[0], budget_left=None))
small_coupon = one_coupon.filter(of_small_amounts)


def unit_nets(cart: Cart, decision: Decision, line_id: str) -> list[int]:
    """What each unit of a line costs in the end, told from its price and what every coupon took of it."""
    [line] = [line for line in cart.lines if line.line_id == line_id]
    nets = [line.unit_price] * line.quantity
    for applied in decision.applied:
        for allocation in applied.lines:
            if allocation.line_id == line_id:
                for run in allocation.units:
                    for unit in range(run.unit_from, run.unit_from + run.unit_count):
                        nets[unit] -= run.amount_each
    return nets


@settings(max_examples=100, deadline=None)
@given(cart=small_carts, submitted=submissions(), data=st.data())
def test_units_that_come_back_in_any_parts_add_up_to_their_line(
    cart: Cart, submitted: list[Coupon], data: st.DataObject
) -> None:
    decision = price(cart, submitted, now=NOW)
    for line in decision.lines:
        nets = unit_nets(cart, decision, line.line_id)
        assert min(nets) >= 0
        assert Counter(nets) == {run.net_each: run.unit_count for run in line.units}
        # Each unit comes back in one of three returns, or stays.
        returns = data.draw(st.lists(st.integers(0, 3), min_size=len(nets), max_size=len(nets)))
        refunds = Counter[int]()
        for net, in_return in zip(nets, returns, strict=True):
            refunds[in_return] += net
        assert sum(refunds.values()) == line.net


@settings(max_examples=100, deadline=None)
@given(cart=carts(), submitted=submissions(), shop_rules=rules)
def test_each_stands_alone_as_it_does_when_it_is_given_alone(
    cart: Cart, submitted: list[Coupon], shop_rules: Rules
) -> None:
    expected = []
    for coupon in submitted:
        decision = price(cart, [coupon], shop_rules, now=NOW)
        expected.append(Standing(decision.discount, next(iter(decision.rejected), None)))
    assert price_each(cart, submitted, shop_rules, now=NOW) == expected


def dearer(cart: Cart, times: int) -> Cart:
    lines = tuple(
        replace(
            line,
            unit_price=line.unit_price * times,
            list_unit_price=None if line.list_unit_price is None else line.list_unit_price * times,
        )
        for line in cart.lines
    )
    return replace(
        cart, lines=lines, shipments=tuple(replace(each, amount=each.amount * times) for each in cart.shipments)
    )


def dearer_terms(terms: Terms, times: int) -> Terms:
    def more(amount: int) -> int:
        return amount * times

    return replace(
        terms,
        min_spend=more(terms.min_spend),
        amount_off=None if terms.amount_off is None else more(terms.amount_off),
        max_discount=None if terms.max_discount is None else more(terms.max_discount),
        tiers=tuple(Tier(more(tier.min_spend), more(tier.amount_off)) for tier in terms.tiers),
        repeat=terms.repeat and Repeat(more(terms.repeat.every), more(terms.repeat.amount_off)),
        fixed_price=terms.fixed_price and FixedPrice(more(terms.fixed_price.unit_price), terms.fixed_price.max_units),
    )


def effect(cart: Cart, coupon: Coupon) -> tuple[int, Reason | None, int | None]:
    """What it takes alone, and why not; the reason for nothing only where it is not that the amount would be 0."""
    [standing] = price_each(cart, [coupon], now=NOW)
    if standing.rejected is None or standing.rejected.reason is Reason.NO_EFFECT:
        return standing.discount, None, None
    return 0, standing.rejected.reason, standing.rejected.short_by


@settings(max_examples=200, deadline=None)
@given(cart=small_carts, coupon=small_coupon, times=st.integers(1, 1000))
def test_amounts_times_as_large_take_times_as_much_but_for_what_was_rounded(
    cart: Cart, coupon: Coupon, times: int
) -> None:
    less, why_not, short_by = effect(cart, coupon)
    more, why_not_more, short_by_more = effect(
        dearer(cart, times), replace(coupon, terms=dearer_terms(coupon.terms, times))
    )
    assert why_not == why_not_more
    if why_not is Reason.MIN_SPEND_NOT_MET:
        assert short_by_more == (short_by or 0) * times
    if coupon.terms.kind in {Kind.PERCENT_OFF, Kind.NTH_ITEM}:
        assert 2 * abs(more - less * times) <= times + 1
    else:
        assert more == less * times


@settings(max_examples=200, deadline=None)
@given(cart=small_carts, coupon=one_coupon)
def test_a_line_of_many_units_is_as_many_lines_of_one(cart: Cart, coupon: Coupon) -> None:
    units = tuple(
        replace(line, line_id=f"{line.line_id}-{unit}", quantity=1)
        for line in cart.lines
        for unit in range(line.quantity)
    )
    assert effect(cart, coupon) == effect(replace(cart, lines=units), coupon)
