"""A user's coupons: found by id or code, listed by state, revoked once."""

from datetime import timedelta
from typing import Any

import pytest

from couponry.clock import to_timestamp
from couponry.errors import CouponryError, FailedPrecondition, InvalidArgument, NotFound
from couponry.store.layers import Change
from couponry.v1 import coupon_pb2 as pb
from couponry.v1.discount_pb2 import CouponRef
from tests.integration.coupons.conftest import OpenShop, Shop
from tests.unit.coupons.builders import NOW, by_code, by_id

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


async def get(shop: Shop, ref: CouponRef, user: str = "u", min_version: int = 0) -> pb.GetCouponResponse:
    return await shop.user_coupons.get(pb.GetCouponRequest(user_id=user, coupon=ref, min_version=min_version))


async def listed(shop: Shop, *states: pb.CouponState, user: str = "u") -> list[int]:
    response = await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id=user, states=states))
    assert not response.next_page_token
    return [coupon.coupon_id for coupon in response.coupons]


async def test_a_coupon_is_found_by_id_and_by_code_with_its_template(shop: Shop) -> None:
    template = await shop.template()
    coupon = await shop.receive(template)
    expected = pb.GetCouponResponse(coupon=coupon, template=template)
    assert await get(shop, by_id(coupon)) == expected
    assert await get(shop, by_code(coupon.code)) == expected


async def test_a_used_coupon_is_found_in_sql(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    await shop.mysql.execute(
        "UPDATE user_coupons SET status = 3, order_id = 'o', attempt = 1, used_at = %s", (NOW.replace(tzinfo=None),)
    )
    shop.layers.wrote([Change("user", "u", "written")])
    used = (await get(shop, by_id(coupon))).coupon
    assert (used.state, used.order_id, used.attempt) == (pb.COUPON_STATE_USED, "o", 1)
    assert used.used_at == to_timestamp(NOW)


async def test_another_users_coupon_looks_like_none(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    errors = []
    for ref in (by_id(coupon), by_code(coupon.code), by_code("AAAA-AAAA-AAAA"), CouponRef(coupon_id=404)):
        with pytest.raises(NotFound) as refused:
            await get(shop, ref, user="somebody else")
        errors.append((refused.value.text, refused.value.reason, refused.value.metadata))
    assert len(set(map(str, errors))) == 1


async def test_get_never_answers_below_the_version_asked_for(open_shop: OpenShop) -> None:
    writer, reader = await open_shop(), await open_shop()
    coupon = await writer.receive(await writer.template())
    await get(reader, by_id(coupon))
    await writer.revoke(coupon)
    assert (await get(reader, by_id(coupon), min_version=2)).coupon.state == pb.COUPON_STATE_REVOKED
    with pytest.raises(FailedPrecondition) as refused:
        await get(reader, by_id(coupon), min_version=3)
    assert (refused.value.reason, refused.value.metadata) == ("VERSION_NOT_REACHED", {"version": "2"})


WRONG = [
    ("user_id", pb.GetCouponRequest(coupon=CouponRef(coupon_id=1))),
    ("coupon", pb.GetCouponRequest(user_id="u")),
    ("coupon.coupon_id", pb.GetCouponRequest(user_id="u", coupon=CouponRef(coupon_id=0))),
    ("min_version", pb.GetCouponRequest(user_id="u", coupon=CouponRef(coupon_id=1), min_version=-1)),
]


async def test_bad_input_names_its_field(shop: Shop) -> None:
    for field, request in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await shop.user_coupons.get(request)
        assert [violation.field for violation in refused.value.violations] == [field]


async def test_coupons_are_listed_newest_first_with_their_templates_once(shop: Shop) -> None:
    one, two = await shop.template(), await shop.template()
    coupons = [await shop.receive(template) for template in (one, two, one)]
    await shop.receive(one, "somebody else")
    response = await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id="u"))
    assert list(response.coupons) == coupons[::-1]
    assert list(response.templates) == [one, two]


async def test_a_list_comes_in_pages_without_gaps(shop: Shop) -> None:
    template = await shop.template()
    ids = [(await shop.receive(template)).coupon_id for _ in range(7)][::-1]
    seen: list[int] = []
    sizes = []
    token = ""
    while True:
        request = pb.ListUserCouponsRequest(user_id="u", page_size=3, page_token=token)
        response = await shop.user_coupons.page(request)
        seen += [coupon.coupon_id for coupon in response.coupons]
        sizes.append(len(response.coupons))
        await shop.receive(template)  # what comes during the walk is newer than all pages
        token = response.next_page_token
        if not token:
            break
    assert (seen, sizes) == (ids, [3, 3, 1])
    first = await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id="u", page_size=1))
    with pytest.raises(InvalidArgument):
        await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id="v", page_token=first.next_page_token))


