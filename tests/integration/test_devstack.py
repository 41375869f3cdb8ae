"""The private stores: fast to start, durable, and gone when their owner is gone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
import redis

from couponry.config import parse_mysql_dsn
from couponry.devstack import DevStack, DevStackError, MissingProgramError
from couponry.devstack.layout import Layout
from couponry.devstack.process import PidFile, start_time, wait_until


@pytest.fixture
def template(repository: Path) -> Path:
    return repository / ".couponry" / "template"


@pytest.fixture
def own(tmp_path: Path, template: Path) -> Iterator[DevStack]:
    """A stack of this test alone, not started."""
    stack = DevStack(tmp_path / "state", template_dir=template)
    yield stack
    stack.down()


def _query(stack: DevStack, statement: str) -> tuple[object, ...]:
    address = parse_mysql_dsn(stack.mysql_dsn())
    with (
        pymysql.connect(unix_socket=address.unix_socket, user="root", autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
        return tuple(cursor.fetchone() or ())


def _redis(stack: DevStack) -> redis.Redis:
    return redis.Redis.from_url(stack.redis_url)


def _pids(stack: DevStack) -> list[int]:
    return [server.pid for server in stack.status() if server.pid is not None]


def test_the_servers_have_the_settings_that_couponry_wants(stack: DevStack) -> None:
    assert _query(
        stack,
        "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@sync_binlog, @@innodb_flush_log_at_trx_commit,"
        " @@log_bin_trust_function_creators, @@time_zone, @@system_time_zone, @@skip_networking",
    ) == (1, "ROW", "FULL", 1, 1, 1, "+00:00", "UTC", 1)
    with _redis(stack) as client:
        config = client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"
    assert config["port"] == "0"


def test_a_second_start_takes_less_than_three_seconds(own: DevStack) -> None:
    own.up()
    own.down()
    begin = time.monotonic()
    own.up()
    assert time.monotonic() - begin < 3


def test_data_survives_down_and_up_and_wipe_removes_it(own: DevStack) -> None:
    own.up()
    own.create_database("kept")
    with _redis(own) as client:
        client.set("kept", "1")
    own.down()
    own.up()
    assert _query(own, "SHOW DATABASES LIKE 'kept'") == ("kept",)
    with _redis(own) as client:
        assert client.get("kept") == b"1"
    with pytest.raises(DevStackError, match="runs"):
        own.wipe()
    own.down()
    own.wipe()
    own.up()
    assert _query(own, "SHOW DATABASES LIKE 'kept'") == ()
    with _redis(own) as client:
        assert client.get("kept") is None


def test_each_server_can_be_killed_and_started_alone(own: DevStack) -> None:
    own.up()
    mariadb, redis_pid = _pids(own)
    own.kill_redis()
    assert start_time(redis_pid) is None
    assert _pids(own) == [mariadb]
    own.start_redis()
    own.kill_mariadb()
    assert start_time(mariadb) is None
    own.start_mariadb()
    own.stop_mariadb()
    own.start_mariadb()
    own.stop_redis()
    own.start_redis()
    assert all(server.version for server in own.status())


def test_what_was_committed_survives_kill_9(own: DevStack) -> None:
    own.up()
    _query(own, "CREATE TABLE couponry.t (a INT)")
    _query(own, "INSERT INTO couponry.t VALUES (7)")
    own.kill_mariadb()
    own.start_mariadb()
    assert _query(own, "SELECT a FROM couponry.t") == (7,)


def test_down_leaves_no_process(own: DevStack) -> None:
    own.up()
    pids = _pids(own)
    own.down()
    assert [pid for pid in pids if start_time(pid) is not None] == []
    assert [(server.pid, server.version) for server in own.status()] == [(None, None)] * 2


def test_up_uses_servers_that_run_already_and_leaves_them(own: DevStack, tmp_path: Path, template: Path) -> None:
    own.up()
    with DevStack(tmp_path / "state", template_dir=template) as second:
        assert not second.owned
        assert _pids(second) == _pids(own)
    assert len(_pids(own)) == 2


def test_detached_servers_outlive_their_starter_and_end_by_down(tmp_path: Path, template: Path) -> None:
    state = tmp_path / "state"
    program = (
        "import sys; from pathlib import Path; from couponry.devstack import DevStack\n"
        "DevStack(Path(sys.argv[1]), template_dir=Path(sys.argv[2])).up(detached=True)"
    )
    subprocess.run([sys.executable, "-c", program, str(state), str(template)], check=True)
    stack = DevStack(state, template_dir=template)
    pids = _pids(stack)
    assert len(pids) == 2
    stack.down()
    assert [pid for pid in pids if start_time(pid) is not None] == []


def _processes_naming(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in command and start_time(int(entry.name)) is not None:
                found.append(int(entry.name))
    return found


def _end(owner: "subprocess.Popen[str]", sign: signal.Signals) -> None:
    """Sends the signal; again where Python lost a Ctrl-C that came in a callback of its own, as a person would."""
    for _ in range(10):
        owner.send_signal(sign)
        try:
            owner.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        return
    owner.kill()
    pytest.fail("the owner does not end")


_OWNER = """
import signal, sys
from pathlib import Path
from couponry.devstack import DevStack
print("begins", flush=True)
with DevStack(Path(sys.argv[1]), template_dir=Path(sys.argv[1]) / "template"):
    print("runs", flush=True)
    signal.pause()
