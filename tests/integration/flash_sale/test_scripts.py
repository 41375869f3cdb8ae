"""The scripts of lua/ one by one: what they refuse, and what they leave. Their sums are in test_claim_model.py."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from couponry._core import lua_scripts
from couponry.flash_sale.wire import WON, from_outbox, request_hash
from tests.integration.flash_sale.scripts import EPOCH, PLACE, Scripts


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def redis_url(stack: Any) -> str:
    return str(stack.redis_url)


@pytest.fixture
def scripts(client: Any) -> Scripts:
    opened = Scripts(client, dict(lua_scripts()))
    opened.open(5, 1)
    return opened


A = request_hash("a")


def test_a_redis_that_nobody_opened_does_nothing(client: Any) -> None:
    scripts = Scripts(client, dict(lua_scripts()))
    assert scripts.run("claim", WON, b"ann", A) == [0]
    assert scripts.run("adjust", EPOCH, 1, "", "n", "stock", 1) == [0]
    assert scripts.run("configure", EPOCH, 2, 0, 1, 1, 0, 2, 0) == 0
    assert scripts.run("trim", EPOCH, EPOCH, 5) == 0
    assert scripts.run("outbox", EPOCH, 0, 10) == []
    assert client.exists(*scripts.keys) == 0


def test_another_replication_id_is_not_ready(scripts: Scripts) -> None:
    scripts.client.hset(scripts.keys[0], "replid", "f" * 40)
    before = scripts.m()
    assert scripts.run("claim", WON, b"ann", A) == [0]
    assert scripts.run("adjust", EPOCH, 1, "", "n", "stock", 1) == [0]
    assert scripts.run("look")[0] == 0
    assert scripts.m() == before


def test_an_adjustment_of_another_epoch_changes_nothing(scripts: Scripts) -> None:
    assert scripts.run("adjust", EPOCH - 1, 1, "", "n", "stock", 1) == [0]
    assert scripts.m()["left"] == "5"
    assert scripts.run("look")[0] == 1


@pytest.mark.parametrize(
    ("place", "before", "own"),
    [(2, "other", "n2"), (1, "", "other"), (3, "n2", "n3")],
    ids=["another one came before", "another one has the place", "one is missing"],
)
def test_an_adjustment_that_does_not_follow_closes_the_activity(
    scripts: Scripts, place: int, before: str, own: str
) -> None:
    assert scripts.run("adjust", EPOCH, 1, "", "n1", "stock", 1) == [1, 1, 6, 6]
    assert scripts.run("adjust", EPOCH, place, before, own, "stock", 1) == [0]
    assert scripts.m()["left"] == "6"
    assert scripts.run("claim", WON, b"ann", A) == [0]


def test_a_closed_activity_is_read_and_opened_by_its_pass_alone(scripts: Scripts) -> None:
    scripts.run("claim", WON, b"ann", A)
    replid = scripts.run("fence_close", "one")[0]
    assert scripts.run("claim", WON, b"ann", A) == [0]
    assert scripts.run("fence_read", "one", replid, "outbox", "0-1", 10)[0] == 1
    scripts.run("fence_close", "two")
    assert scripts.run("fence_read", "one", replid, "outbox", "0-1", 10) == [0]
    assert scripts.run("fence_read", "two", "f" * 40, "winners", "0", 10) == [0]
    names = [*scripts.keys, *(f"x:{part}" for part in PLACE.beside("one"))]
    open_it = scripts._run["fence_open"]
    assert open_it(keys=names, args=["one", replid, "adopt", 60, "epoch", EPOCH + 1]) == 0
    assert scripts.m()["epoch"] == str(EPOCH)
    assert open_it(keys=names, args=["two", replid, "adopt", 60, "epoch", EPOCH + 1]) == 1
    assert scripts.run("look")[0] == 1


def test_a_refused_outbox_entry_leaves_nothing_behind(scripts: Scripts) -> None:
    # An id beyond the next one makes Redis refuse the XADD.
    scripts.client.xadd(scripts.keys[2], {"x": "y"}, id=f"{EPOCH}-1000")
    before = scripts.m()
    with pytest.raises(redis.ResponseError):
        scripts.run("claim", WON, b"ann", A)
    assert scripts.m() == before
    assert scripts.wins() == {}


def test_a_batch_of_a_thousand_claims_fits(scripts: Scripts) -> None:
    claims = [(b"u%d" % n, A) for n in range(1000)]
    reply = scripts.run("claim", WON, *(part for pair in claims for part in pair))
    assert reply[4:9] == [101, 102, 103, 104, 105]
    assert set(reply[9:]) == {-3}
    assert len(reply) == 1004


def test_trimming_stops_at_the_mark(scripts: Scripts) -> None:
    for user in (b"a", b"b", b"c"):
        scripts.run("claim", WON, user, A)
    assert scripts.run("trim", EPOCH, EPOCH, 102) == 2
    assert [win[0] for win in scripts.outbox()] == [103]
    assert scripts.run("trim", EPOCH + 1, EPOCH, 103) == 0


def test_the_outbox_is_read_up_to_the_wanted_number_of_wins(scripts: Scripts) -> None:
    scripts.client.hset(scripts.keys[0], "left", 100)
    for n in range(30):
        scripts.run("claim", WON, b"u%d" % n, A)
    epoch, number, entries = scripts.run("outbox", EPOCH, 110, 5)
    assert (int(epoch), int(number)) == (EPOCH, 130)
    assert [win.number for win in from_outbox(entries)] == [111, 112, 113, 114, 115]
    assert len(scripts.run("outbox", EPOCH, 100, 1000)[2]) == 30
    assert scripts.run("outbox", EPOCH - 1, 100, 1000)[2] == []
