"""Behaviour cases from the field that cross several services, through gRPC."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest

from couponry.app import App, opened, served
from couponry.client import Client, refusal_of
from couponry.clock import to_timestamp
from couponry.config import Settings
from couponry.v1 import (
    cart_pb2,
    coupon_pb2,
    discount_pb2,
    flash_sale_pb2,
    order_pb2,
    template_pb2,
)
from tests.integration.service.conftest import create_template

WON = flash_sale_pb2.PARTICIPATE_STATUS_WON
PAUSED = flash_sale_pb2.PARTICIPATE_STATUS_PAUSED


@pytest.fixture
async def idle(served_settings: Settings) -> AsyncIterator[App]:
    """A service whose background jobs do not run: the persister runs when the test says so."""
    jobs = served_settings.jobs.model_copy(update={"enabled": False})
    without_jobs = served_settings.model_copy(update={"jobs": jobs})
    async with opened(without_jobs) as app:
        yield app


@pytest.fixture
async def idle_client(idle: App) -> AsyncIterator[Client]:
    async with served(idle) as address, Client(address, timeout_s=30) as client:
        yield client


def activity_of(template: template_pb2.Template, stock: int) -> flash_sale_pb2.CreateActivityRequest:
    now = datetime.now(UTC)
    return flash_sale_pb2.CreateActivityRequest(
        spec=flash_sale_pb2.ActivitySpec(
            name="sale",
            template_id=template.template_id,
            stock=stock,
            per_user_limit=1,
            start_at=to_timestamp(now - timedelta(seconds=1)),
            end_at=to_timestamp(now + timedelta(hours=1)),
        )
    )


async def receive(client: Client, template: template_pb2.Template, user_id: str) -> str:
    """OK, or the reason."""
    try:
        await client.coupons.ReceiveCoupon(
            coupon_pb2.ReceiveCouponRequest(user_id=user_id, template_id=template.template_id)
        )
    except grpc.aio.AioRpcError as error:
        return refusal_of(error).reason
    return "OK"


async def participate(client: Client, activity_id: int, user_id: str) -> flash_sale_pb2.ParticipateResponse:
    return await client.flash_sales.Participate(
        flash_sale_pb2.ParticipateRequest(activity_id=activity_id, user_id=user_id, request_id="r")
    )


async def counters(client: Client, template: template_pb2.Template) -> template_pb2.TemplateCounters:
    found = await client.templates.GetTemplate(
        template_pb2.GetTemplateRequest(template_id=template.template_id, include_counters=True)
    )
    return found.counters


async def test_stock_is_carved_from_the_template(client: Client) -> None:
    template = await create_template(client, total=100)
    await client.coupons.GrantCoupons(
        coupon_pb2.GrantCouponsRequest(
            template_id=template.template_id, user_ids=[f"early-{number}" for number in range(30)]
        )
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.flash_sales.CreateActivity(activity_of(template, 71))
    refusal = refusal_of(refused.value)
    assert (refusal.code, refusal.metadata["left"]) == (grpc.StatusCode.FAILED_PRECONDITION, "70")

    created = await client.flash_sales.CreateActivity(activity_of(template, 70))
    activity_id = created.activity.activity_id
    assert (await counters(client, template)).reserved == 70
    assert await receive(client, template, "late") == "TOTAL_LIMIT"

    for number in range(45):
        assert (await participate(client, activity_id, f"winner-{number}")).status == WON
    await client.templates.PauseTemplate(template_pb2.PauseTemplateRequest(template_id=template.template_id))
    assert (await participate(client, activity_id, "one-more")).status == PAUSED
    await client.templates.ResumeTemplate(template_pb2.ResumeTemplateRequest(template_id=template.template_id))

    ended = await client.flash_sales.EndActivity(flash_sale_pb2.EndActivityRequest(activity_id=activity_id))
    assert (ended.sold, ended.returned) == (45, 25)
    assert await receive(client, template, "late") == "OK"
    after = await counters(client, template)
    assert (after.issued, after.reserved) == (30 + 45 + 1, 0)


async def test_winner_pays_at_once(idle: App, idle_client: Client) -> None:
    client = idle_client
    template = await create_template(client, total=10)
    created = await client.flash_sales.CreateActivity(activity_of(template, 5))
    won = await participate(client, created.activity.activity_id, "user")
    coupons = [discount_pb2.CouponRef(coupon_id=won.coupon_id)]
    cart = cart_pb2.Cart(currency="CNY")
    cart.lines.add(line_id="A", sku_id="1", shop_id="s", quantity=1, unit_price=400_00)

    priced = await client.discounts.CalculateDiscount(
        discount_pb2.CalculateDiscountRequest(
            user_id="user", cart=cart, coupons=coupons, mode=discount_pb2.CALCULATE_MODE_APPLY_GIVEN
        )
    )
    assert (priced.decision.payable, priced.decision.applied[0].pending) == (350_00, True)
    found = await client.coupons.GetCoupon(coupon_pb2.GetCouponRequest(user_id="user", coupon=coupons[0]))
    assert found.coupon.state == coupon_pb2.COUPON_STATE_PENDING
    available = await client.coupons.ListAvailableCoupons(
        coupon_pb2.ListAvailableCouponsRequest(user_id="user", cart=cart)
    )
    assert [entry.coupon.coupon_id for entry in available.coupons] == [won.coupon_id]

    lock = order_pb2.LockCouponsRequest(order_id="O", user_id="user", cart=cart, coupons=coupons)
    stub = client.orders.LockCoupons
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        # The client repeats what is unavailable; this deadline ends it.
        await stub(lock, timeout=1)
    if refused.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
        refusal = refusal_of(refused.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "PENDING")
        assert refusal.retry_after_s is not None

    await idle.persister.run_once()
    locked = await stub(lock)
    assert locked.order.decision.payable == 350_00
