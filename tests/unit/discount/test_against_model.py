"""The calculator and the plain model decide alike, to the last unit, on random carts, coupons and rules."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from couponry.discount import (
    Cart,
    Coupon,
    CouponClass,
    CouponState,
    FixedPrice,
    Kind,
    Line,
    NthItem,
    Overshoot,
    Reason,
    Repeat,
    Rules,
    Scope,
    Shipment,
    Terms,
    Tier,
    best,
    price,
)
from tests.unit.discount import model

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
SHOPS = ("s1", "s2")
SKUS = ("k1", "k2", "k3")
CATEGORIES = ("c1", "c2")

# Small figures make ties, large ones make products beyond 64 bits.
amounts = st.one_of(st.integers(0, 12), st.integers(0, 500), st.integers(0, 100_000), st.integers(0, 10**17))
takes = st.one_of(st.integers(1, 12), st.integers(1, 500), st.integers(1, 100_000), st.integers(1, 10**18))
spends = st.one_of(st.just(0), st.just(0), st.integers(0, 60), st.integers(0, 5_000))
caps = st.one_of(st.none(), st.integers(1, 20), st.integers(1, 50_000))
# Not 0, which is drawn more often than its share.
rarely = st.integers(0, 19).map(lambda number: number == 13)


@st.composite
def carts(draw: st.DrawFn) -> Cart:
    shipments = tuple(
        Shipment(f"d{place}", draw(st.sampled_from(SHOPS)), draw(st.integers(0, 2_000)))
        for place in range(draw(st.integers(0, 3)))
    )
    if draw(rarely):
        return Cart("CNY", (), shipments, draw(amounts))
    lines = []
    for place in range(draw(st.integers(1, 5))):
        unit_price = draw(amounts)
        lines.append(
            Line(
                line_id=f"l{place}",
                sku_id=draw(st.sampled_from(SKUS)),
                shop_id=draw(st.sampled_from(SHOPS)),
                quantity=draw(st.integers(1, 6)),
                unit_price=unit_price,
                spu_id=draw(st.sampled_from([None, "p1"])),
                category_ids=tuple(draw(st.lists(st.sampled_from(CATEGORIES), max_size=2))),
                list_unit_price=draw(st.sampled_from([None, unit_price, unit_price + 1])),
                not_discountable=draw(rarely),
            )
        )
    return Cart("CNY", tuple(lines), shipments)


def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.just(()), st.lists(st.sampled_from(names), max_size=2).map(tuple))


scopes = st.one_of(
    st.just(Scope()),
    st.builds(
        Scope,
        include_skus=some(SKUS),
        include_spus=some(("p1",)),
        include_categories=some(CATEGORIES),
        include_shops=some(SHOPS),
        exclude_skus=some(SKUS),
        exclude_spus=some(("p1",)),
        exclude_categories=some(CATEGORIES),
        exclude_shops=some(SHOPS),
    ),
)
tiers = st.lists(st.builds(Tier, spends, takes), min_size=1, max_size=4).map(tuple)


@st.composite
def repeats(draw: st.DrawFn) -> Repeat:
    every = draw(takes)
    return Repeat(every, draw(st.integers(1, every)))


@st.composite
def figures(draw: st.DrawFn, coupon_class: CouponClass) -> Terms:
    """Kind, amounts and conditions."""
    overshoot = draw(st.sampled_from(Overshoot))
    quantity = draw(st.sampled_from([None, None, None, None, 2, 5]))
    if coupon_class is CouponClass.SHIPPING:
        return Terms(
            Kind.FREE_SHIPPING,
            coupon_class,
            "CNY",
            min_spend=draw(spends),
            min_quantity=quantity,
            max_discount=draw(caps),
        )
    match draw(st.sampled_from(["percent", "instant", "amount", "tiers", "repeat", "nth", "fixed"])):
        case "nth":
            size = draw(st.integers(2, 4))
            return Terms(
                Kind.NTH_ITEM,
                coupon_class,
                "CNY",
                min_spend=draw(spends),
                min_quantity=quantity,
                nth_item=NthItem(
                    size,
                    draw(st.integers(1, size - 1)),
                    draw(st.sampled_from([1, 3_333, 5_000, 10_000])),
                    draw(st.sampled_from([None, None, 1, 2])),
                ),
                max_discount=draw(caps),
            )
        case "fixed":
            return Terms(
                Kind.FIXED_PRICE,
                coupon_class,
                "CNY",
                min_spend=draw(spends),
                min_quantity=quantity,
                fixed_price=FixedPrice(draw(takes), draw(st.sampled_from([None, None, 1, 3]))),
                max_discount=draw(caps),
            )
        case "percent":
            return Terms(
                Kind.PERCENT_OFF,
                coupon_class,
                "CNY",
                min_spend=draw(spends),
                min_quantity=quantity,
                percent_off_bp=draw(st.one_of(st.integers(1, 10_000), st.sampled_from([1_000, 5_000, 10_000]))),
                max_discount=draw(caps),
            )
        case "instant":
            return Terms(Kind.INSTANT_OFF, coupon_class, "CNY", amount_off=draw(takes), overshoot=overshoot)
    threshold = Terms(Kind.THRESHOLD_OFF, coupon_class, "CNY", min_quantity=quantity, overshoot=overshoot)
    match draw(st.sampled_from(["amount", "tiers", "repeat"])):
        case "amount":
            return replace(threshold, min_spend=draw(spends), amount_off=draw(takes))
        case "tiers":
            return replace(threshold, tiers=draw(tiers))
    return replace(threshold, min_spend=draw(spends), repeat=draw(repeats()), max_discount=draw(caps))


@st.composite
def templates(draw: st.DrawFn, template_id: int) -> Coupon:
    """What the coupons of a template have in common."""
    coupon_class = draw(st.sampled_from(CouponClass))
    terms = replace(
        draw(figures(coupon_class)),
        currency="USD" if draw(rarely) else "CNY",
        scope=draw(scopes),
        shop_id=draw(st.sampled_from(SHOPS)) if coupon_class is CouponClass.SHOP else None,
        priority=draw(st.integers(-1, 1)),
        exclusive_group=draw(st.sampled_from([None, None, "", "", "g"])),
        stack_limit=draw(st.integers(1, 3)),
        exclusive=draw(rarely),
        joint=draw(st.booleans()),
        exclude_sale_items=draw(rarely),
    )
    budget_left = draw(st.one_of(st.none(), st.none(), st.integers(0, 5_000)))
    return Coupon(1, template_id, terms, template_paused=draw(rarely), budget_left=budget_left)


HOUR = timedelta(hours=1)


@st.composite
def submissions(draw: st.DrawFn) -> list[Coupon]:
    submitted: list[Coupon] = []
    for template_id in range(1, 1 + draw(st.integers(0, 6))):
        template = draw(templates(template_id))
        submitted += [
            replace(
                template,
                coupon_id=len(submitted) + number,
                valid_from=draw(st.sampled_from([None, *[NOW - HOUR] * 6, NOW, NOW + HOUR])),
                valid_until=draw(st.sampled_from([None, NOW + 2 * HOUR, NOW + 2 * HOUR])),
                state=draw(st.sampled_from([*[CouponState.UNUSED] * 30, *CouponState])),
            )
            for number in range(1, 1 + draw(st.sampled_from([1, 1, 1, 2, 4])))
        ]
    twice = draw(rarely)
    if submitted and twice:
        submitted.append(submitted[0])
    shuffled = draw(st.permutations(submitted))
    return list(shuffled)


rules = st.builds(
    Rules,
    minimum_payable=st.sampled_from([0, 0, 1, 50, 10**6]),
    percent_or_threshold_limit=st.integers(1, 2),
    instant_limit=st.integers(1, 3),
    free_shipping_limit=st.integers(1, 2),
    count_limit=st.integers(1, 5),
)


@settings(max_examples=200, deadline=None)
@given(cart=carts(), submitted=submissions(), shop_rules=rules)
def test_the_model_decides_alike(cart: Cart, submitted: list[Coupon], shop_rules: Rules) -> None:
    assert price(cart, submitted, shop_rules, now=NOW) == model.price(cart, submitted, shop_rules, NOW)


@settings(max_examples=60, deadline=None)
@given(cart=carts(), submitted=submissions(), shop_rules=rules)
def test_no_set_of_the_model_is_better(cart: Cart, submitted: list[Coupon], shop_rules: Rules) -> None:
    candidates = list({coupon.coupon_id: coupon for coupon in submitted}.values())[:8]
    sets = model.every_set(cart, candidates, shop_rules, NOW)
    decision = best(cart, candidates, shop_rules, now=NOW)
    chosen = frozenset(applied.coupon_id for applied in decision.applied)
    assert (decision.discount, chosen) == sets[0]
    given_these = model.price(cart, [each for each in candidates if each.coupon_id in chosen], shop_rules, NOW)
    assert (decision.applied, decision.lines, decision.shipments) == (
        given_these.applied,
        given_these.lines,
        given_these.shipments,
    )
    for rejected in decision.rejected:
        totals = [total for total, ids in sets if rejected.coupon_id in ids]
        if rejected.reason is Reason.NOT_IN_BEST:
            assert rejected.less_by == decision.discount - max(totals)
        else:
            assert not totals


def unscoped(coupon: Coupon) -> Coupon:
    of_shop = coupon.terms.coupon_class is CouponClass.SHOP
    terms = replace(
        coupon.terms,
        coupon_class=CouponClass.PLATFORM if of_shop else coupon.terms.coupon_class,
        shop_id=None,
        scope=Scope(),
        exclude_sale_items=False,
    )
    return replace(coupon, terms=terms)


@settings(max_examples=50, deadline=None)
@given(cart=carts(), submitted=submissions())
def test_lines_in_another_order_change_only_who_gets_a_spare_minor_unit(cart: Cart, submitted: list[Coupon]) -> None:
    # With scopes a minor unit on the one or the other of two equal lines is a minor unit in or out of the next basis.
    for_everything = [unscoped(coupon) for coupon in submitted]
    mirrored = replace(cart, lines=cart.lines[::-1], shipments=cart.shipments[::-1])
    there, back = price(cart, for_everything, now=NOW), price(mirrored, for_everything, now=NOW)
    assert [(entry.coupon_id, entry.discount, entry.unused) for entry in there.applied] == [
        (entry.coupon_id, entry.discount, entry.unused) for entry in back.applied
    ]
    assert (there.rejected, there.hints, there.payable) == (back.rejected, back.hints, back.payable)
