"""L2's scripts on a real Redis against a model, under an adversarial scheduler.

Two workers and two tellers take their steps in any order: commits are in the log before they are visible, readers lag,
lose their place and start again, messages are sent late, Redis is emptied or put back to a snapshot. In any order: no
answer of L1 or L2 lacks a commit that was visible for longer than max_staleness, one that the worker's reader has
passed, or the worker's own.

Time is the machine's: `told` is made older by hand when it passes.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from couponry._core import L1, Fill
from couponry.config import RedisSettings
from couponry.store.layers import L2, Change, Coordinate, Entry, Told
from couponry.store.redis import Redis

STALENESS_MS = 2000
FLOOR_MS = 30_000
# A floor's life less the longest fill.
LAG_MS = 25_000
KIND, KEY = "list", "k"
BUCKET = L2.bucket((KIND, KEY))
LONG_MS = 600_000


@dataclass
class Commit:
    """A change of one row of the list. `by`: the worker that made it, None: somebody else."""

    row: int
    version: int
    here: bool
    by: int | None
    logged_ms: int
    visible_ms: int | None = None


@dataclass
class Load:
    """Where a load is: begun, past L2, or with what it read (so many commits) at a time."""

    fill: Fill
    epoch: bytes = b""
    missed: bool = False
    saw: int | None = None
    sent_ms: int = 0
    stored: bool = False
    # A fill that was checked, with the coordinate passed before, and is on its way.
    passed: Coordinate | None = None


@dataclass
class Worker:
    """L1, and how many commits its reader has passed; None: it has no place."""

    l1: L1
    passed: int | None = None
    first: int = 0
    loads: list[Load] = field(default_factory=list)


@dataclass
class Teller:
    """What it holds of the bucket since when, and what it is about to send."""

    held: Told | None = None
    looked_ms: int = 0
    to: int | None = None
    whole: bool = False
    anew: bool = False


class Machine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = Redis(url, RedisSettings(key_prefix=f"t{uuid4().hex}:"))
        self.l2 = L2(self.redis, timeout_s=30)
        self.now_ms = 1_000_000
        self.log: list[Commit] = []
        self.visible = 0
        self.workers = [self._started(), self._started()]
        self.tellers = [Teller(), Teller()]
        self.snapshot: dict[bytes, bytes] | None = None
        self._tell(self.tellers[0])

    def teardown(self) -> None:
        async def end() -> None:
            for key in await self.redis.client.keys(self.redis.key("*")):
                await self.redis.client.delete(key)
            await self.redis.close()

        self.runner.run(end())
        self.runner.close()

    def run(self, work: Any) -> Any:
        """What a coroutine gives."""
        return self.runner.run(work)

    def at(self, count: int) -> Coordinate:
        """The coordinate before which so many commits lie."""
        return Coordinate(b"server", f"{count:022}".encode())

    def row_at(self, row: int, saw: int) -> tuple[int, bool]:
        """A row's version after so many commits, and whether it is in the list."""
        found = [commit for commit in self.log[:saw] if commit.row == row]
        return (found[-1].version, found[-1].here) if found else (1, True)

    def rows(self, saw: int) -> list[tuple[int, int]]:
        """(row, version) of the list after so many commits."""
        return [(row, version) for row in (0, 1) for version, here in [self.row_at(row, saw)] if here]

    def change(self, commit: Commit) -> Change:
        return Change(KIND, KEY, "present" if commit.here else "left", commit.row, commit.version)

    # Commits and time

    @rule(ms=st.sampled_from([1, 300, 1500, 2500, 6000, 20_000]))
    def wait(self, ms: int) -> None:
        end = self.now_ms + ms
        while self.visible < len(self.log) and self.log[self.visible].logged_ms + LAG_MS <= end:
            self._pass(max(self.log[self.visible].logged_ms + LAG_MS - self.now_ms, 0))
            self.show()
        self._pass(end - self.now_ms)

    def _pass(self, ms: int) -> None:
        self.now_ms += ms

        async def age() -> None:
            if await self.redis.client.hexists(self.l2.told_key(BUCKET), "time"):
                await self.redis.client.hincrby(self.l2.told_key(BUCKET), "time", -ms)

        if ms:
            self.run(age())

    @precondition(lambda self: len(self.log) < 12)
    @rule(row=st.integers(0, 1), leaves=st.booleans(), by=st.sampled_from([None, None, 0, 1]))
    def commit(self, row: int, leaves: bool, by: int | None) -> None:
        if any(commit.row == row for commit in self.log[self.visible :]):
            return  # locked
        version, here = self.row_at(row, len(self.log))
        self.log.append(Commit(row, version + 1, not (here and leaves), by, self.now_ms))

    @rule()
    def show(self) -> None:
        """The oldest commit that is not visible becomes so, and its own worker is told."""
        if self.visible < len(self.log):
            commit = self.log[self.visible]
            commit.visible_ms = self.now_ms
            self.visible += 1
            if commit.by is not None:
                self._hear(self.workers[commit.by], commit)

    # Readers

    def _hear(self, worker: Worker, commit: Commit) -> None:
        change = self.change(commit)
        worker.l1.changed(change.kind, change.key, change.row, change.fate, change.version)

    def _started(self) -> Worker:
        def clock() -> int:
            return self.now_ms

        l1 = L1({KIND: 1 << 20}, max_staleness_ms=STALENESS_MS, fail_safe_ms=0, mono_ms=clock, wall_ms=clock)
        worker = Worker(l1)
        self._begin(worker, replayed=True)
        return worker

    def _begin(self, worker: Worker, *, replayed: bool) -> None:
        # At a coordinate that is a floor's life old; else where the log ends.
        old = [place for place, commit in enumerate(self.log, 1) if self.now_ms - commit.logged_ms >= FLOOR_MS]
        worker.first = worker.passed = (old[-1] if old else 0) if replayed else len(self.log)
        worker.l1.measure()
        worker.l1.started(replayed)

    @rule(who=st.integers(0, 1))
    def meet(self, who: int) -> None:
        worker = self.workers[who]
        if worker.passed is not None and worker.passed < len(self.log):
            self._hear(worker, self.log[worker.passed])
            worker.passed += 1

    @rule(who=st.integers(0, 1))
    def probe(self, who: int) -> None:
        """The reader is where the server is."""
        worker = self.workers[who]
        while worker.passed is not None and worker.passed < len(self.log):
            self.meet(who)
        if worker.passed is not None:
            worker.l1.passed(self.now_ms)

    @rule(who=st.integers(0, 1))
    def lose(self, who: int) -> None:
        self.workers[who].passed = None
        self.workers[who].l1.lost()

    @rule(who=st.integers(0, 1), replayed=st.booleans())
    def find(self, who: int, replayed: bool) -> None:
        if self.workers[who].passed is None:
            self._begin(self.workers[who], replayed=replayed)

    @rule(who=st.integers(0, 1))
    def restart(self, who: int) -> None:
        """A new process: what it wrote itself before is anybody's."""
        self.workers[who] = self._started()
        for commit in self.log:
            if commit.by == who:
                commit.by = None

    # Loads

    @rule(who=st.integers(0, 1))
    def begin(self, who: int) -> None:
        loads = self.workers[who].loads
        if len(loads) < 3:
            loads.append(Load(self.workers[who].l1.begin(KIND, KEY)))

    def _load(self, who: int, which: int) -> Load | None:
        loads = self.workers[who].loads
        return loads[which] if which < len(loads) else None

    @rule(who=st.integers(0, 1), which=st.integers(0, 2))
    def ask_l2(self, who: int, which: int) -> None:
        load, worker = self._load(who, which), self.workers[who]
        if load is None or load.missed or load.saw is not None:
            return
        found, tolds = self.run(self.l2.get([(KIND, KEY)], STALENESS_MS))
        told = tolds[BUCKET]
        entry = found.get((KIND, KEY))
        if entry is not None and load.fill.refusal(list(entry.rows)) is None:
            self.judge(who, int(entry.payload), "L2")
            since_first = worker.passed is not None and told.at.is_at(self.at(worker.first))
            load.fill.store(entry.payload, list(entry.rows), life_ms=LONG_MS, since_first=since_first)
            worker.loads.remove(load)
        else:
            load.missed, load.epoch = True, told.epoch

    @rule(who=st.integers(0, 1), which=st.integers(0, 2))
    def ask_sql(self, who: int, which: int) -> None:
        load = self._load(who, which)
        if load is not None and load.missed and load.saw is None:
            load.saw, load.sent_ms = self.visible, self.now_ms

    @rule(who=st.integers(0, 1), which=st.integers(0, 2))
    def store(self, who: int, which: int) -> None:
        load = self._load(who, which)
        if load is not None and load.saw is not None and not load.stored:
            load.stored = True
            payload = str(load.saw).encode()
            load.fill.store(payload, self.rows(load.saw), life_ms=LONG_MS, sent_ms=load.sent_ms)

    @rule(who=st.integers(0, 1), which=st.integers(0, 2))
    def check_fill(self, who: int, which: int) -> None:
        """First what the reader has passed, then the floors: what is sent later is checked against all before that."""
        load, worker = self._load(who, which), self.workers[who]
        if load is None or load.saw is None or load.passed is not None:
            return
        passed = worker.passed
        refused = load.fill.refusal(self.rows(load.saw), sent_ms=load.sent_ms)
        if passed is not None and not worker.l1.starting and load.epoch and refused is None:
            load.passed = self.at(passed)
        else:
            worker.loads.remove(load)

    @rule(who=st.integers(0, 1), which=st.integers(0, 2))
    def send_fill(self, who: int, which: int) -> None:
        load = self._load(who, which)
        if load is None or load.saw is None or load.passed is None:
            return
        entry = Entry(str(load.saw).encode(), tuple(self.rows(load.saw)))
        self.run(self.l2.fill({(KIND, KEY): (entry, LONG_MS)}, {BUCKET: load.epoch}, load.passed))
        self.workers[who].loads.remove(load)

    # Tellers

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        teller = self.tellers[who]
        teller.held = self.run(self.l2.told())[BUCKET]
        teller.looked_ms, teller.to = self.now_ms, None

    @rule(who=st.integers(0, 1), chunk=st.booleans(), purged=st.sampled_from([False, False, False, True]))
    def prepare(self, who: int, chunk: bool, purged: bool) -> None:
        teller = self.tellers[who]
        if teller.held is None or teller.to is not None:
            return
        teller.anew = purged or not teller.held.epoch
        since = 0 if teller.anew else int(teller.held.at.place)
        teller.whole = teller.anew or not chunk
        teller.to = len(self.log) if teller.whole else min(since + 1, len(self.log))

    @rule(who=st.integers(0, 1))
    def send(self, who: int) -> None:
        teller = self.tellers[who]
        if teller.held is None or teller.to is None:
            return
        held = teller.held
        since = teller.to if teller.anew else int(held.at.place)
        redis_ms = self.run(self.l2.told())[BUCKET].now_ms
        call = self.l2.telling(
            BUCKET,
            held,
            self.at(teller.to),
            [self.change(commit) for commit in self.log[since : teller.to]],
            epoch=uuid4().hex.encode() if teller.anew else held.epoch,
            # Redis's time when the teller looked: so much of the machine's time has passed since.
            time_ms=redis_ms - (self.now_ms - teller.looked_ms) if teller.whole else None,
        )
        self.run(self.l2.tell([call]))
        teller.held = None

    def _tell(self, teller: Teller) -> None:
        self.look(self.tellers.index(teller))
        self.prepare(self.tellers.index(teller), chunk=False, purged=False)
        self.send(self.tellers.index(teller))

    @rule(who=st.integers(0, 1))
    def tell(self, who: int) -> None:
        """All steps at once, as it mostly is."""
        self._tell(self.tellers[who])

    # Faults

    @rule()
    def snap(self) -> None:
        async def take() -> dict[bytes, bytes]:
            client = self.redis.client
            return {key: await client.dump(key) for key in await client.keys(self.redis.key("*"))}

        self.snapshot = self.run(take())
        self.snapped_ms = self.now_ms

    @precondition(lambda self: self.snapshot is not None)
    @rule()
    def fail_over(self) -> None:
        """A server with older data answers; its clock is the same."""

        async def put() -> None:
            client = self.redis.client
            for key in await client.keys(self.redis.key("*")):
                await client.delete(key)
            for key, value in (self.snapshot or {}).items():
                await client.restore(key, 0, value)
            if await client.hexists(self.l2.told_key(BUCKET), "time"):
                await client.hincrby(self.l2.told_key(BUCKET), "time", self.snapped_ms - self.now_ms)

        self.run(put())
        self.snapshot = None

    @rule()
    def wipe(self) -> None:
        async def empty() -> None:
            for key in await self.redis.client.keys(self.redis.key("*")):
                await self.redis.client.delete(key)

        self.run(empty())

    # What is judged

    @rule(who=st.integers(0, 1))
    def get(self, who: int) -> None:
        held = self.workers[who].l1.get(KIND, KEY)
        if held:
            self.judge(who, int(held), "L1")

    def judge(self, who: int, saw: int, layer: str) -> None:
        """An answer that shows so many commits."""
        worker = self.workers[who]
        for place, commit in enumerate(self.log[saw:], saw):
            told = f"{layer} answered worker {who} with {saw} commits, without {place}: {commit}"
            assert commit.visible_ms is None or self.now_ms - commit.visible_ms <= STALENESS_MS, told
            assert commit.by != who or commit.visible_ms is None, told
            heard = worker.passed is not None and worker.first <= place < worker.passed
            assert not heard or self.now_ms - commit.logged_ms >= FLOOR_MS, told


def test_whatever_the_order_of_steps_no_layer_answers_with_what_is_too_old(redis_url: str) -> None:
    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(
        Here,
        settings=hypothesis.settings(
            max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
