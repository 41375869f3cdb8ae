"""ListAvailableCoupons: each coupon standing alone, the best first, in pages of one computed list."""

from datetime import timedelta

import pytest

from couponry.clock import to_timestamp
from couponry.errors import InvalidArgument
from couponry.v1 import coupon_pb2 as pb
from couponry.v1 import reason_pb2, template_pb2
from tests.integration.coupons.conftest import Shop
from tests.unit.coupons.builders import NOW, by_id, cart, instant_off

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def request_of(**changes: object) -> pb.ListAvailableCouponsRequest:
    return pb.ListAvailableCouponsRequest(**({"user_id": "u", "cart": cart()} | changes))  # type: ignore[arg-type]


async def available(shop: Shop, **changes: object) -> list[pb.AvailableCoupon]:
    response = await shop.available.page(request_of(**changes))
    assert not response.next_page_token
    return list(response.coupons)


async def test_the_best_comes_first_then_the_earlier_end_then_the_smaller_id(shop: Shop) -> None:
    small = await shop.receive(await shop.template(terms=instant_off(1)))
    first, second = [await shop.receive(await shop.template(terms=instant_off(700))) for _ in range(2)]
    sooner = await shop.receive(await shop.template(terms=instant_off(700), valid_until=to_timestamp(NOW + DAY)))
    best = await shop.receive(await shop.template())
    found = await available(shop)
    assert [(each.coupon.coupon_id, each.discount) for each in found] == [
        (best.coupon_id, 2000),
        (sooner.coupon_id, 700),
        (first.coupon_id, 700),
        (second.coupon_id, 700),
        (small.coupon_id, 1),
    ]
    assert not any(each.HasField("rejected") for each in found)


async def test_what_cannot_be_used_comes_last_with_its_reason(shop: Shop) -> None:
    minimum = template_pb2.Terms(
        kind=template_pb2.KIND_THRESHOLD_OFF,
        coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
        currency="CNY",
        min_spend=10_001,
        amount_off=1,
    )
    far = await shop.receive(await shop.template(terms=minimum))
    locked = await shop.receive(await shop.template())
    later = await shop.receive(await shop.template(valid_from=to_timestamp(NOW + DAY)))
    usable = await shop.receive(await shop.template())
    await shop.lock(locked, until=NOW + MINUTE)
    found = await available(shop)
    assert found[0].coupon.coupon_id == usable.coupon_id
    refused = {each.coupon.coupon_id: each.rejected for each in found[1:]}
    assert {coupon_id: each.reason for coupon_id, each in refused.items()} == {
        far.coupon_id: reason_pb2.REASON_MIN_SPEND_NOT_MET,
        locked.coupon_id: reason_pb2.REASON_LOCKED,
        later.coupon_id: reason_pb2.REASON_NOT_STARTED,
    }
    assert refused[far.coupon_id].short_by == 1
    assert all(each.coupon_id == coupon_id for coupon_id, each in refused.items())


async def test_used_revoked_expired_and_other_peoples_coupons_are_not_listed(shop: Shop) -> None:
    template = await shop.template()
    used, revoked = await shop.receive(template), await shop.receive(template)
    await shop.receive(await shop.template(valid_until=to_timestamp(NOW + DAY)))
    await shop.receive(template, "v")
    live = await shop.receive(template)
    await shop.mysql.execute("UPDATE user_coupons SET status = 3 WHERE id = %s", (used.coupon_id,))
    await shop.revoke(revoked)
    shop.clock.now = NOW + DAY
    assert [each.coupon.coupon_id for each in await available(shop)] == [live.coupon_id]


async def test_a_pause_and_a_budget_are_seen(shop: Shop) -> None:
    paused, poor = await shop.template(), await shop.template(budget=1999)
    await shop.receive(paused)
    await shop.receive(poor)
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=paused.template_id), "admin")
    found = {each.coupon.template_id: each.rejected for each in await available(shop)}
    assert found[paused.template_id].reason == reason_pb2.REASON_TEMPLATE_PAUSED
    assert found[poor.template_id].reason == reason_pb2.REASON_BUDGET_EXHAUSTED
    assert found[poor.template_id].left == 1999


async def test_the_discount_is_what_calculating_with_this_coupon_alone_gives(shop: Shop) -> None:
    coupons = [await shop.receive(await shop.template(terms=instant_off(n * 900))) for n in range(1, 15)]
    found = await available(shop, minimum_payable=100)
    assert len(found) == len(coupons)
    for each in found:
        alone = await shop.calculate(by_id(each.coupon), minimum_payable=100)
        assert each.discount == alone.discount


async def test_pages_are_of_one_list_while_coupons_come_and_go(shop: Shop) -> None:
    coupons = [await shop.receive(await shop.template(terms=instant_off(n))) for n in (50, 40, 30, 20, 10)]
    first = await shop.available.page(request_of(page_size=2))
    assert [each.coupon.coupon_id for each in first.coupons] == [each.coupon_id for each in coupons[:2]]
    await shop.revoke(coupons[0])
    await shop.receive(await shop.template(terms=instant_off(100)))
    shop.clock.now = NOW + MINUTE
    second = await shop.available.page(request_of(page_size=2, page_token=first.next_page_token))
    assert [each.coupon.coupon_id for each in second.coupons] == [each.coupon_id for each in coupons[2:4]]
    third = await shop.available.page(request_of(page_size=2, page_token=second.next_page_token))
    assert [each.coupon.coupon_id for each in third.coupons] == [coupons[4].coupon_id]
    assert not third.next_page_token


async def test_a_token_has_the_instant_of_its_first_page_and_grows_old(shop: Shop) -> None:
    ending = await shop.template(terms=instant_off(5), valid_until=to_timestamp(NOW + MINUTE))
    coupons = [await shop.receive(ending) for _ in range(2)]
    token = (await shop.available.page(request_of(page_size=1))).next_page_token
    shop.clock.now = NOW + MINUTE
    second = await shop.available.page(request_of(page_size=1, page_token=token))
    assert [each.coupon.coupon_id for each in second.coupons] == [coupons[1].coupon_id]
    shop.clock.now = NOW + timedelta(minutes=15, milliseconds=1)
    with pytest.raises(InvalidArgument, match="too old"):
        await shop.available.page(request_of(page_token=token))


async def test_a_token_of_another_cart_is_refused(shop: Shop) -> None:
    template = await shop.template()
    for _ in range(2):
        await shop.receive(template)
    token = (await shop.available.page(request_of(page_size=1))).next_page_token
    with pytest.raises(InvalidArgument) as refused:
        await shop.available.page(request_of(page_token=token, cart=cart(9999)))
    assert refused.value.violations[0].field == "page_token"


WRONG: list[tuple[str, dict[str, object]]] = [
    ("user_id", {"user_id": ""}),
    ("cart", {"cart": None}),
    ("cart.currency", {"cart": cart(currency="")}),
    ("minimum_payable", {"minimum_payable": -1}),
    ("page_size", {"page_size": 201}),
]


async def test_bad_input_names_its_field(shop: Shop) -> None:
    for field, changes in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await shop.available.page(request_of(**changes))
        assert field in {violation.field for violation in refused.value.violations}
