"""The audit: each equation is broken on purpose, and each is then named. The command says the same."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from couponry.config import Settings
from couponry.errors import NotFound
from couponry.flash_sale.audit import Equation
from couponry.flash_sale.sale import Sale
from couponry.flash_sale.wire import TRIED, Place, request_hash
from tests.integration.flash_sale.conftest import Instance


def wrong(equations: list[Equation]) -> list[str]:
    return [each.name for each in equations if not each.holds]


async def sold(shop: Instance, *, wins: int = 4, **changes: Any) -> int:
    """An activity with wins of u0, u1, ... that are rows."""
    activity_id = (await shop.create(**changes)).activity_id
    for n in range(wins):
        await shop.win(activity_id, f"u{n}", "r")
    await shop.persist()
    await shop.assert_sound(activity_id)
    return activity_id


ROWS = "sold = rows in MySQL"


@pytest.mark.parametrize(
    ("damage", "equations"),
    [
        ("UPDATE activity_progress SET sold = sold - 1", {ROWS, "wins that live = persisted + waiting"}),
        ("DELETE FROM user_coupons ORDER BY number LIMIT 1", {ROWS}),
        (
            "UPDATE user_coupons SET number = number + 5 ORDER BY number DESC LIMIT 1",
            {"numbers missing within an epoch = 0"},
        ),
        ("UPDATE user_coupons SET user_id = 'u0'", {"wins of one user <= limit"}),
        (
            "UPDATE activity_progress SET total = total + 1",
            {"total in Redis = total in MySQL", "total = stock + adjustments - returned"},
        ),
        ("UPDATE activity_progress SET total = 3", {"sold <= total", "total = stock + adjustments - returned"}),
        (
            "UPDATE template_counters SET reserved = reserved + 1",
            {"reserved of the template = unsold of its activities"},
        ),
        ("UPDATE activity_progress SET failed = 1", {"failed = FAILED records"}),
        (
            (
                "INSERT INTO flash_sale_records SELECT activity_id, bucket, epoch, number, 'x', id, request_hash, 4,"
                " received_at FROM user_coupons LIMIT 1"
            ),
            {"numbers that two wins have = 0"},
        ),
        (
            (
                "INSERT INTO adjustments (activity_id, bucket, place, nonce, kind, delta, state, applied, created_at)"
                " SELECT activity_id, bucket, 1, '0123456789abcdef', 1, 2, 2, 2, NOW() FROM activity_progress"
            ),
            {"total = stock + adjustments - returned"},
        ),
    ],
)
async def test_what_is_wrong_in_mysql_is_named(shop: Instance, damage: str, equations: set[str]) -> None:
    activity_id = await sold(shop)
    await shop.mysql.execute(damage)
    assert equations <= set(wrong(await shop.parts.audit.audit(activity_id)))


async def test_what_is_wrong_in_redis_is_named(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    for n in range(4):
        await shop.win(activity_id, f"u{n}", "r")
    m, u, o = (shop.redis.key(name) for name in Place(activity_id).names())
    client = shop.redis.client
    await client.hincrby(m, "left", 1)
    assert wrong(await shop.parts.audit.audit(activity_id)) == ["total in Redis = left + wins - cancelled"]
    await client.hincrby(m, "left", -1)
    await client.hincrby(m, "number", 1)
    assert wrong(await shop.parts.audit.audit(activity_id)) == [
        "wins that live = persisted + waiting",
        "waiting = wins in the outbox",
    ]
    await client.hincrby(m, "number", -1)
    await client.xtrim(o, maxlen=3, approximate=False)
    assert wrong(await shop.parts.audit.audit(activity_id)) == ["waiting = wins in the outbox"]
    records: Any = await client.hget(u, "u0")
    await client.hset(u, "u9", records)
    assert "numbers that occur twice in Redis = 0" in wrong(await shop.parts.audit.audit(activity_id))
    other: Any = await client.hget(u, "u1")
    await client.hset(u, "u0", records + other)
    assert "wins of one user in Redis <= limit" in wrong(await shop.parts.audit.audit(activity_id))


async def test_a_restock_that_waits_is_applied_before_the_sums_are_compared(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = await sold(shop)

    async def later(_place: Place) -> int:
        return 0

    with monkeypatch.context() as patch:
        patch.setattr(shop.parts.adjustments, "apply", later)
        with pytest.raises(Exception, match="not applied yet"):
            await shop.adjust(activity_id, 3, "x")
    await shop.assert_sound(activity_id)
    assert await shop.left(activity_id) == 9


async def test_wins_that_failed_and_wins_of_transactions_are_counted(shop: Instance) -> None:
    activity_id = await sold(shop)
    await shop.parts.sale.claim(Place(activity_id), TRIED, [(b"t", request_hash("t"))])
    await shop.persist()
    await shop.assert_sound(activity_id)
    await shop.win(activity_id, "late", "r")
    await shop.mysql.execute("UPDATE activity_progress SET total = 5")
    await shop.persist()
    await shop.mysql.execute("UPDATE activity_progress SET total = 10")
    await shop.assert_sound(activity_id)
    assert (await shop.progress(activity_id))["failed"] == 1


async def test_a_settled_activity_is_judged_by_mysql(shop: Instance) -> None:
    activity_id = await sold(shop)
    await shop.end(activity_id)
    await shop.assert_sound(activity_id)
    await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))
    await shop.mysql.execute("UPDATE activity_progress SET returned = 5")
    assert wrong(await shop.parts.audit.audit(activity_id)) == ["total = stock + adjustments - returned"]


async def test_the_audit_opens_what_nobody_opened(shop: Instance) -> None:
    activity_id = (await shop.create()).activity_id
    await shop.redis.client.delete(*(shop.redis.key(name) for name in Place(activity_id).names()))
    await shop.assert_sound(activity_id)
    for absent in (99, 0, 2**40):
        with pytest.raises(NotFound):
            await shop.parts.audit.audit(absent)


async def test_the_equations_hold_while_claims_and_the_persister_go_on(
    shop: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    activity_id = (await shop.create(stock=50)).activity_id
    real = Sale.audit
    between: list[int] = []

    async def audit(sale: Sale, *args: Any, **kwargs: Any) -> Any:
        # After the rows are held: these wins are in Redis and not in MySQL.
        between.extend([await shop.win(activity_id, f"b{n}", "r") for n in range(3)])
        return await real(sale, *args, **kwargs)

    monkeypatch.setattr(Sale, "audit", audit)
    await shop.assert_sound(activity_id)
    assert len(between) == 3


async def test_ledgers_of_orders_are_compared_with_what_the_orders_say(shop: Instance) -> None:
    activity_id = await sold(shop)
    await shop.mysql.execute("UPDATE user_coupons SET order_id = 'o', attempt = 0 WHERE user_id = 'u0'")
    await shop.mysql.execute(
        "INSERT INTO order_attempts (order_id, attempt, state, minimum_payable, discount, discount_returned,"
        " created_at, updated_at) VALUES ('o', 0, 5, 0, 1000, 300, NOW(), NOW()), ('p', 0, 1, 0, 500, 0, NOW(), NOW())"
    )
    await shop.mysql.execute(
        "INSERT INTO order_ledger (order_id, attempt, kind, line_kind, line_id, unit_from, unit_count, coupon_id,"
        " amount_each, return_id, at) VALUES ('o', 0, 1, 0, '', 0, 0, 1, 0, '', NOW()),"
        " ('o', 0, 2, 1, 'l', 0, 10, 1, 100, '', NOW()), ('o', 0, 4, 1, 'l', 0, 3, 1, -100, 'r', NOW())"
    )
    await shop.assert_sound(activity_id)
    assert wrong(await shop.parts.audit.ledgers()) == []
    await shop.mysql.execute("UPDATE order_ledger SET amount_each = 99 WHERE kind = 2")
    both = ["ledgers of orders = their discount - returned", "orders whose ledger differs = 0"]
    assert wrong(await shop.parts.audit.audit(activity_id)) == both
    assert wrong(await shop.parts.audit.ledgers()) == both
    # Two wrongs that add up to nothing are still two.
    await shop.mysql.execute(
        "INSERT INTO order_ledger (order_id, attempt, kind, line_kind, line_id, unit_from, unit_count, coupon_id,"
        " amount_each, return_id, at) VALUES ('p', 0, 2, 1, 'l', 0, 1, 1, 10, '', NOW())"
    )
    assert wrong(await shop.parts.audit.ledgers()) == both[1:]


def run_audit(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COUPONRY_")},
        "COUPONRY_MYSQL__DSN": settings.mysql.dsn.get_secret_value(),
        "COUPONRY_REDIS__CACHE": settings.redis.cache.get_secret_value(),
        "COUPONRY_REDIS__SALE": settings.redis.sale.get_secret_value(),
        "COUPONRY_REDIS__KEY_PREFIX": settings.redis.key_prefix,
        "COLUMNS": "160",
    }
    command = [sys.executable, "-m", "couponry", "audit", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def test_the_command_prints_every_equation_and_exits_1_where_one_fails(
    shop: Instance, settings: Settings
) -> None:
    first, second = await sold(shop), await sold(shop, wins=2)
    await shop.end(second)
    whole = run_audit(settings)
    assert whole.returncode == 0
    assert f"activity {first}" in whole.stdout
    assert f"activity {second}" not in whole.stdout
    assert "equations hold" in whole.stdout
    everything = json.loads(run_audit(settings, "--all", "--json").stdout)
    assert everything["holds"] is True
    assert [each["activity_id"] for each in everything["activities"]] == [first, second]
    assert {each["name"] for each in everything["ledgers"]} >= {"orders whose ledger differs = 0"}
    await shop.mysql.execute("UPDATE activity_progress SET failed = 7 WHERE activity_id = %s", (second,))
    assert run_audit(settings).returncode == 0
    failed = run_audit(settings, str(second), "--json")
    assert failed.returncode == 1
    found = json.loads(failed.stdout)
    [broken] = [each for each in found["activities"][0]["equations"] if not each["holds"]]
    assert broken == {"name": "failed = FAILED records", "left": 7, "right": 0, "holds": False}
    shown = run_audit(settings, str(second))
    assert shown.returncode == 1
    assert "DOES NOT HOLD" in shown.stdout
    unknown = run_audit(settings, "77")
    assert (unknown.returncode, unknown.stderr.strip()) == (2, "there is no activity 77")
