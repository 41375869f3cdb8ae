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
from couponry.client import Client
from couponry.config import AdminSettings, Settings
from couponry.v1 import template_pb2
from tests.integration.service.conftest import create_template


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "admin.sock"


@pytest.fixture
async def app(settings: Settings, socket: Path) -> AsyncIterator[App]:
    async with opened(settings.model_copy(update={"admin": AdminSettings(socket=socket)})) as app:
        yield app


@pytest.fixture
async def client(app: App) -> AsyncIterator[Client]:
    async with served(app) as address, Client(address, timeout_s=30) as client:
        yield client


async def cache(socket: Path, *arguments: str) -> Any:
    result = await asyncio.to_thread(
        CliRunner().invoke, command, ["cache", *arguments, "--socket", str(socket), "--json"]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.output)["worker 0"]


async def read(client: Client) -> int:
    template = await create_template(client)
    await client.templates.GetTemplate(template_pb2.GetTemplateRequest(template_id=template.template_id))
    return template.template_id


async def test_stats_count_what_was_read(client: Client, socket: Path) -> None:
    template_id = await read(client)
    before = (await cache(socket, "stats"))["layers"]["template"]["l1"]
    await client.templates.GetTemplate(template_pb2.GetTemplateRequest(template_id=template_id))
    assert (await cache(socket, "stats"))["layers"]["template"]["l1"] == before + 1


async def test_an_entry_shows_its_rows_versions_and_age(client: Client, socket: Path) -> None:
    template_id = await read(client)
    found = (await cache(socket, "inspect", f"template:{template_id}"))["L1"]
    assert found["held"]
    assert found["age_ms"] >= 0
    assert found["left_ms"] > 0


async def test_what_is_not_held_is_shown_as_such(client: Client, socket: Path) -> None:
    assert not (await cache(socket, "inspect", "template:77"))["L1"]["held"]


async def test_a_change_leaves_a_floor(client: Client, app: App, socket: Path) -> None:
    template_id = await read(client)
    app.l1.changed("template", str(template_id), template_id, "present", 5)
    found = (await cache(socket, "inspect", f"template:{template_id}"))["L1"]
    assert not found["held"]
    assert any(f"row {template_id} is there with version 5" in floor for floor in found["floors"])


@pytest.mark.parametrize("what", [(), ("template",), ("template:{}",)])
async def test_flush_empties_what_it_names(client: Client, app: App, socket: Path, what: tuple[str, ...]) -> None:
    template_id = await read(client)
    flushed = await cache(socket, "flush", *(each.format(template_id) for each in what))
    assert flushed["L1"] == 1
    assert app.l1.get("template", str(template_id)) is None


async def test_flush_of_another_kind_leaves_the_entry(client: Client, app: App, socket: Path) -> None:
    template_id = await read(client)
    await cache(socket, "flush", "activity")
    assert app.l1.get("template", str(template_id)) is not None


async def test_the_tables_are_for_people(client: Client, socket: Path) -> None:
    template_id = await read(client)
    for arguments, words in (
        (["stats"], ["template", "L1 share", "mode"]),
        (["inspect", f"template:{template_id}"], ["rows", "age_ms", "L1"]),
        (["flush"], ["worker 0", "L1"]),
    ):
        result = await asyncio.to_thread(
            CliRunner().invoke, command, ["cache", *arguments, "--socket", str(socket)], env={"COLUMNS": "200"}
        )
        assert result.exit_code == 0, result.output
        assert [word for word in words if word not in result.output] == []


@pytest.mark.parametrize("entry", ["nothing:1", "template"])
async def test_an_entry_that_cannot_be_is_refused_by_name(client: Client, socket: Path, entry: str) -> None:
    result = await asyncio.to_thread(
        CliRunner().invoke, command, ["cache", "inspect", entry, "--socket", str(socket)], env={"COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "kind" in result.output.lower()


def test_without_an_instance_the_command_says_where_it_looked(socket: Path) -> None:
    result = CliRunner().invoke(command, ["cache", "stats", "--socket", str(socket)], env={"COLUMNS": "300"})
    assert result.exit_code == 2
    assert str(socket) in result.output
