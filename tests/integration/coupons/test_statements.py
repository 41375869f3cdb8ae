"""Every SELECT of templates and coupons goes through an index, on tables that are filled."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couponry.config import Settings
from couponry.store import answers, coupons, templates
from couponry.store.mysql import MySQL
from tests.integration.explain import explain, scans

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC).replace(tzinfo=None)
TEMPLATES = 2000
USERS = 500
COUPONS = 8_000
LATEST = 2**53


@pytest.fixture
async def filled(settings: Settings) -> AsyncIterator[MySQL]:
    """Thousands of rows in each table, with statistics."""
    mysql = await MySQL.connect(settings.mysql)
    async with mysql.transaction() as tx:
        spec = ("n", "", "{}", 2, "CNY", "{}", 10, None, None, None, NOW, NOW + timedelta(days=1), None, None, 0, 0)
        await tx.insert_rows(
            "INSERT INTO templates (id, template_key, spec_fingerprint, name, description, metadata, kind, currency,"
            " terms, total, per_user_limit, receive_from, receive_until, valid_from, valid_until, valid_days, budget,"
            " returns_on_full_refund, return_grace_ms, state, version, created_at, updated_at) VALUES",
            f"({', '.join(['%s'] * 23)})",
            [
                (each, b"k%d" % each, bytes(16), *spec[:3], each % 4 + 1, *spec[4:], each % 2 + 1, 1, NOW, NOW)
                for each in range(1, TEMPLATES + 1)
            ],
        )
        await tx.insert_rows(
            "INSERT INTO template_counters (template_id) VALUES", "(%s)", [(n,) for n in range(1, TEMPLATES + 1)]
        )
        await tx.insert_rows(
            "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at,"
            " locked_until, version) VALUES",
            "(%s, %s, %s, %s, %s, %s, %s, %s, %s, 1)",
            [
                (
                    b"u%d" % (each * 7 % USERS),
                    each,
                    each % TEMPLATES + 1,
                    each % 3 + 1,
                    each % 5 + 1,
                    NOW,
                    NOW + timedelta(hours=each),
                    NOW,
                    NOW if each % 5 == 1 else None,
                )
                for each in range(1, COUPONS + 1)
            ],
        )
        await tx.insert_rows(
            "INSERT INTO request_log (method, scope, request_id, fingerprint, answer, created_at) VALUES",
            "('ReceiveCoupon', %s, %s, %s, 'x', %s)",
            [(b"u%d" % (each % USERS), b"r%d" % each, bytes(16), NOW) for each in range(5000)],
        )
    await mysql.fetch_all("ANALYZE TABLE templates, template_counters, user_coupons, request_log")
    yield mysql
    await mysql.close()


IDS = (5, 6, 7)
KEYS = [(b"ReceiveCoupon", b"u%d" % n, b"r%d" % n) for n in range(3)]
BY_NAME: dict[str, tuple[str, Sequence[Any]]] = {
    "templates by id": (templates.SELECT_TEMPLATES, (IDS,)),
    "offers": (templates.SELECT_OFFERS, (IDS,)),
    "a template by key": (templates.SELECT_BY_KEY, (b"k5",)),
    "template ids by key": (templates.SELECT_IDS_BY_KEY, ((b"k5", b"k6"),)),
    "counters": (templates.SELECT_COUNTERS, (IDS,)),
    "counters, locked": (templates.LOCK_COUNTERS, (IDS,)),
    "templates, a page": (templates.LIST_ALL, (1500, 51)),
    "templates of a state, a page": (templates.LIST_BY_STATE, (1, 1500, 51)),
    "templates of a kind, a page": (templates.LIST_BY_KIND, (1, 1500, 51)),
    "templates of a state and kind, a page": (templates.LIST_BY_STATE_AND_KIND, (1, 2, 1500, 51)),
    "coupons by id": (coupons.SELECT_COUPONS, (b"u1", IDS)),
    "coupons by id, locked": (coupons.LOCK_COUPONS, (b"u1", IDS)),
    "live coupons": (coupons.SELECT_LIVE, ((b"u1", b"u2"),)),
}
PAGES: dict[str, tuple[str, Sequence[Any]]] = {
    f"coupons in states {states}, a page": (coupons.list_statement(states), (b"u1", LATEST, 51))
    for states in [(), (1,), (2,), (3,), (4,), (5,), (1, 2, 3, 4, 5)]
}


async def test_no_select_reads_a_whole_table_or_index(filled: MySQL) -> None:
    scanning = {
        name: found for name, (sql, args) in (BY_NAME | PAGES).items() if (found := await scans(filled, sql, args))
    }
    assert scanning == {}


async def test_the_lists_of_a_user_are_read_in_the_order_of_the_primary_key(filled: MySQL) -> None:
    for states in [(), (1,), (4,)]:
        [step] = await explain(filled, coupons.list_statement(states), (b"u1", LATEST, 51))
        assert step.key == "PRIMARY"
        assert "filesort" not in step.extra


async def test_what_a_batch_asks_for_is_looked_up_one_by_one(filled: MySQL) -> None:
    async with filled.transaction() as tx:
        [ids] = tx.tables([(each,) for each in IDS])
        [users] = tx.tables([(5, b"u1"), (6, b"u2")])
        [keys] = tx.tables(KEYS)
    steps = [
        *await explain(filled, (coupons.COUNT_RECEIPTS % users).decode()),
        *await explain(filled, (answers.FIND % keys).decode()),
    ]
    steps += await explain(filled, (templates.TRY_LOCK_COUNTERS % ids).decode())
    looked_up = [(step.table, step.access, step.key) for step in steps if not step.table.startswith(("<", "v"))]
    assert looked_up == [("c", "ref", "by_template_user"), ("r", "eq_ref", "PRIMARY"), ("c", "eq_ref", "PRIMARY")]


async def test_the_check_notices_a_scan(filled: MySQL) -> None:
    [scan] = await scans(filled, "SELECT * FROM user_coupons WHERE source = %s", (1,))
    assert (scan.table, scan.access) == ("user_coupons", "ALL")
