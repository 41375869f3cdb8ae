"""MySQL lost commits that Redis knows: wins come back, and so does the stock that they were won from."""

from couponry.flash_sale.wire import Place
from couponry.store import flash_sale as store
from tests.integration.flash_sale.conftest import STATUS, Instance


async def test_restocks_that_mysql_holds_as_pending_again_are_applied_though_their_stock_is_sold(
    shop: Instance,
) -> None:
    activity_id = (await shop.create(stock=2)).activity_id
    place = Place(activity_id)
    told = {await shop.win(activity_id, user, "r"): user for user in "ab"}
    await shop.persist()
    await shop.adjust(activity_id, 3, "first")
    await shop.adjust(activity_id, 2, "second")
    told |= {await shop.win(activity_id, user, "r"): user for user in "cdefg"}
    # The commits that finished the restocks and a pass are gone: Redis has sold what MySQL has yet to apply.
    await shop.mysql.execute(
        "UPDATE adjustments SET state = %s, applied = NULL, left_after = NULL, total_after = NULL, finished_at = NULL",
        (store.PENDING,),
    )
    await shop.mysql.execute("UPDATE activity_progress SET epoch = epoch - 1")
    assert await shop.parts.fence.ensure(place)
    assert await shop.coupons(activity_id) == told

    # The first is not enough for what is sold already, and is applied all the same: its stock is in MySQL's total.
    assert (await shop.adjust(activity_id, 3, "first")).left == 0
    assert (await shop.adjust(activity_id, 2, "second")).total == 7
    assert (await shop.claim(activity_id, "late", "r")).status == STATUS.PARTICIPATE_STATUS_SOLD_OUT
    assert (await shop.progress(activity_id))["total"] == 7
    await shop.assert_sound(activity_id)
