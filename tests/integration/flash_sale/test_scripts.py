"""The scripts against a model written for clarity: the same answers, the same state, whatever comes in which order."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couponry._core import lua_scripts
from couponry.flash_sale.wire import FAILED, WON, Place, fields, from_outbox, from_records, request_hash

PLACE = Place(7)
EPOCH = 1_700_000_000_000
FAR = 10**15
WINDOWS = {"before": (FAR, FAR + 1), "during": (0, FAR), "after": (0, 1)}


class Scripts:
    """One bucket in a real Redis, under a prefix of its own."""

    def __init__(self, client: Any, texts: dict[str, str]) -> None:
        self.client = client
        self._run = {name: client.register_script(text) for name, text in texts.items()}
        self._prefix = secrets.token_hex(8)
        self.keys = [f"{self._prefix}:{name}" for name in PLACE.names()]

    def run(self, name: str, *args: Any) -> Any:
        return self._run[name](keys=self.keys, args=args)

    def open(self, stock: int, limit: int) -> None:
        token = secrets.token_hex(8)
        replid = self.run("fence_close", token)[0]
        m = {
            "epoch": EPOCH, "number": 100, "base": 100, "left": stock, "total": stock, "ended": 0, "token": "",
            "adj_place": 0, "adj_id": "", "adj_result": 1, "adj_delta": 0, "adj_left": 0, "adj_total": 0,
            "version": 1, "start": 0, "end": FAR, "limit": limit, "paused": 0, "template_version": 1,
            "template_paused": 0,
        }  # fmt: skip
        beside = [f"{self._prefix}:{name}" for name in PLACE.beside(token)]
        flat = [part for pair in m.items() for part in pair]
        args = [token, replid, "rebuild", 60, *flat]
        assert self._run["fence_open"](keys=[*self.keys, *beside], args=args) == 1

    def m(self) -> dict[str, str]:
        flat = [part for pair in self.client.hgetall(self.keys[0]).items() for part in pair]
        return fields(flat)

    def wins(self) -> dict[bytes, list[tuple[int, bytes, bytes]]]:
        return {
            user: [(win.number, win.request_hash, win.kind) for win in from_records(user, records)]
            for user, records in self.client.hgetall(self.keys[1]).items()
        }

    def outbox(self) -> list[tuple[int, bytes, bytes, bytes]]:
        entries = [
            (entry_id, [part for pair in entry.items() for part in pair])
            for entry_id, entry in self.client.xrange(self.keys[2])
        ]
        return [(win.number, win.user, win.request_hash, win.kind) for win in from_outbox(entries)]


@dataclass
class Model:
    """What an activity is, in words: no batches, no bytes."""

    left: int
    total: int
    limit: int
    window: str = "during"
    paused: bool = False
    template_paused: bool = False
    ended: bool = False
    number: int = 100
    versions: list[int] = field(default_factory=lambda: [1, 1])
    wins: list[dict[str, Any]] = field(default_factory=list)
    adjustments: list[tuple[str, list[int]]] = field(default_factory=list)

    def claim(self, user: bytes, request: bytes) -> int:
        own = [win for win in self.wins if win["user"] == user]
        for win in own:
            if win["request"] == request:
                return -7 if win["kind"] == FAILED else win["number"]
        if self.ended or self.window == "after":
            return -2
        if self.window == "before":
            return -1
        if self.paused or self.template_paused:
            return -5
        if sum(win["kind"] == WON for win in own) >= self.limit:
            return -4
        if self.left <= 0:
            return -3
        self.left -= 1
        self.number += 1
        self.wins.append({"user": user, "request": request, "number": self.number, "kind": WON})
        return self.number

    def adjust(self, name: str, kind: str, delta: int) -> list[int]:
        if self.adjustments and self.adjustments[-1][0] == name:
            return self.adjustments[-1][1]
        if kind == "end":
            delta, self.ended = -self.left, True
        result = [1, delta] if self.left + delta >= 0 else [2, 0]
        self.left += result[1]
        self.total += result[1]
        self.adjustments.append((name, [*result, self.left, self.total]))
        return self.adjustments[-1][1]


USERS = [b"ann", b"bob", b"\x00\xff", "李".encode()]
claim = st.tuples(st.sampled_from(USERS), st.sampled_from([request_hash(name) for name in "abcd"]))
operation = st.one_of(
    st.tuples(st.just("claim"), st.lists(claim, min_size=1, max_size=12)),
    st.tuples(st.just("claim"), st.lists(claim, min_size=1, max_size=12)),
    st.tuples(st.just("adjust"), st.integers(-4, 4).filter(bool), st.booleans()),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(
        st.just("configure"),
        st.sampled_from(list(WINDOWS)),
        st.integers(1, 3),
        st.booleans(),
        st.integers(-1, 1),
    ),
    st.tuples(st.just("template"), st.booleans(), st.integers(-1, 1)),
    st.tuples(st.just("fail"), st.integers(0, 5)),
)


@pytest.fixture(scope="module")
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture(scope="module")
def redis_url(stack: Any) -> str:
    return str(stack.redis_url)


@given(stock=st.integers(0, 6), limit=st.integers(1, 3), operations=st.lists(operation, min_size=1, max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_scripts_do_what_the_model_does(
    client: Any, stock: int, limit: int, operations: list[tuple[Any, ...]]
) -> None:
    scripts = Scripts(client, dict(lua_scripts()))
    scripts.open(stock, limit)
    model = Model(left=stock, total=stock, limit=limit)
    for each in operations:
        perform(scripts, model, each)
        m = scripts.m()
        assert (int(m["left"]), int(m["total"]), int(m["number"])) == (model.left, model.total, model.number)
    wins: dict[bytes, list[tuple[int, bytes, bytes]]] = {}
    for win in model.wins:
        wins.setdefault(win["user"], []).append((win["number"], win["request"], win["kind"]))
    assert scripts.wins() == wins
    # The outbox tells every win once, in number order, whatever became of it later.
    assert scripts.outbox() == [(win["number"], win["user"], win["request"], WON) for win in model.wins]
    counts = scripts.run("audit", EPOCH, 100)
    live = sum(win["kind"] == WON for win in model.wins)
    assert counts[:2] == [live, len(model.wins) - live]
    assert counts[5] == len(model.wins)
    client.delete(*scripts.keys)


def perform(scripts: Scripts, model: Model, operation: tuple[Any, ...]) -> None:
    match operation:
        case ("claim", claims):
            reply = scripts.run("claim", WON, *(part for pair in claims for part in pair))
            assert reply[4:] == [model.claim(user, request) for user, request in claims]
            assert reply[:2] == [1, model.left]
        case ("adjust", delta, repeat):
            adjust(scripts, model, "stock", delta, repeat=repeat)
        case ("end", repeat):
            adjust(scripts, model, "end", 0, repeat=repeat)
        case ("configure", window, limit, paused, newer):
            version = model.versions[0] + newer
            args = [EPOCH, version, *WINDOWS[window], limit, int(paused), 0, 0]
            assert scripts.run("configure", *args) == 1
            if newer > 0:
                model.versions[0] = version
                model.window, model.limit, model.paused = window, limit, paused
        case ("template", paused, newer):
            version = model.versions[1] + newer
            assert scripts.run("configure", EPOCH, 0, 0, 0, 0, 0, version, int(paused)) == 1
            if newer > 0:
                model.versions[1], model.template_paused = version, paused
        case ("fail", index) if index < len(model.wins):
            win = model.wins[index]
            assert scripts.run("fail", EPOCH, win["user"], win["request"], win["number"]) == 1
            win["kind"] = FAILED


def adjust(scripts: Scripts, model: Model, kind: str, delta: int, *, repeat: bool) -> None:
    done = len(model.adjustments)
    place = done if repeat and done else done + 1
    before = f"n{place - 1}" if place > 1 else ""
    reply = scripts.run("adjust", EPOCH, place, before, f"n{place}", kind, delta)
    assert reply == model.adjust(f"n{place}", kind, delta)


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
