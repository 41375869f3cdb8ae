"""`couponry cache` against a worker: what it shows is so, and what it empties is empty."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from couponry.app import App, opened, served
from couponry.cli import app as command
from couponry.config import AdminSettings, Settings
from couponry.store.layers import Coordinate, Entry

ROW = 77


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@pytest.fixture
async def app(settings: Settings, socket: Path) -> AsyncIterator[App]:
    """A worker that nobody tells of changes, so that what a test puts into its caches stays there."""
    cache = settings.cache.model_copy(
        update={"warm_up_s": 0, "binlog": settings.cache.binlog.model_copy(update={"enabled": False})}
    )
    quiet = settings.model_copy(update={"admin": AdminSettings(socket=socket), "cache": cache})
    async with opened(quiet) as app, served(app):
        yield app


@pytest.fixture
def held(app: App) -> None:
    """One template is in L1, with version 3."""
    refused = app.l1.begin("template", str(ROW)).store(b"x", [(ROW, 3)], life_ms=600_000, sent_ms=app.l1.now_ms)
    assert refused is None


async def cache(socket: Path, *arguments: str) -> Any:
    result = await asyncio.to_thread(
        CliRunner().invoke, command, ["cache", *arguments, "--socket", str(socket), "--json"]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.output)["worker 0"]


@pytest.mark.usefixtures("held")
async def test_stats_count_what_was_read(app: App, socket: Path) -> None:
    for _ in range(3):
        assert await app.layers.get("template", str(ROW)) == b"x"
    assert (await cache(socket, "stats"))["layers"]["template"]["l1"] == 3


@pytest.mark.usefixtures("app")
async def test_stats_say_whether_there_is_a_reader(socket: Path) -> None:
    assert (await cache(socket, "stats"))["ages"]["mode"] == "short lives, no binlog reader"


@pytest.mark.usefixtures("held")
async def test_an_entry_shows_its_rows_versions_and_age(socket: Path) -> None:
    found = (await cache(socket, "inspect", f"template:{ROW}"))["L1"]
    assert found["held"]
    assert found["rows"] == [[ROW, 3]]
    assert found["age_ms"] >= 0
    assert found["left_ms"] > 0


@pytest.mark.usefixtures("app")
async def test_what_is_not_held_is_shown_as_such(socket: Path) -> None:
    found = await cache(socket, "inspect", "template:78")
    assert (found["L1"]["held"], found["L2"]["held"]) == (False, False)


async def test_an_entry_of_l2_shows_its_rows_and_what_its_bucket_was_told(app: App, socket: Path) -> None:
    l2, key = app.layers.l2, ("template", str(ROW))
    [told] = [each for bucket, each in (await l2.told()).items() if bucket == l2.bucket(key)]
    place = Coordinate(b"server", b"0001")
    assert await l2.tell([l2.telling(l2.bucket(key), told, place, [], epoch=b"e1", time_ms=told.now_ms)]) == [True]
    assert await l2.fill({key: (Entry(b"x", ((ROW, 3),)), 60_000)}, {l2.bucket(key): b"e1"}, place) == {}
    found = (await cache(socket, "inspect", f"template:{ROW}"))["L2"]
    assert (found["held"], found["rows"], found["of this epoch"]) == (True, [[ROW, 3]], True)
    assert (found["told"], found["told ms ago"] >= 0) == ("0001", True)
    assert (await cache(socket, "flush", f"template:{ROW}"))["L2"] == 1
    after = (await cache(socket, "inspect", f"template:{ROW}"))["L2"]
    assert (after["held"], after["told"]) == (False, "0001")


@pytest.mark.usefixtures("held")
async def test_a_change_leaves_a_floor(app: App, socket: Path) -> None:
    app.l1.changed("template", str(ROW), ROW, "present", 5)
    found = (await cache(socket, "inspect", f"template:{ROW}"))["L1"]
    assert not found["held"]
    assert any(f"row {ROW} is there with version 5" in floor for floor in found["floors"])


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("what", [(), ("template",), (f"template:{ROW}",)])
async def test_flush_empties_what_it_names(app: App, socket: Path, what: tuple[str, ...]) -> None:
    assert (await cache(socket, "flush", *what))["L1"] == 1
    assert app.l1.get("template", str(ROW)) is None


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("what", ["activity", "template:78"])
async def test_flush_of_something_else_leaves_the_entry(app: App, socket: Path, what: str) -> None:
    await cache(socket, "flush", what)
    assert app.l1.get("template", str(ROW)) == b"x"


@pytest.mark.usefixtures("held")
async def test_the_tables_are_for_people(socket: Path) -> None:
    for arguments, words in (
        (["stats"], ["template", "L1 share", "mode"]),
        (["inspect", f"template:{ROW}"], ["rows", "age_ms", "L2"]),
        (["flush"], ["worker 0", "L1"]),
    ):
        result = await asyncio.to_thread(
            CliRunner().invoke, command, ["cache", *arguments, "--socket", str(socket)], env={"COLUMNS": "200"}
        )
        assert result.exit_code == 0, result.output
        assert [word for word in words if word not in result.output] == []


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize("entry", ["nothing:1", "template"])
async def test_an_entry_that_cannot_be_is_refused_by_name(socket: Path, entry: str) -> None:
    result = await asyncio.to_thread(
        CliRunner().invoke, command, ["cache", "inspect", entry, "--socket", str(socket)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "kind" in result.output.lower()


def test_without_an_instance_the_command_says_where_it_looked(socket: Path) -> None:
    result = CliRunner().invoke(command, ["cache", "stats", "--socket", str(socket)], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert str(socket) in result.output
