"""Every SELECT of orders goes through an index, on tables that are filled."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from couponry.config import Settings
from couponry.store import holds, ledger, orders
from couponry.store.mysql import MySQL
from tests.integration.explain import scans

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC).replace(tzinfo=None)
ORDERS = 4000


@pytest.fixture
async def filled(settings: Settings) -> AsyncIterator[MySQL]:
    """Thousands of rows in each table, with statistics; few orders have lapsed, few coupons have ended."""
    mysql = await MySQL.connect(settings.mysql)
    far = NOW + timedelta(days=36_500)
    names = [f"order-{number}".encode() for number in range(ORDERS)]
    async with mysql.transaction() as tx:
        await tx.insert_rows(
            "INSERT INTO orders (order_id, user_id, latest_attempt, holder, lapses_at, created_at) VALUES",
            "(%s, %s, 0, 0, %s, %s)",
            [(name, b"u", NOW if number < 10 else far, NOW) for number, name in enumerate(names)],
        )
        await tx.insert_rows(
            "INSERT INTO order_attempts (order_id, attempt, state, content, cart, minimum_payable, decision,"
            " locked_until, discount, discount_returned, created_at, updated_at) VALUES",
            "(%s, 0, 1, NULL, NULL, 0, NULL, %s, 100, 0, %s, %s)",
            [(name, far, NOW, NOW) for name in names],
        )
        await tx.insert_rows(
            holds._INSERT_HOLDS,
            "(%s, 0, %s, 1, 100, 0, 0, %s, 0, 0)",
            [(name, number + 1, far) for number, name in enumerate(names)],
        )
        await tx.insert_rows(
            ledger._INSERT_LEDGER,
            "(%s, 0, %s, 1, 'A', 0, 1, %s, 100, '', %s)",
            [(name, kind, number + 1, NOW) for number, name in enumerate(names) for kind in (1, 2, 4)],
        )
        await tx.insert_rows(
            "INSERT INTO order_returns (order_id, attempt, return_id, fingerprint, answer, at) VALUES",
            "(%s, 0, 'R', %s, '', %s)",
            [(name, b"0" * 16, NOW) for name in names],
        )
        await tx.insert_rows(ledger._ADD_RETURNED_UNITS, "(%s, 0, 1, 'A', 1)", [(name,) for name in names])
        await tx.insert_rows(
            "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at,"
            " version) VALUES",
            "(%s, %s, 1, 1, %s, %s, %s, %s, 1)",
            [
                (f"u{number % 100}".encode(), number + 1, 1 + number % 2, NOW, NOW if number < 10 else far, NOW)
                for number in range(ORDERS)
            ],
        )
        await tx.insert_rows(
            "INSERT INTO template_counters (template_id) VALUES", "(%s)", [(number + 1,) for number in range(ORDERS)]
        )
    for table in (
        "template_counters",
        "orders",
        "order_attempts",
        "order_coupons",
        "order_ledger",
        "order_returns",
        "user_coupons",
    ):
        await mysql.fetch_all(f"ANALYZE TABLE {table}")
    yield mysql
    await mysql.close()


STATEMENTS: list[tuple[str, Sequence[Any]]] = [
    (orders.READ_ORDER, (b"order-7",)),
    (orders.LOCK_ORDER, (b"order-7",)),
    (orders.LOCK_LAPSED_ORDERS, (100,)),
    (orders.SELECT_ATTEMPT, (0, b"order-7")),
    (holds.SELECT_HOLDS, (b"order-7", 0)),
    (holds.SELECT_HOLD, (b"order-7", 0, 8)),
    (holds.SELECT_HOLDS_OF_ORDERS, ((b"order-7", b"order-8"),)),
    (holds.SELECT_LOCKED_COUPONS, ((7, 8, 9),)),
    (holds.SELECT_ENDED_COUPONS, (100,)),
    (ledger.SELECT_LEDGER, (b"order-7", 0)),
    (ledger.SELECT_USED_RUNS, (b"order-7", 0)),
    (ledger.SELECT_COUPON_BALANCES, (b"order-7", 0)),
    (ledger.SELECT_RETURN, (b"order-7", 0, b"R")),
    (ledger.SELECT_RETURNED_UNITS, (b"order-7", 0)),
]

UPDATES: list[tuple[str, Sequence[Any]]] = [
    (orders.SET_HOLDER, (0, 0, NOW, b"order-7")),
    (orders.RAISE_LATEST, (0, b"order-7")),
    (orders.DROP_HOLDERS, ((b"order-7", b"order-8"),)),
    (orders.UPDATE_ATTEMPT, (3, None, 0, NOW, b"order-7", 0, 1)),
    (holds.CLEAR_RESERVED, (b"order-7", 0)),
    (holds.CLEAR_RESERVED_OF_COUPON, (b"order-7", 0, 8)),
    (holds.LOCK_COUPON, (b"order-7", 0, NOW, NOW, b"u7", 8)),
    (holds.EXTEND_COUPON, (NOW, NOW, b"u7", 8, b"order-7", 0)),
    (holds.USE_COUPON, (NOW, NOW, b"u7", 8, b"order-7", 0)),
    (holds.GIVE_BACK_COUPON, (1, NOW, b"u7", 8, b"order-7", 0)),
    (holds.BRING_BACK_COUPON, (1, NOW, b"u7", 8, b"order-7", 0)),
    (holds.TIDY_COUPONS, (NOW, (7, 8, 9), NOW)),
    (holds.EXPIRE_COUPONS, ((7, 8, 9),)),
    (holds.MOVE_BUDGET, (1, 0, 7, 1, 0)),
    (holds.DELETE_HOLDS, (b"order-7", 0)),
]


# No table, or by purpose all of one: the audit's sums.
NOT_BY_INDEX = ("SELECT_NOW", "_SUM_LEDGERS", "SUM_LEDGERS", "SUM_LEDGERS_OF_ACTIVITY")


async def test_every_statement_goes_through_an_index(filled: MySQL) -> None:
    for sql, args in [*STATEMENTS, *UPDATES]:
        assert await scans(filled, sql, args) == [], sql


def test_every_statement_is_looked_at() -> None:
    looked_at = {sql for sql, _ in [*STATEMENTS, *UPDATES]}
    for module in (orders, holds, ledger):
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and value.startswith(("SELECT", "UPDATE", "DELETE")):
                assert value in looked_at or name in NOT_BY_INDEX, name
