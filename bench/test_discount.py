"""How long `couponry.discount.price` takes; each result is asserted before it is timed."""

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
    price,
)

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
