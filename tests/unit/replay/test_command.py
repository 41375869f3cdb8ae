"""`couponry replay` as people run it, and docs/replay.md as they read it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from couponry.cli import app


@pytest.fixture
def documented(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The text of docs/replay.md, in a folder that has the files it shows."""
    page = (repository / "docs/replay.md").read_text()
    for name, content in re.findall(r"^`([\w.]+)`:\n```\w+\n(.*?)```", page, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return page


def couponry(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "100", "TERM": "dumb"})


def test_the_example_of_the_page_prints_what_the_page_says(documented: str) -> None:
    [(command, said)] = re.findall(r"```sh\n(.*?)\n```\nprints\n\n```text\n(.*?)```", documented, re.DOTALL)
    result = couponry(*shlex.split(command)[1:])
    assert result.exit_code == 0
    printed = [line.rstrip() for line in result.output.splitlines()]
    assert printed[:-1] == said.splitlines()[:-1]
    assert re.fullmatch(r"3 carts priced in .* · processes: 1 · peak memory: \d+ MiB · mode: apply", printed[-1])


def test_every_option_is_on_the_page(documented: str) -> None:
    options = set(re.findall(r"(--[a-z-]+)", couponry("replay", "--help").output)) - {"--help"}
    assert {option for option in options if f"`{option}" not in documented} == set()
    assert len(options) >= 14


def test_json_holds_whole_numbers_and_the_findings(documented: str) -> None:
    def refuse(number: str) -> float:
        raise AssertionError(number)

    result = couponry("replay", "--carts", "carts.jsonl", "--templates", "draft.toml", "--json", "--mode", "apply")
    told: dict[str, Any] = json.loads(result.output, parse_float=refuse)
    assert told["against"] is None
    assert told["draft"]["currencies"][0]["discount"] == 20_400
    assert told["worst"][0]["order_id"] == "A2"
    codes = [(finding["code"], finding["key"]) for finding in told["findings"]]
    assert codes == [("FREE_ORDER", "north-10"), ("NEVER_APPLIES", "spend-500"), ("DOMINATED", "spend-500")]


def test_check_fails_where_there_are_findings(documented: str) -> None:
    arguments = ("replay", "--carts", "carts.jsonl", "--check", "--templates")
    assert couponry(*arguments, "draft.toml").exit_code == 1
    assert couponry(*arguments, "current.toml").exit_code == 0


class _Page(HTMLParser):
    """Notes the tags and what they point at."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in {"src", "href", "style", "onload"}]


def test_the_page_needs_nothing_else_and_escapes_what_the_shop_wrote(documented: str) -> None:
    draft = Path("draft.toml").read_text().replace("满300减50", "<script>alert(1)</script>")
    Path("draft.toml").write_text(draft)
    carts = Path("carts.jsonl").read_text().replace('"A1"', '"<img src=x>"')
    Path("carts.jsonl").write_text(carts)
    result = couponry(
        "replay", "--carts", "carts.jsonl", "--templates", "draft.toml", "--against", "current.toml", "--html", "r.html"
    )
    assert result.exit_code == 0
    text = Path("r.html").read_text("utf-8")
    page = _Page()
    page.feed(text)
    assert page.addresses == []
    assert {"script", "img", "link"}.isdisjoint(page.tags)
    assert page.tags.count("svg") == 2
    assert page.tags.count("rect") >= 6
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;img src=x&gt;" in text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "--carts and --templates are needed"),
        (["--carts", "carts.jsonl"], "--carts and --templates are needed"),
        (["--carts", "none.jsonl", "--templates", "draft.toml"], "none.jsonl: No such file or directory"),
        (["--carts", "carts.jsonl", "--templates", "none.toml"], "none.toml: No such file or directory"),
        (["--carts", "draft.toml", "--templates", "draft.toml"], "draft.toml:1: not JSON: Expecting value at column 3"),
        (["--carts", "carts.jsonl", "--templates", "draft.toml", "--html", "no/r.html"], "no/r.html: No such file"),
        (["--carts", "carts.jsonl", "--templates", "draft.toml", "--worst-by", "change"], "needs --against"),
        (["--carts", "carts.jsonl", "--templates", "draft.toml", "--now", "today"], "must be a time with its offset"),
        (["--carts", "carts.jsonl", "--templates", "draft.toml", "--share", "0"], "--share"),
    ],
)
def test_what_cannot_begin_says_why_and_exits_2(documented: str, arguments: list[str], error: str) -> None:
    result = couponry("replay", *arguments)
    assert result.exit_code == 2
    assert error in re.sub(r"\s*│\s*│?\s*|\n", " ", result.output)


def test_carts_are_generated_and_read_from_a_pipe(tmp_path: Path, documented: str) -> None:
    command = [sys.executable, "-m", "couponry", "replay"]
    carts = subprocess.run([*command, "--generate", "50"], capture_output=True, check=True).stdout
    assert len(carts.splitlines()) == 50
    arguments = ["--carts", "-", "--templates", "draft.toml", "--json", "--processes", "2"]
    result = subprocess.run([*command, *arguments], input=carts, capture_output=True, check=True)
    assert json.loads(result.stdout)["run"]["carts"] == 50
    assert result.stderr == b""


def test_a_reader_that_has_seen_enough_ends_the_generator_quietly() -> None:
    command = f"{shlex.quote(sys.executable)} -m couponry replay --generate 5000 | head -1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False)
    assert (result.returncode, result.stderr, len(result.stdout.splitlines())) == (0, b"", 1)


def test_ctrl_c_ends_all_processes_without_a_word(documented: str) -> None:
    some = subprocess.run(
        [sys.executable, "-m", "couponry", "replay", "--generate", "3000"], capture_output=True, check=True
    ).stdout
    arguments = ["replay", "--carts", "-", "--templates", "draft.toml", "--processes", "2"]
    # Tests may be run by a program that ignores Ctrl-C, which is inherited.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{heeding}; from couponry.cli import main; main()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdin:
        # When all but what a pipe holds is read, the first blocks are handed out, and no end has been seen.
        process.stdin.write(some)
        process.stdin.flush()
        os.killpg(process.pid, signal.SIGINT)
        # Both end only when every process that holds them has ended.
        assert process.stdout.read() == b""
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGINT
