"""Stock and records: what is shown is at most a tenth of a second old, and a winner is always found."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from couponry._core import L1
from couponry.clock import to_ms
from couponry.config import Settings
from couponry.errors import InvalidArgument, NotFound, Unavailable
from couponry.flash_sale.stock import STOCK_KIND, Stock
from couponry.flash_sale.wire import Place
from couponry.store import activities as activities_store
from couponry.store import flash_sale as store
from couponry.store.mysql import MySQL
from couponry.v1 import flash_sale_pb2 as pb
from tests.integration.explain import explain, scans
from tests.integration.flash_sale.conftest import Instance, OpenInstance

WON, PENDING = pb.RECORD_STATE_WON, pb.RECORD_STATE_PENDING


async def test_the_stock_is_read_again_when_it_is_a_tenth_of_a_second_old(shop: Instance) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    now = [datetime(2026, 6, 15, tzinfo=UTC)]
    stock = Stock(
        mysql=shop.mysql,
        sale=shop.parts.sale,
        fence=shop.parts.fence,
        clock=lambda: now[0],
        l1=L1({STOCK_KIND: 1 << 20}, untold=[STOCK_KIND], wall_ms=lambda: to_ms(now[0])),
        age_ms=100,
    )
    request = pb.GetStockRequest(activity_id=activity_id)
    first = await stock.get(request)
    assert (first.left, first.total, first.sold) == (5, 5, 0)
    await shop.win(activity_id, "ann", "r")
    now[0] += timedelta(milliseconds=99)
    assert await stock.get(request) == first
    now[0] += timedelta(milliseconds=1)
    second = await stock.get(request)
    assert (second.left, second.total, second.sold) == (4, 5, 1)
    assert second.as_of.ToNanoseconds() >= first.as_of.ToNanoseconds()


async def test_a_thousand_callers_share_one_look(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await shop.redis.client.config_resetstat()
    request = pb.GetStockRequest(activity_id=activity_id)
    await asyncio.gather(*(shop.parts.stock.get(request) for _ in range(1000)))
    assert (await shop.redis.client.info("commandstats"))["cmdstat_evalsha"]["calls"] <= 2


async def test_the_stock_of_an_activity_that_nobody_opened_opens_it(shop: Instance) -> None:
    activity_id = (await shop.create(stock=5)).activity_id
    await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))
    assert (await shop.parts.stock.get(pb.GetStockRequest(activity_id=activity_id))).left == 5
    for absent in (77, 2**30):
        with pytest.raises(NotFound):
            await shop.parts.stock.get(pb.GetStockRequest(activity_id=absent))


async def test_a_winner_is_always_in_one_of_the_two(shop: Instance) -> None:
    activity_id = (await shop.create(per_user_limit=5)).activity_id
    first = await shop.win(activity_id, "ann", "r1")
    await shop.persist()
    second = await shop.win(activity_id, "ann", "r2")
    records = (await shop.records("ann", activity_id)).records
    assert [(each.coupon_id, each.state) for each in records] == [(second, PENDING), (first, WON)]
    assert all(shop.codes.decode(each.code) == each.coupon_id for each in records)
    claimed = records[0].claimed_at
    # Over all activities: only what is in the database.
    assert [each.coupon_id for each in (await shop.records("ann", 0)).records] == [first]
    await shop.persist()
    records = (await shop.records("ann", activity_id)).records
    assert [(each.coupon_id, each.state) for each in records] == [(second, WON), (first, WON)]
    assert records[0].claimed_at == claimed
    assert not (await shop.records("bob", activity_id)).records


async def test_records_are_paged_over_both(shop: Instance) -> None:
    activity_id = (await shop.create(stock=9, per_user_limit=9)).activity_id
    other = (await shop.create(per_user_limit=9)).activity_id
    told = [await shop.win(activity_id, "ann", f"r{n}") for n in range(5)]
    await shop.persist()
    told += [await shop.win(activity_id, "ann", f"s{n}") for n in range(3)]
    await shop.win(other, "ann", "r")
    seen: list[int] = []
    token = ""
    while True:
        page = await shop.records("ann", activity_id, page_size=3, page_token=token)
        seen += [each.coupon_id for each in page.records]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(told, reverse=True)
    with pytest.raises(InvalidArgument):
        await shop.records("bob", activity_id, page_token=(await shop.records("ann", 0, page_size=1)).next_page_token)
    with pytest.raises(NotFound):
        await shop.records("ann", 99)


async def test_without_redis_nobody_says_that_a_winner_is_none(open_instance: OpenInstance) -> None:
    shop = await open_instance()
    activity_id = (await shop.create()).activity_id
    coupon_id = await shop.win(activity_id, "ann", "r")
    cut_off = await open_instance("unix:///nowhere/redis.sock")
    with pytest.raises(Unavailable):
        await cut_off.records("ann", activity_id)
    with pytest.raises(Unavailable):
        await cut_off.parts.pending.find("ann", [coupon_id])


ACTIVITIES = 2000
WINS = 6000


@pytest.fixture
async def filled(settings: Settings, template: int) -> "MySQL":
    """Thousands of rows in each table, with statistics."""
    mysql = await MySQL.connect(settings.mysql)
    async with mysql.transaction() as tx:
        await tx.insert_rows(
            "INSERT INTO activities VALUES",
            "(%s, %s, '0123456789abcdef', %s, 'n', '{}', 10, 1, '2026-01-01',"
            " TIMESTAMPADD(HOUR, %s, '2026-06-01'), 1, 1, %s, 0, 1, '2026-01-01', '2026-01-01')",
            [(n, b"k%d" % n, n % 50, n, 1 if n % 20 == 0 else 5) for n in range(1, ACTIVITIES)],
        )
        await tx.insert_rows(
            "INSERT INTO activity_progress (activity_id, bucket, total, highest_limit, marked_at) VALUES",
            "(%s, 0, 10, 1, '2026-01-01')",
            [(n,) for n in range(1, ACTIVITIES)],
        )
        await tx.insert_rows(
            "INSERT INTO adjustments (activity_id, bucket, place, nonce, adjustment_id, kind, delta, state, created_at)"
            " VALUES",
            "(%s, 0, %s, '0123456789abcdef', %s, 1, 1, %s, '2026-01-01')",
            [(n % 900, n // 900 + 1, b"a%d" % n, 1 if n > 5000 else 2) for n in range(5100)],
        )
        await tx.insert_rows(
            "INSERT INTO stock_changes (activity_id, adjustment_id, delta, state, created_at) VALUES",
            "(%s, %s, 1, %s, '2026-01-01')",
            [(n % 900, b"c%d" % n, 1 if n > 5000 else 2) for n in range(5100)],
        )
        rows = [(b"u%d" % (n % 700), 2**52 + n, n % 90, n, b"%016d" % n) for n in range(WINS)]
        await tx.insert_rows(
            "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at,"
            " activity_id, bucket, epoch, number, request_hash, version) VALUES",
            "(%s, %s, 1, 3, 1, '2026-01-01', '2027-01-01', '2026-01-01', %s, 0, 1, %s, %s, 1)",
            rows,
        )
        await tx.insert_rows(
            "INSERT INTO flash_sale_records (user_id, coupon_id, activity_id, number, request_hash, bucket, epoch,"
            " state, claimed_at) VALUES",
            "(%s, %s, %s, %s, %s, 0, 1, 5, '2026-01-01')",
            rows,
        )
    tables = "templates, template_counters, activities, activity_progress, adjustments, stock_changes, user_coupons"
    await mysql.fetch_all(f"ANALYZE TABLE {tables}, flash_sale_records")
    return mysql


async def test_every_select_uses_an_index(filled: MySQL) -> None:
    users, ids, hash_of = (b"u5", b"u6"), (2**52 + 5, 2**52 + 6), b"%016d" % 5
    at = "2026-06-05"
    statements: dict[str, tuple[object, ...]] = {
        activities_store.SELECT_ACTIVITIES: ((5, 6),),
        activities_store.LOCK_ACTIVITY: (5,),
        activities_store.SELECT_BY_KEY: (b"k5",),
        activities_store.SELECT_IDS_BY_KEY: ((b"k5", b"k6"),),
        activities_store.LIST_ALL: (1500, 51),
        activities_store.LIST_BY_TEMPLATE: (5, 1500, 51),
        activities_store.LIST_ACTIVE: (at, at, at, 0, at, 51),
        activities_store.SELECT_UNSETTLED: (),
        activities_store.SELECT_CONFIGURATION: (51,),
        activities_store.SELECT_IDS: (),
        activities_store.SELECT_UNSETTLED_OF_TEMPLATE: (5,),
        activities_store.LOCK_TEMPLATE_COUNTERS: (1,),
        activities_store.SELECT_TEMPLATE: (1,),
        store.SELECT_PROGRESS: (5, 0),
        store.LOCK_PROGRESS: (5, 0),
        store.SELECT_ALL_PROGRESS: (5,),
        store.LOCK_ALL_PROGRESS: (5,),
        store.LOCK_WIN: (5, b"u5", hash_of, 0),
        store.ANY_PENDING: (5,),
        store.SELECT_PARTS: (5, b"p5"),
        store.SELECT_CHANGE: (5, b"c5"),
        store.SELECT_PENDING_CHANGES: (),
        store.SELECT_PENDING_CHANGES_OF: (5,),
        store.TRY_LOCK_PROGRESS: (5, 0),
        store.SELECT_ANY_RECORD: (5,),
        store.SELECT_KNOWN: (ids, ids),
        store.SELECT_PERSISTED: (ids, ids),
        store.SELECT_WINNERS: (5, 0, b"u3", 100),
        store.SELECT_KEPT: (5, 0),
        store.SELECT_WIN: (5, b"u5", hash_of, 5, b"u5", hash_of),
        store.LIST_RECORDS: (b"u5", 2**52, 2**53, 51, b"u5", 2**52, 2**53, 51, 51),
        store.SELECT_ANY_TRIED: (5, 0),
        store.COUNT_RECORDS: (5, 0),
        store.SELECT_ADJUSTMENT: (5, 0, 1),
        store.FIND_ADJUSTMENT: (5, b"a5"),
        store.FIRST_PENDING: (5, 0),
        store.LAST_FINISHED: (5, 0),
        store.LAST_PLACE: (5, 0),
        store.PENDING_INCREASES: (5, 0),
        store.FIND_END: (5, 0),
        store.ALL_PENDING: (),
    }
    try:
        # Steps over what a UNION or a subquery found are not of a table.
        slow = {
            sql: found
            for sql, args in statements.items()
            if (found := [step for step in await scans(filled, sql, args) if not step.table.startswith("<")])
        }
        assert slow == {}
        rows = b",".join(b"(_binary'%b')" % user for user in users)
        for held in (store.SELECT_HELD, store.SELECT_HELD_RECORDS):
            steps = await explain(filled, (held % (rows, 5)).decode())
            assert {(step.key, step.access) for step in steps if step.table == "h"} == {("by_claim", "ref")}
        named = {
            value
            for module in (activities_store, store)
            for name, value in vars(module).items()
            if isinstance(value, str) and not name.startswith("_") and value.lstrip("(").startswith("SELECT")
        }
        # The audit's sums read all rows of one activity, by its index.
        sums: dict[str, tuple[object, ...]] = {
            store.COUNT_COUPONS: (5, 0),
            store.MOST_WINS: (5, 0, 5, 0),
            store.COUNT_TWICE: (5, 0, 5, 0),
            store.SUM_ADJUSTED: (5, 0),
            activities_store.SELECT_ALL_IDS: (),
            store.COUNT_GAPS: (5, 0, 5, 0),
            store.SUM_RESERVED: (5, 5),
        }
        for sql, args in sums.items():
            assert not [step for step in await scans(filled, sql, args) if not step.table.startswith("<")]
        assert named == set(statements) | set(sums)
    finally:
        await filled.close()
