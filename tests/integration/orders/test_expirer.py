"""The expirer tidies what time has ended, once, however many of it run."""

import asyncio
from datetime import timedelta

from couponry.clock import to_timestamp
from couponry.jobs.expirer import Expirer
from couponry.v1 import order_pb2
from tests.integration.orders.conftest import OpenDesk
from tests.integration.orders.desk import NOW, Desk


async def test_a_lapsed_lock_gives_its_coupons_and_budget_back(desk: Desk) -> None:
    template = await desk.template(budget=5000)
    coupon = await desk.receive(template)
    await desk.lock("O", coupon)
    desk.clock.pass_s(59.999)
    assert await desk.expirer.run_once() == 0
    before = await desk.row(coupon)

    desk.clock.pass_s(0.001)
    assert await desk.state("O") == "LAPSED"
    assert await desk.expirer.run_once() == 1

    row = await desk.row(coupon)
    assert (row["status"], row["order_id"], row["locked_until"]) == (1, None, None)
    assert row["version"] > before["version"]
    assert await desk.budget(template) == (0, 0)
    assert await desk.state("O") == "LAPSED"
    assert [entry.kind for entry in (await desk.get("O")).ledger] == [
        order_pb2.LEDGER_KIND_LOCK,
        order_pb2.LEDGER_KIND_RELEASE,
    ]
    assert await desk.expirer.run_once() == 0


async def test_a_coupon_past_its_end_becomes_expired(desk: Desk) -> None:
    ends = NOW + timedelta(seconds=10)
    coupon = await desk.coupon(valid_until=to_timestamp(ends))
    later = await desk.coupon()
    desk.clock.now = ends - timedelta(milliseconds=1)
    assert await desk.expirer.run_once() == 0
    desk.clock.now = ends
    assert await desk.expirer.run_once() == 1
    assert (await desk.status(coupon), await desk.status(later)) == ("EXPIRED", "UNUSED")


async def test_a_coupon_that_ended_while_locked_becomes_expired_at_once(desk: Desk) -> None:
    coupon = await desk.coupon(valid_until=to_timestamp(NOW + timedelta(seconds=10)))
    await desk.lock("O", coupon)
    desk.clock.pass_s(60)
    assert await desk.expirer.run_once() == 1
    assert await desk.status(coupon) == "EXPIRED"


async def test_used_and_returned_orders_are_left_alone(desk: Desk) -> None:
    coupon = await desk.coupon()
    await desk.lock("O", coupon)
    await desk.use("O")
    desk.clock.pass_s(100)
    assert await desk.expirer.run_once() == 0
    assert await desk.status(coupon) == "USED"


async def test_an_order_that_somebody_works_on_is_left_for_later(desk: Desk) -> None:
    await desk.lock("O", await desk.coupon())
    await desk.lock("P", await desk.coupon())
    desk.clock.pass_s(60)
    async with desk.mysql.transaction() as tx:
        await tx.fetch_one("SELECT 1 FROM orders WHERE order_id = 'O' FOR UPDATE")
        assert await desk.expirer.run_once() == 1
    assert await desk.expirer.run_once() == 1


async def test_many_expirers_tidy_everything_once(open_desk: OpenDesk) -> None:
    desks = [await open_desk() for _ in range(3)]
    desk = desks[0]
    template = await desk.template(budget=100_000)
    users = [f"u{number}" for number in range(40)]
    for user in users:
        coupons = [await desk.receive(template, user), await desk.coupon(user=user)]
        await desk.lock(f"O-{user}", *coupons, user=user)
    assert await desk.budget(template) == (40_000, 0)
    desk.clock.pass_s(60)

    expirers = [Expirer(mysql=each.mysql, batch=7) for each in desks]

    async def drain(expirer: Expirer) -> int:
        total = 0
        while done := await expirer.run_once():
            total += done
        return total

    tidied = sum(await asyncio.gather(*map(drain, expirers)))
    tidied += await drain(expirers[0])

    assert tidied == 40
    assert await desk.budget(template) == (0, 0)
    rows = await desk.mysql.fetch_all("SELECT status, COUNT(*) AS coupons FROM user_coupons GROUP BY status")
    assert [(row["status"], row["coupons"]) for row in rows] == [(1, 80)]
    released = await desk.mysql.fetch_one("SELECT COUNT(*) AS n FROM order_ledger WHERE kind = 3")
    assert released == {"n": 80}