async def test_states_follow_from_time_in_lists_too(shop: Shop) -> None:
    short = await shop.template(valid_until=to_timestamp(NOW + DAY))
    long = await shop.template()
    unused, locked, used, revoked = [await shop.receive(long) for _ in range(4)]
    ending, ending_locked = [await shop.receive(short) for _ in range(2)]
    await shop.lock(locked, until=NOW + MINUTE)
    await shop.lock(ending_locked, until=NOW + DAY + MINUTE)
    await shop.mysql.execute("UPDATE user_coupons SET status = 3 WHERE id = %s", (used.coupon_id,))
    await shop.revoke(revoked)

    async def by_state() -> dict[int, set[int]]:
        return {
            state: set(await listed(shop, state))
            for state in (
                pb.COUPON_STATE_UNUSED,
                pb.COUPON_STATE_LOCKED,
                pb.COUPON_STATE_USED,
                pb.COUPON_STATE_EXPIRED,
                pb.COUPON_STATE_REVOKED,
            )
        }

    def expect(*groups: tuple[pb.Coupon, ...]) -> dict[int, set[int]]:
        return {n: {coupon.coupon_id for coupon in group} for n, group in enumerate(groups, 1)}

    assert await by_state() == expect((unused, ending), (locked, ending_locked), (used,), (), (revoked,))
    shop.clock.now = NOW + MINUTE
    assert await by_state() == expect((unused, ending, locked), (ending_locked,), (used,), (), (revoked,))
    shop.clock.now = NOW + DAY
    assert await by_state() == expect((unused, locked), (ending_locked,), (used,), (ending,), (revoked,))
    shop.clock.now = NOW + DAY + MINUTE
    assert await by_state() == expect((unused, locked), (), (used,), (ending, ending_locked), (revoked,))
    both = await listed(shop, pb.COUPON_STATE_EXPIRED, pb.COUPON_STATE_USED)
    assert both == [ending_locked.coupon_id, ending.coupon_id, used.coupon_id]
    # What is listed under a state says that state.
    response = await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id="u", states=[pb.COUPON_STATE_EXPIRED]))
    assert {coupon.state for coupon in response.coupons} == {pb.COUPON_STATE_EXPIRED}


async def test_a_list_takes_only_states_that_rows_have(shop: Shop) -> None:
    for state in (pb.COUPON_STATE_UNSPECIFIED, pb.COUPON_STATE_PENDING):
        with pytest.raises(InvalidArgument) as refused:
            await listed(shop, state)
        assert refused.value.violations[0].field == "states[0]"


async def test_a_revoked_coupon_stays_revoked(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    revoked = await shop.revoke(coupon)
    assert (revoked.state, revoked.version) == (pb.COUPON_STATE_REVOKED, 2)
    assert await shop.revoke(coupon) == revoked
    assert (await get(shop, by_id(coupon))).coupon == revoked


async def test_a_coupon_is_revoked_by_its_code(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    request = pb.RevokeCouponRequest(user_id="u", coupon=by_code(coupon.code), request_id="r")
    first = await shop.user_coupons.revoke(request, "admin")
    assert first.coupon.state == pb.COUPON_STATE_REVOKED
    assert await shop.user_coupons.revoke(request, "admin") == first


@pytest.mark.parametrize(("status", "reason"), [(2, "LOCKED"), (3, "USED")])
async def test_a_coupon_that_an_order_has_is_not_revoked(shop: Shop, status: int, reason: str) -> None:
    coupon = await shop.receive(await shop.template())
    await shop.lock(coupon, until=NOW + MINUTE)
    await shop.mysql.execute("UPDATE user_coupons SET status = %s", (status,))
    with pytest.raises(FailedPrecondition) as refused:
        await shop.revoke(coupon)
    assert refused.value.reason == reason
    assert (await get(shop, by_id(coupon))).coupon.state == status


async def test_a_lapsed_lock_does_not_keep_a_coupon_from_being_revoked(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    await shop.lock(coupon, until=NOW + MINUTE)
    shop.clock.now = NOW + MINUTE
    assert (await shop.revoke(coupon)).state == pb.COUPON_STATE_REVOKED


async def test_an_expired_coupon_can_be_revoked(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    shop.clock.now = NOW + 30 * DAY
    assert (await shop.revoke(coupon)).state == pb.COUPON_STATE_REVOKED


async def test_what_is_not_the_users_is_not_revoked(shop: Shop) -> None:
    coupon = await shop.receive(await shop.template())
    nobodys = [("u", CouponRef(coupon_id=404)), ("u", by_code("AAAA-AAAA-AAAA"))]
    for user, each in [*nobodys, ("v", by_id(coupon)), ("v", by_code(coupon.code))]:
        with pytest.raises(NotFound):
            await shop.user_coupons.revoke(pb.RevokeCouponRequest(user_id=user, coupon=each), "admin")


async def test_wrong_codes_are_counted_whichever_rpc_they_come_by(shop: Shop) -> None:
    mine = await shop.receive(await shop.template())
    theirs = await shop.receive(await shop.template(), "v")
    reasons: list[str] = []

    async def attempt(call: Any) -> None:
        try:
            await call
        except CouponryError as error:
            reasons.append(error.reason)

    for _ in range(9):
        await attempt(get(shop, by_code("AAAA-AAAA-AAAA")))
        await attempt(get(shop, by_code(theirs.code)))
        await attempt(shop.user_coupons.revoke(pb.RevokeCouponRequest(user_id="u", coupon=by_code(theirs.code)), ""))
        await shop.calculate(by_code(theirs.code))
    assert set(reasons) == {"NOT_FOUND"}
    with pytest.raises(CouponryError) as refused:
        await get(shop, by_code(mine.code))
    assert refused.value.reason == "RATE_LIMITED"
    assert (await get(shop, by_id(mine))).coupon == mine
