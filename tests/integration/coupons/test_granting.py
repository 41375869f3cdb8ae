"""Granting: up to 1,000 users in one transaction, each with a coupon or the limit that refuses it."""

from datetime import timedelta
from typing import Any

import pytest

from couponry.clock import to_timestamp
from couponry.errors import CouponryError, FailedPrecondition, InvalidArgument, NotFound
from couponry.v1 import coupon_pb2 as pb
from couponry.v1 import reason_pb2, template_pb2
from tests.integration.coupons.conftest import Shop
from tests.unit.coupons.builders import NOW

DAY = timedelta(days=1)


async def grant(shop: Shop, template: template_pb2.Template, *users: str, request_id: str = "") -> list[pb.Grant]:
    request = pb.GrantCouponsRequest(template_id=template.template_id, user_ids=users, request_id=request_id)
    return list((await shop.granting.grant(request, "admin")).grants)


async def test_1000_users_get_a_coupon_each(shop: Shop) -> None:
    template = await shop.template(total=1000)
    users = [f"u{n}" for n in range(1000)]
    grants = await grant(shop, template, *users)
    assert [each.user_id for each in grants] == users
    assert [each.coupon.user_id for each in grants] == users
    assert {each.coupon.source for each in grants} == {pb.COUPON_SOURCE_GRANTED}
    assert len({each.coupon.coupon_id for each in grants}) == 1000
    assert (await shop.counters(template)).issued == 1000


async def test_a_grant_names_1_to_1000_users(shop: Shop) -> None:
    template = await shop.template()
    for users in ([], ["u"] * 1001, ["u", ""], ["u" * 65]):
        with pytest.raises(InvalidArgument) as refused:
            await grant(shop, template, *users)
        assert refused.value.violations[0].field.startswith("user_ids")


async def test_limits_refuse_one_by_one_in_the_order_of_the_call(shop: Shop) -> None:
    template = await shop.template(total=3, per_user_limit=1)
    await shop.receive(template, "a")
    grants = await grant(shop, template, "a", "b", "b", "c", "d")
    assert [each.refused or "coupon" for each in grants] == [
        reason_pb2.REASON_USER_LIMIT,
        "coupon",
        reason_pb2.REASON_USER_LIMIT,
        "coupon",
        reason_pb2.REASON_TOTAL_LIMIT,
    ]
    assert (await shop.counters(template)).issued == 3


async def test_a_user_named_twice_gets_two(shop: Shop) -> None:
    template = await shop.template()
    first, second = await grant(shop, template, "u", "u")
    assert first.coupon.coupon_id != second.coupon.coupon_id


@pytest.mark.parametrize(
    "changes",
    [
        {"receive_from": to_timestamp(NOW + DAY)},
        {"receive_from": to_timestamp(NOW - DAY), "receive_until": to_timestamp(NOW)},
    ],
)
async def test_a_grant_does_not_wait_for_the_window_for_receiving(shop: Shop, changes: dict[str, Any]) -> None:
    template = await shop.template(**changes)
    [given] = await grant(shop, template, "u")
    assert given.HasField("coupon")


async def test_a_paused_or_expired_template_refuses_the_whole_call(shop: Shop) -> None:
    template = await shop.template()
    pause = template_pb2.PauseTemplateRequest(template_id=template.template_id)
    await shop.templates.pause(pause, "admin")
    with pytest.raises(FailedPrecondition) as paused:
        await grant(shop, template, "u")
    expired = await shop.template()
    shop.clock.now = NOW + 30 * DAY
    with pytest.raises(FailedPrecondition) as over:
        await grant(shop, expired, "u")
    assert (paused.value.reason, over.value.reason) == ("TEMPLATE_PAUSED", "EXPIRED")


async def test_an_absent_template_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await grant(shop, template_pb2.Template(template_id=404), "u")


async def test_a_repeated_grant_gets_the_same_answer(shop: Shop) -> None:
    template = await shop.template(total=1)
    first = await grant(shop, template, "a", "b", request_id="r")
    assert await grant(shop, template, "a", "b", request_id="r") == first
    with pytest.raises(CouponryError) as refused:
        await grant(shop, template, "a", request_id="r")
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"
    assert (await shop.counters(template)).issued == 1
