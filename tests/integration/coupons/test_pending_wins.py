"""Flash-sale wins that were answered and have no row yet: seen, priced, and never said not to exist."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from couponry.clock import to_timestamp
from couponry.errors import FailedPrecondition, NotFound, Unavailable
from couponry.jobs.persister import Persister
from couponry.store.layers import Change
from couponry.v1 import coupon_pb2 as pb
from couponry.v1 import flash_sale_pb2, reason_pb2, template_pb2
from couponry.v1.discount_pb2 import CouponRef
from tests.integration.coupons.conftest import Shop
from tests.unit.coupons.builders import by_code, by_id, cart, instant_off

PENDING = pb.COUPON_STATE_PENDING
HOUR = timedelta(hours=1)


async def won(shop: Shop, template: template_pb2.Template, user: str = "u", *, stock: int = 5) -> CouponRef:
    """A win that nobody persists."""
    activity_spec = flash_sale_pb2.ActivitySpec(
        name="noon",
        template_id=template.template_id,
        stock=stock,
        per_user_limit=2,
        start_at=to_timestamp(shop.clock.now - HOUR),
        end_at=to_timestamp(shop.clock.now + HOUR),
    )
    created = flash_sale_pb2.CreateActivityRequest(spec=activity_spec)
    activity = (await shop.flash_sale.activities.create(created, "admin")).activity
    claim = flash_sale_pb2.ParticipateRequest(activity_id=activity.activity_id, user_id=user)
    answer = await shop.flash_sale.participation.participate(claim)
    assert answer.status == flash_sale_pb2.PARTICIPATE_STATUS_WON
    return CouponRef(coupon_id=answer.coupon_id)


async def persist(shop: Shop) -> None:
    flash_sale = shop.flash_sale
    await Persister(mysql=shop.mysql, outbox=flash_sale.outbox, fence=flash_sale.fence).run_once()
    shop.layers.wrote([Change("user", "u", "written")])


@pytest.fixture
async def template(shop: Shop) -> template_pb2.Template:
    # The sale goes by the clock of Redis.
    shop.clock.now = datetime.now(UTC).replace(microsecond=0)
    start = to_timestamp(shop.clock.now - HOUR)
    return await shop.template(
        terms=instant_off(500), valid_from=start, valid_until=to_timestamp(shop.clock.now + HOUR)
    )


async def get(shop: Shop, ref: CouponRef, user: str = "u") -> pb.Coupon:
    return (await shop.user_coupons.get(pb.GetCouponRequest(user_id=user, coupon=ref))).coupon


async def available(shop: Shop) -> list[tuple[int, pb.CouponState, int]]:
    response = await shop.available.page(pb.ListAvailableCouponsRequest(user_id="u", cart=cart()))
    return [(each.coupon.coupon_id, each.coupon.state, each.discount) for each in response.coupons]


async def test_a_win_is_found_priced_and_listed_before_and_after_it_is_a_row(
    shop: Shop, template: template_pb2.Template
) -> None:
    received = await shop.receive(template)
    ref = await won(shop, template)
    win = await get(shop, ref)
    assert (win.coupon_id, win.state, win.source) == (ref.coupon_id, PENDING, pb.COUPON_SOURCE_FLASH_SALE)
    assert await get(shop, by_code(win.code)) == win
    [applied] = (await shop.calculate(ref)).applied
    assert (applied.discount, applied.pending) == (500, True)
    unused = pb.COUPON_STATE_UNUSED
    mine = (received.coupon_id, unused, 500)
    assert await available(shop) == [mine, (ref.coupon_id, PENDING, 500)]
    await persist(shop)
    assert (await get(shop, ref)).state == unused
    [applied] = (await shop.calculate(ref)).applied
    assert (applied.discount, applied.pending) == (500, False)
    assert await available(shop) == [mine, (ref.coupon_id, unused, 500)]


async def test_a_win_that_was_used_is_no_longer_listed_while_its_activity_runs(
    shop: Shop, template: template_pb2.Template
) -> None:
    ref = await won(shop, template)
    await persist(shop)
    await shop.mysql.execute("UPDATE user_coupons SET status = 3 WHERE id = %s", (ref.coupon_id,))
    shop.layers.wrote([Change("user", "u", "written")])
    assert await available(shop) == []
    assert [each.reason for each in (await shop.calculate(ref)).rejected] == [reason_pb2.REASON_USED]


async def test_a_win_of_somebody_else_is_not_found(shop: Shop, template: template_pb2.Template) -> None:
    ref = await won(shop, template, "v")
    with pytest.raises(NotFound):
        await get(shop, ref)
    assert [each.reason for each in (await shop.calculate(ref)).rejected] == [reason_pb2.REASON_NOT_FOUND]
    assert await available(shop) == []


async def test_a_win_cannot_be_revoked_before_it_is_a_row(shop: Shop, template: template_pb2.Template) -> None:
    ref = await won(shop, template)
    revoke = pb.RevokeCouponRequest(user_id="u", coupon=ref)
    with pytest.raises(Unavailable) as refused:
        await shop.user_coupons.revoke(revoke, "admin")
    assert refused.value.reason == "PENDING"
    await persist(shop)
    assert (await shop.user_coupons.revoke(revoke, "admin")).coupon.state == pb.COUPON_STATE_REVOKED


async def test_pausing_the_template_stops_claims_and_keeps_wins(shop: Shop, template: template_pb2.Template) -> None:
    ref = await won(shop, template)
    win = await get(shop, ref)
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")
    claim = flash_sale_pb2.ParticipateRequest(activity_id=win.activity_id, user_id="v")
    participate = shop.flash_sale.participation.participate
    assert (await participate(claim)).status == flash_sale_pb2.PARTICIPATE_STATUS_PAUSED
    await persist(shop)
    assert (await get(shop, by_id(win))).state == pb.COUPON_STATE_UNUSED
    await shop.templates.resume(template_pb2.ResumeTemplateRequest(template_id=template.template_id), "admin")
    assert (await participate(claim)).status == flash_sale_pb2.PARTICIPATE_STATUS_WON


async def test_stock_of_an_activity_freezes_the_terms(shop: Shop, template: template_pb2.Template) -> None:
    await won(shop, template, stock=5)
    counters = await shop.counters(template)
    assert (counters.issued, counters.reserved) == (0, 5)
    update = template_pb2.UpdateTemplateRequest(
        template_id=template.template_id,
        spec=template_pb2.TemplateSpec(terms=instant_off(1)),
        update_mask=FieldMask(paths=["terms"]),
    )
    with pytest.raises(FailedPrecondition) as refused:
        await shop.templates.update(update, "admin")
    assert refused.value.reason == "TERMS_FROZEN"
