"""Receiving: exact totals and limits under any number of calls at once, each call answered once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from couponry.clock import from_timestamp, to_timestamp
from couponry.errors import CouponryError, Exhausted, FailedPrecondition, InvalidArgument, NotFound
from couponry.store.templates import lock_counters
from couponry.v1 import coupon_pb2 as pb
from couponry.v1 import template_pb2
from tests.integration.coupons.conftest import OpenShop, Shop
from tests.unit.coupons.builders import NOW

DAY = timedelta(days=1)


async def receive_all(calls: Sequence[tuple[Shop, template_pb2.Template, str, str]]) -> list[pb.Coupon | BaseException]:
    """All calls at once, each with its coupon or its error."""
    return await asyncio.gather(
        *(shop.receive(template, user, request_id) for shop, template, user, request_id in calls),
        return_exceptions=True,
    )


def outcomes(answers: Sequence[pb.Coupon | BaseException]) -> Counter[str]:
    """How many OK, and how many of each reason."""
    return Counter(
        "OK" if isinstance(each, pb.Coupon) else each.reason if isinstance(each, CouponryError) else repr(each)
        for each in answers
    )


async def transactions_per_receive(shop: Shop, calls: int, template: template_pb2.Template) -> int:
    before = await begun(shop)
    await receive_all([(shop, template, f"u{n}", "") for n in range(calls)])
    return await begun(shop) - before


async def begun(shop: Shop) -> int:
    [row] = await shop.mysql.fetch_all("SHOW GLOBAL STATUS LIKE 'Com_begin'")
    return int(row["Value"])


async def test_a_coupon_is_given_with_its_code_and_window(shop: Shop) -> None:
    template = await shop.template(valid_days=3)
    coupon = await shop.receive(template)
    assert shop.codes.decode(coupon.code) == coupon.coupon_id
    assert coupon == pb.Coupon(
        coupon_id=coupon.coupon_id,
        code=coupon.code,
        user_id="u",
        template_id=template.template_id,
        state=pb.COUPON_STATE_UNUSED,
        source=pb.COUPON_SOURCE_RECEIVED,
        valid_from=to_timestamp(NOW),
        valid_until=to_timestamp(NOW + 3 * DAY),
        received_at=to_timestamp(NOW),
        version=1,
    )
    assert (await shop.counters(template)).issued == 1


async def test_200_at_once_with_50_left_give_exactly_50(shop: Shop) -> None:
    template = await shop.template(total=50)
    answers = await receive_all([(shop, template, f"u{n}", "") for n in range(200)])
    assert outcomes(answers) == {"OK": 50, "TOTAL_LIMIT": 150}
    assert all(isinstance(each, pb.Coupon | Exhausted) for each in answers)
    rows = await shop.mysql.fetch_all("SELECT id FROM user_coupons")
    assert {row["id"] for row in rows} == {each.coupon_id for each in answers if isinstance(each, pb.Coupon)}
    assert (await shop.counters(template)).issued == 50


async def test_200_at_once_over_three_instances_give_exactly_50(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(3)]
    template = await shops[0].template(total=50)
    calls = [(shops[n % 3], template, f"u{n}", "") for n in range(200)]
    assert outcomes(await receive_all(calls)) == {"OK": 50, "TOTAL_LIMIT": 150}
    [row] = await shops[0].mysql.fetch_all("SELECT COUNT(*) AS n, COUNT(DISTINCT id) AS ids FROM user_coupons")
    assert (row["n"], row["ids"]) == (50, 50)


async def test_calls_of_one_tick_share_a_transaction(shop: Shop) -> None:
    template = await shop.template()
    # One more may take a block of ids.
    assert await transactions_per_receive(shop, 200, template) <= 2


async def test_a_users_limit_is_exact_over_instances(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(3)]
    template = await shops[0].template(per_user_limit=2)
    calls = [(shops[n % 3], template, user, "") for n in range(30) for user in ("a", "b")]
    assert outcomes(await receive_all(calls)) == {"OK": 4, "USER_LIMIT": 56}


async def test_stock_that_activities_hold_is_not_received(shop: Shop) -> None:
    template = await shop.template(total=10)
    await shop.mysql.execute("UPDATE template_counters SET reserved = 8")
    assert outcomes(await receive_all([(shop, template, "u", "")] * 5)) == {"OK": 2, "TOTAL_LIMIT": 3}


async def test_flash_sale_wins_do_not_count_for_a_users_limit(shop: Shop) -> None:
    template = await shop.template(per_user_limit=1)
    await shop.receive(template)
    await shop.mysql.execute("UPDATE user_coupons SET source = 3")
    await shop.receive(template)
    with pytest.raises(Exhausted):
        await shop.receive(template)


async def test_different_templates_do_not_wait_for_each_other(shop: Shop) -> None:
    templates = [await shop.template(total=5) for _ in range(8)]
    calls = [(shop, template, f"u{n}", "") for n in range(10) for template in templates]
    assert outcomes(await receive_all(calls)) == {"OK": 40, "TOTAL_LIMIT": 40}


async def test_templates_of_few_calls_share_transactions(shop: Shop) -> None:
    days = [1 + n % 3 for n in range(60)]
    templates = [await shop.template(valid_days=each, per_user_limit=1) for each in days]
    calls = [(shop, template, f"u{n % 2}", "") for n, template in enumerate(templates) for _ in range(2)]
    before = await begun(shop)
    answers = await receive_all(calls)
    # One more may take a block of ids.
    assert await begun(shop) - before <= 2
    assert outcomes(answers) == {"OK": 60, "USER_LIMIT": 60}
    given = [each for each in answers if isinstance(each, pb.Coupon)]
    assert [each.template_id for each in given] == [each.template_id for each in templates]
    assert [from_timestamp(each.valid_until) for each in given] == [NOW + each * DAY for each in days]
    rows = await shop.mysql.fetch_all("SELECT id, template_id, user_id FROM user_coupons ORDER BY id")
    assert [(row["id"], row["template_id"], row["user_id"].decode()) for row in rows] == sorted(
        (each.coupon_id, each.template_id, each.user_id) for each in given
    )
    assert {(await shop.counters(template)).issued for template in templates} == {1}


async def test_each_template_of_a_shared_transaction_decides_for_itself(shop: Shop) -> None:
    paused, gone, over, full, fine = [await shop.template(total=1) for _ in range(5)]
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=paused.template_id), "admin")
    await shop.mysql.execute("UPDATE templates SET receive_until = %s WHERE id = %s", (NOW - DAY, over.template_id))
    await shop.receive(full, "other")
    gone.template_id = 999_999
    answers = await receive_all([(shop, each, "u", f"r{n}") for n, each in enumerate([paused, gone, over, full, fine])])
    assert [type(each).__name__ if isinstance(each, NotFound) else outcomes([each]) for each in answers] == [
        {"TEMPLATE_PAUSED": 1},
        "NotFound",
        {"EXPIRED": 1},
        {"TOTAL_LIMIT": 1},
        {"OK": 1},
    ]


async def test_a_template_that_somebody_holds_holds_up_no_other(shop: Shop) -> None:
    held, free = await shop.template(), await shop.template()
    async with shop.mysql.transaction() as tx:
        await lock_counters(tx, held.template_id)
        waiting = asyncio.create_task(shop.receive(held, "u", "r"))
        assert outcomes(await receive_all([(shop, free, "u", "r2")])) == {"OK": 1}
        again = asyncio.create_task(shop.receive(held, "v", "r"))
        assert outcomes(await receive_all([(shop, free, "v", "r2")])) == {"OK": 1}
        assert not waiting.done()
        assert not again.done()
    assert outcomes([await waiting, await again]) == {"OK": 2}


async def test_one_request_id_for_two_templates_at_once_is_one_coupon(shop: Shop) -> None:
    templates = [await shop.template() for _ in range(2)]
    answers = await receive_all([(shop, template, "u", "r") for template in templates])
    assert outcomes(answers) == {"OK": 1, "IDEMPOTENCY_MISMATCH": 1}


async def test_a_request_id_that_was_refused_serves_the_template_that_asks_next(shop: Shop) -> None:
    full, fine = await shop.template(total=1), await shop.template()
    await shop.receive(full, "other")
    answers = await receive_all([(shop, full, "u", "r"), (shop, fine, "u", "r")])
    assert [outcomes([each]) for each in answers] == [{"TOTAL_LIMIT": 1}, {"OK": 1}]


@pytest.mark.parametrize(
    ("changes", "days", "reason"),
    [
        ({"receive_from": to_timestamp(NOW + DAY)}, 0.999, "NOT_STARTED"),
        ({"receive_from": to_timestamp(NOW + DAY)}, 1, "OK"),
        ({"receive_until": to_timestamp(NOW + DAY)}, 0.999, "OK"),
        ({"receive_until": to_timestamp(NOW + DAY)}, 1, "EXPIRED"),
        ({}, 29.999, "OK"),
        ({}, 30, "EXPIRED"),
    ],
)
async def test_the_window_for_receiving_holds_to_the_millisecond(
    shop: Shop, changes: dict[str, Any], days: float, reason: str
) -> None:
    template = await shop.template(**changes)
    shop.clock.now = NOW + days * DAY
    assert outcomes(await receive_all([(shop, template, "u", "")])) == {reason: 1}


async def test_a_paused_template_gives_nothing(shop: Shop) -> None:
    template = await shop.template()
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")
    with pytest.raises(FailedPrecondition) as refused:
        await shop.receive(template)
    assert refused.value.reason == "TEMPLATE_PAUSED"
    await shop.templates.resume(template_pb2.ResumeTemplateRequest(template_id=template.template_id), "admin")
    await shop.receive(template)


async def test_an_absent_template_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.receive(template_pb2.Template(template_id=404))


WRONG = [
    ("user_id", pb.ReceiveCouponRequest(template_id=1)),
    ("user_id", pb.ReceiveCouponRequest(user_id="u" * 65, template_id=1)),
    ("template_id", pb.ReceiveCouponRequest(user_id="u")),
    ("template_id", pb.ReceiveCouponRequest(user_id="u", template_id=2**53)),
    ("request_id", pb.ReceiveCouponRequest(user_id="u", template_id=1, request_id="r" * 65)),
]


async def test_bad_input_names_its_field(shop: Shop) -> None:
    for field, request in WRONG:
        with pytest.raises(InvalidArgument) as refused:
            await shop.receiving.receive(request)
        assert [violation.field for violation in refused.value.violations] == [field]


async def test_a_repeated_request_gets_its_answer_also_after_the_offer_is_over(open_shop: OpenShop) -> None:
    shop, other = await open_shop(), await open_shop()
    template = await shop.template(total=1)
    first = await shop.receive(template, request_id="r" * 64)
    await shop.templates.pause(template_pb2.PauseTemplateRequest(template_id=template.template_id), "admin")
    shop.clock.now = NOW + 31 * DAY
    assert await other.receive(template, request_id="r" * 64) == first


async def test_repeats_at_once_over_instances_are_one_coupon(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(2)]
    template = await shops[0].template()
    answers = await receive_all([(shops[n % 2], template, f"u{n % 4}", "r") for n in range(40)])
    coupons = [each for each in answers if isinstance(each, pb.Coupon)]
    assert len(coupons) == 40
    assert len({coupon.coupon_id for coupon in coupons}) == 4
    assert (await shops[0].counters(template)).issued == 4


async def test_one_request_id_for_two_templates_at_once_gives_one_coupon(open_shop: OpenShop) -> None:
    shops = [await open_shop() for _ in range(2)]
    templates = [await shops[0].template() for _ in range(2)]
    users = [f"u{n}" for n in range(20)]
    answers = await receive_all([(shops[n], templates[n], user, "r") for user in users for n in range(2)])
    assert outcomes(answers) == {"OK": 20, "IDEMPOTENCY_MISMATCH": 20}


async def test_a_refusal_is_not_remembered(shop: Shop) -> None:
    template = await shop.template(total=1)
    await shop.receive(template, "a")
    with pytest.raises(Exhausted):
        await shop.receive(template, "b", "r")
    adjust = template_pb2.AdjustTotalRequest(template_id=template.template_id, total=2)
    await shop.templates.adjust_total(adjust, "admin")
    await shop.receive(template, "b", "r")


async def test_a_caller_that_goes_away_does_not_disturb_the_others(shop: Shop) -> None:
    template = await shop.template(total=50)
    tasks = [asyncio.create_task(shop.receive(template, f"u{n}")) for n in range(60)]
    await asyncio.sleep(0)
    for task in tasks[:20]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    given = [each for each in answers if isinstance(each, pb.Coupon)]
    assert len(given) == 40
    assert (await shop.counters(template)).issued == 40


async def test_calls_that_come_during_a_transaction_go_with_the_next(shop: Shop) -> None:
    template = await shop.template()
    async with shop.mysql.transaction() as tx:
        await tx.fetch_all("SELECT * FROM template_counters FOR UPDATE")
        first = asyncio.create_task(shop.receive(template, "first"))
        await waiting_for_a_lock(shop)
        later = [asyncio.create_task(shop.receive(template, f"u{n}")) for n in range(50)]
        await asyncio.sleep(0)
        before = await begun(shop)
    await asyncio.gather(first, *later)
    assert await begun(shop) - before == 1


async def waiting_for_a_lock(shop: Shop) -> None:
    """Returns once a transaction waits for a row."""
    waits = 0
    while not waits:
        [row] = await shop.mysql.fetch_all("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        waits = int(row["Value"])


async def test_a_failed_batch_fails_alone(shop: Shop) -> None:
    broken, sound = await shop.template(), await shop.template()
    await shop.mysql.execute(
        "CREATE TRIGGER no_coupon BEFORE INSERT ON user_coupons FOR EACH ROW"
        f" IF NEW.template_id = {broken.template_id} THEN SIGNAL SQLSTATE '45000'; END IF"
    )
    answers = await receive_all([(shop, template, f"u{n}", "") for n in range(5) for template in (broken, sound)])
    assert [isinstance(each, pb.Coupon) for each in answers] == [False, True] * 5
    await shop.mysql.execute("DROP TRIGGER no_coupon")
    await shop.receive(broken)
    assert (await shop.counters(broken)).issued == 1


async def test_ids_of_refused_calls_are_used_by_the_next(shop: Shop) -> None:
    template = await shop.template(total=3)
    answers = await receive_all([(shop, template, f"u{n}", "") for n in range(100)])
    given = max(each.coupon_id for each in answers if isinstance(each, pb.Coupon))
    other = await shop.template()
    assert (await shop.receive(other)).coupon_id == given + 1


async def test_the_coupon_is_seen_by_the_process_that_gave_it(shop: Shop) -> None:
    template = await shop.template()
    await shop.calculate()
    coupon = await shop.receive(template)
    got = await shop.user_coupons.page(pb.ListUserCouponsRequest(user_id="u"))
    assert list(got.coupons) == [coupon]
    assert from_timestamp(coupon.received_at) == NOW