"""


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_is_killed_while_they_run(sign: signal.Signals, tmp_path: Path) -> None:
    state = tmp_path / "state"
    with subprocess.Popen([sys.executable, "-c", _OWNER, str(state)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert [owner.stdout.readline(), owner.stdout.readline()] == ["begins\n", "runs\n"]
        assert len(_processes_naming(str(state))) >= 3
        _end(owner, sign)
    assert wait_until(lambda: _processes_naming(str(state)) == [], 10)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_owner_is_killed_at_any_moment_of_the_start(
    sign: signal.Signals, tmp_path: Path
) -> None:
    """From before the keeper over the making of the first data to the first answer, in seven steps."""
    for step in range(7):
        state = tmp_path / f"state{step}"
        with subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(state)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "begins\n"
            moment = time.monotonic() + step * 0.15
            assert wait_until(lambda moment=moment: time.monotonic() >= moment, 5)  # type: ignore[misc]
            _end(owner, sign)
        assert wait_until(lambda state=state: _processes_naming(str(state)) == [], 10)  # type: ignore[misc]


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path, template: Path) -> None:
    stack = DevStack(tmp_path / "state", template_dir=template, mysql_options={"no-such-option": "1"})
    with pytest.raises(DevStackError, match=r"(?s)mariadb did not start.*no-such-option"):
        stack.up()
    assert _pids(stack) == []


def test_a_missing_server_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("couponry.devstack.programs._BESIDE_PATH", ())
    with pytest.raises(MissingProgramError, match="install redis-server"):
        DevStack(tmp_path / "state").up()


def test_a_deep_state_folder_gets_its_sockets_elsewhere(tmp_path: Path, template: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    layout = Layout(deep, template)
    assert not layout.sockets.is_relative_to(deep)
    with DevStack(deep, template_dir=template) as stack:
        assert _query(stack, "SELECT 1") == (1,)
    assert not layout.sockets.exists()


def test_a_pid_that_belongs_to_another_process_by_now_is_left_alone(tmp_path: Path) -> None:
    pid_file = PidFile(tmp_path / "some.pid")
    pid_file.path.write_text(json.dumps({"pid": os.getpid(), "started": "0"}))
    assert pid_file.running() is None
    pid_file.end(signal.SIGKILL, 1)


def test_a_database_has_a_plain_name(stack: DevStack) -> None:
    for name in ("", "a`b", "a b", "é"):
        with pytest.raises(DevStackError, match="no name"):
            stack.create_database(name)
