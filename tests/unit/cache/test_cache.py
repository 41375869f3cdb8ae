"""`couponry.cache.Cache` as other programs use it, and the example of docs/cache.md."""

import asyncio
import re
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from couponry.cache import Cache, Loaded

LONG_MS = 600_000


class Rows:
    """Rows with versions, read by a loader that counts its calls and can be held."""

    def __init__(self, **rows: tuple[int, bytes]) -> None:
        self.rows = rows
        self.calls: list[list[str]] = []
        self.has_read = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, Loaded]:
        self.calls.append(list(keys))
        found = {
            key: Loaded(payload, ((1, version),))
            for key in keys
            for version, payload in [self.rows.get(key, (0, b""))]
            if version
        }
        self.has_read.set()
        await self.may_answer.wait()
        return found


async def test_a_key_is_loaded_once_for_all_who_ask_and_so_is_what_does_not_exist() -> None:
    rows = Rows(k=(1, b"v"))
    async with Cache(rows, life_ms=LONG_MS, absence_ms=LONG_MS) as cache:
        assert set(await asyncio.gather(*(cache.get("k") for _ in range(1000)))) == {b"v"}
        assert [await cache.get("none") for _ in range(2)] == [None, None]
    assert rows.calls == [["k"], ["none"]]
    assert cache.stats()["loader_calls"] == 2


async def test_what_is_missing_of_many_is_one_load() -> None:
    rows = Rows(a=(1, b"A"), b=(1, b"B"))
    async with Cache(rows, life_ms=LONG_MS) as cache:
        await cache.get("a")
        assert await cache.get_many(["b", "a", "none"]) == [b"B", b"A", None]
    assert rows.calls == [["a"], ["b", "none"]]


async def test_a_load_that_read_before_a_change_is_neither_kept_nor_joined_after_it() -> None:
    rows = Rows(k=(1, b"old"))
    async with Cache(rows, life_ms=LONG_MS) as cache:
        rows.may_answer.clear()
        early = asyncio.create_task(cache.get("k"))
        await rows.has_read.wait()
        rows.rows["k"] = (2, b"new")
        cache.changed("k", 1, 2)
        late = asyncio.create_task(cache.get("k"))
        rows.may_answer.set()
        assert (await early, await late) == (b"old", b"new")
        assert await cache.get("k") == b"new"
    assert cache.stats()["refused_floor"] == 1


async def test_a_change_told_before_its_row_can_be_read_keeps_the_old_row_out() -> None:
    rows = Rows(k=(1, b"old"))
    async with Cache(rows, life_ms=LONG_MS) as cache:
        cache.changed("k", 1, 2)
        assert await cache.get("k") == b"old"
        rows.rows["k"] = (2, b"new")
        assert await cache.get("k") == b"new"


async def test_a_measured_cache_gives_nothing_that_it_does_not_know_to_be_fresh() -> None:
    rows = Rows(k=(1, b"v"))
    async with Cache(rows, max_staleness_ms=LONG_MS) as cache:
        cache.measure()
        await cache.get("k")
        cache.started(replayed=True)
        cache.passed(cache.now_ms)
        assert [await cache.get("k") for _ in range(2)] == [b"v"] * 2
        assert len(rows.calls) == 2
        cache.lost()
        await cache.get("k")
    assert len(rows.calls) == 3


async def test_a_loader_that_fails_fails_its_callers_and_is_asked_again() -> None:
    calls = []

    async def load(keys: Sequence[str]) -> Mapping[str, Loaded]:
        calls.append(keys)
        raise LookupError("no database")

    async with Cache(load) as cache:
        for _ in range(2):
            found = await asyncio.gather(*(cache.get("k") for _ in range(5)), return_exceptions=True)
            assert [type(each) for each in found] == [LookupError] * 5
    assert len(calls) == 2


async def test_a_cleared_cache_loads_again_and_bytes_are_bounded() -> None:
    rows = Rows(**{f"k{number}": (1, bytes(1000)) for number in range(500)})
    async with Cache(rows, life_ms=LONG_MS, capacity_bytes=100_000) as cache:
        await cache.get_many(list(rows.rows))
        assert 0 < cache.stats()["bytes"] <= 100_000
        cache.clear()
        assert cache.stats()["entries"] == 0
        await cache.get("k1")
    assert len(rows.calls) == 2


async def test_the_example_of_the_documentation_runs(repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs" / "cache.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    program = tmp_path / "example.py"
    program.write_text(example)
    names = runpy.run_path(str(program))
    assert await names["main"]() == [b"red", b"red", b"blue", None]


@pytest.mark.parametrize("fate", ["left", "gone"])
async def test_a_row_that_left_an_entry_is_not_in_what_is_kept(fate: Any) -> None:
    rows = Rows(k=(3, b"there"))
    async with Cache(rows, life_ms=LONG_MS) as cache:
        cache.changed("k", 1, 4 if fate == "left" else 3, fate)
        assert [await cache.get("k") for _ in range(2)] == [b"there"] * 2
        assert len(rows.calls) == 2, "what still shows it is not kept"
        del rows.rows["k"]
        assert [await cache.get("k") for _ in range(2)] == [None] * 2
        assert len(rows.calls) == 3
