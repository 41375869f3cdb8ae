"""How long `couponry.discount` takes; each result is asserted before it is timed.

Carts and coupons keep their compiled form from the first call on; `a cart of its own each time` is what a service sees.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pytest_benchmark.fixture import BenchmarkFixture

from couponry.discount import (
    Cart,
    Coupon,
    CouponClass,
    Decision,
    Kind,
    Line,
    Rules,
    Scope,
    Shipment,
    Terms,
    Tier,
    best,
    best_many,
    price,
)
from tests.unit.discount import model

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
DAY = timedelta(days=1)
RULES = Rules()


def coupon(coupon_id: int, terms: Terms) -> Coupon:
    return Coupon(coupon_id, coupon_id, terms, NOW - DAY, NOW + DAY)


FIVE = (
    coupon(1, Terms(Kind.PERCENT_OFF, CouponClass.ITEM, "CNY", percent_off_bp=1000, scope=Scope(("sku-1", "sku-2")))),
    coupon(
        2,
        Terms(
            Kind.THRESHOLD_OFF,
            CouponClass.SHOP,
            "CNY",
            tiers=(Tier(10_000, 1_000), Tier(20_000, 3_000)),
            shop_id="shop-0",
        ),
    ),
    coupon(3, Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "CNY", amount_off=500)),
    coupon(4, Terms(Kind.INSTANT_OFF, CouponClass.PLATFORM, "CNY", amount_off=300)),
    coupon(5, Terms(Kind.FREE_SHIPPING, CouponClass.SHIPPING, "CNY", max_discount=800)),
)


def cart(lines: int, quantity: int) -> Cart:
    return Cart(
        "CNY",
        tuple(
            Line(f"line-{place}", f"sku-{place}", f"shop-{place % 2}", quantity, 1_999 + place, category_ids=("goods",))
            for place in range(lines)
        ),
        (Shipment("parcel-0", "shop-0", 600), Shipment("parcel-1", "shop-1", 600)),
    )


def test_ten_lines_and_five_coupons(benchmark: BenchmarkFixture) -> None:
    ten = cart(10, 3)
    decision = price(ten, FIVE, RULES, now=NOW)
    assert [applied.discount for applied in decision.applied] == [1_200, 3_000, 500, 300, 800]
    assert decision.payable == 61_305 - 5_800
    assert benchmark(price, ten, FIVE, RULES, now=NOW) == decision


def test_one_line_and_one_coupon(benchmark: BenchmarkFixture) -> None:
    one = cart(1, 1)
    decision = price(one, FIVE[2:3], RULES, now=NOW)
    assert decision.payable == 1_999 + 1_200 - 500
    assert benchmark(price, one, FIVE[2:3], RULES, now=NOW) == decision


def test_the_largest_cart_and_thirty_coupons(benchmark: BenchmarkFixture) -> None:
    largest = cart(500, 1_000_000)
    thirty = [
        coupon(
            number,
            Terms(Kind.PERCENT_OFF, CouponClass.PLATFORM, "CNY", percent_off_bp=number, exclusive_group=""),
        )
        for number in range(1, 31)
    ]
    decision: Decision = price(largest, thirty, RULES, now=NOW)
    assert [applied.coupon_id for applied in decision.applied] == [1, 2, 3, 4, 5]
    assert sum(line.discount for line in decision.lines) == decision.discount
    assert benchmark(price, largest, thirty, RULES, now=NOW) == decision


def test_ten_lines_and_five_coupons_with_every_part_of_the_decision(benchmark: BenchmarkFixture) -> None:
    ten = cart(10, 3)

    def whole() -> int:
        decision = price(ten, FIVE, RULES, now=NOW)
        parts = (decision.applied, decision.rejected, decision.lines, decision.shipments, decision.hints)
        return decision.payable + len(parts)

    assert whole() == 61_305 - 5_800 + 5
    benchmark(whole)


def test_a_cart_of_its_own_each_time(benchmark: BenchmarkFixture) -> None:
    ten = cart(10, 3)
    decision = price(ten, FIVE, RULES, now=NOW)
    assert benchmark(lambda: price(replace(ten), FIVE, RULES, now=NOW)) == decision


def candidates(count: int) -> list[Coupon]:
    """Percentages, thresholds and instants in turn, over one half of the lines or all."""
    found = []
    for number in range(1, count + 1):
        scope = Scope(tuple(f"sku-{place}" for place in range(number % 2, 20, 2))) if number % 3 == 0 else Scope()
        kind = (Kind.PERCENT_OFF, Kind.THRESHOLD_OFF, Kind.INSTANT_OFF)[number % 3]
        rate = 500 + 70 * number if kind is Kind.PERCENT_OFF else None
        amount = None if kind is Kind.PERCENT_OFF else 90 * number
        terms = Terms(kind, CouponClass.PLATFORM, "CNY", percent_off_bp=rate, amount_off=amount, scope=scope)
        found.append(coupon(number, terms))
    return found


def test_the_best_of_ten_on_twenty_lines(benchmark: BenchmarkFixture) -> None:
    twenty, ten = cart(20, 3), candidates(10)
    decision = best(twenty, ten, RULES, now=NOW)
    assert (decision.discount, frozenset(decision.certificate.chosen)) == model.every_set(twenty, ten, RULES, NOW)[0]
    assert benchmark(best, twenty, ten, RULES, now=NOW) == decision


def best_time(call: Callable[[], object], times: int) -> float:
    def once() -> float:
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    return min(once() for _ in range(times))


def test_the_best_of_twelve_is_a_thousand_times_as_fast_as_trying_every_set() -> None:
    few, twelve = cart(4, 2), candidates(12)
    decision = best(few, twelve, RULES, now=NOW)
    start = time.perf_counter()
    total, chosen = model.every_set(few, twelve, RULES, NOW)[0]
    tried = time.perf_counter() - start
    assert (decision.discount, frozenset(decision.certificate.chosen)) == (total, chosen)
    searched = best_time(lambda: best(few, twelve, RULES, now=NOW).discount, 50)
    print(f"every set {tried * 1e3:.0f} ms, best {searched * 1e6:.0f} us: {tried / searched:,.0f} times")
    assert tried >= 1_000 * searched


def test_many_carts_are_chosen_for_on_all_cores() -> None:
    calls = [(cart(20, 1 + place % 9), candidates(10)) for place in range(2_000)]
    decisions = best_many(calls, RULES, now=NOW)
    assert decisions[:5] == [best(*call, RULES, now=NOW) for call in calls[:5]]
    one = best_time(lambda: best_many(calls, RULES, now=NOW, threads=1), 3)
    all_cores = best_time(lambda: best_many(calls, RULES, now=NOW), 3)
    print(f"2,000 carts: one thread {one * 1e3:.0f} ms, all cores {all_cores * 1e3:.0f} ms")
