"""The command line: help that a person understands, errors of one line, exit status 2."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from couponry.cli import app

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the installed command in an empty folder, without COUPONRY_ variables."""

    def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("COUPONRY_")}
        return subprocess.run(
            [sys.executable, "-m", "couponry", *arguments],
            cwd=tmp_path,
            env={**kept, **variables},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    return command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["serve", "dev", "migrate", "demo", "doctor", "version"]),
        (["serve"], ["--config", "--dev", "--state", "--listen", "--frontend", "--workers", "--wait"]),
        (["dev"], ["up", "down", "status", "env"]),
        (["migrate"], ["--check", "--config"]),
        (["doctor"], ["--json", "--config"]),
    ],
)
def test_help_names_what_there_is(command: list[str], words: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert [word for word in words if word not in result.output] == []
    assert "--worker " not in result.output


def test_version_names_the_versions(run: Run) -> None:
    result = run("version")
    assert result.returncode == 0
    assert result.stdout.startswith("couponry 0.")


def _one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_a_wrong_key_is_one_line_and_status_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[server]\nwokers = 3\n")
    result = run("serve", "--config", "c.toml")
    assert result.returncode == 2
    assert _one_line(result) == "server.wokers: unknown key; did you mean server.workers?\n"


def test_a_front_end_that_does_not_exist_is_refused_with_a_sentence(run: Run) -> None:
    result = run("serve", "--frontend", "fast")
    assert result.returncode == 2
    assert "server.frontend" in _one_line(result)


def test_stores_that_do_not_answer_are_named_with_where_and_what_to_do(run: Run, tmp_path: Path) -> None:
    result = run(
        "serve",
        COUPONRY_MYSQL__DSN="mysql://u:hidden@127.0.0.1:1/d",
        COUPONRY_REDIS__CACHE="redis://:hidden@127.0.0.1:2/0",
        COUPONRY_REDIS__SALE=f"unix://{tmp_path}/none.sock",
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "hidden" not in result.stderr
    mysql, cache, sale = result.stderr.splitlines()
    assert mysql.startswith("MySQL does not answer at 127.0.0.1:1 (Connection refused): start it, correct mysql.dsn")
    assert cache.startswith("Redis does not answer at 127.0.0.1:2 (redis.cache: Connection refused)")
    assert sale.startswith(f"Redis does not answer at {tmp_path}/none.sock (redis.sale: No such file or directory)")


def test_a_host_that_does_not_exist_is_named(run: Run) -> None:
    result = run("migrate", COUPONRY_MYSQL__DSN="mysql://u@nowhere.invalid/d")
    assert result.returncode == 2
    assert "MySQL does not answer at nowhere.invalid:3306" in _one_line(result)


def test_an_unexpected_error_is_one_line_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder belongs")
    result = run("dev", "up", "--state", "state")
    assert result.returncode == 1
    assert "FileExistsError" in _one_line(result)


def test_nothing_heavy_is_imported_for_help() -> None:
    code = "import sys, couponry.cli; print([m for m in ('grpc', 'alembic', 'redis', 'pymysql') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
