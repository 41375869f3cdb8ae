"""The command with real stores: private ones, migrations, and serving until a signal."""

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from couponry.config import Settings
from couponry.devstack import DevStack
from couponry.devstack.process import PidFile, start_time, wait_until

Run = Callable[..., subprocess.CompletedProcess[str]]


def _environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUPONRY_")}
    return {**kept, **variables}


def _stores(settings: Settings) -> dict[str, str]:
    return {
        "COUPONRY_MYSQL__DSN": settings.mysql.dsn.get_secret_value(),
        "COUPONRY_REDIS__CACHE": settings.redis.cache.get_secret_value(),
        "COUPONRY_REDIS__SALE": settings.redis.sale.get_secret_value(),
        "COUPONRY_REDIS__KEY_PREFIX": settings.redis.key_prefix,
    }


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "couponry", *arguments],
        env=_environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


class _Serving:
    """`couponry serve` under way; `address` is what its one line says."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "couponry", "serve", *arguments],
            env=_environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def address(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(127\.0\.0\.1:\d+|unix:\S+)", line)
        if found is None:
            self.process.kill()
            pytest.fail(f"no address in {line!r}: {self.process.communicate()[1][-2000:]}")
        return found.group(1)

    def end(self, sign: signal.Signals) -> tuple[int, str]:
        """Its exit status, and what else it said on standard output."""
        self.process.send_signal(sign)
        out, _ = self.process.communicate(timeout=60)
        return self.process.returncode, out


@pytest.fixture
def serving() -> Iterator[Callable[..., _Serving]]:
    """Starts services and ends what the test left."""
    started: list[_Serving] = []

    def start(*arguments: str, **variables: str) -> _Serving:
        started.append(_Serving(*arguments, **variables))
        return started[-1]

    yield start
    for service in started:
        if service.process.poll() is None:
            service.process.kill()
        service.process.communicate()


def _healthy(address: str) -> bool:
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        answer = check(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_dev_up_status_env_and_down(tmp_path: Path, repository: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "template").symlink_to(repository / ".couponry" / "template")
    option = ("--state", str(state))
    assert _run("dev", "status", *option).returncode == 1
    up = _run("dev", "up", *option)
    assert up.returncode == 0, up.stderr
    stack = DevStack(state)
    pids = [server.pid for server in stack.status()]
    assert None not in pids
    status = _run("dev", "status", *option)
    assert status.returncode == 0
    assert "mariadb" in status.stdout
    assert "redis" in status.stdout
    shell = subprocess.run(
        ["sh", "-c", f'eval "$("{sys.executable}" -m couponry dev env --state "{state}")" && env'],
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    for name, value in stack.environment().items():
        assert f"{name}={value}\n" in shell.stdout
    assert _run("dev", "down", *option).returncode == 0
    assert [pid for pid in pids if pid is not None and start_time(pid) is not None] == []


def test_migrate_brings_a_database_up_to_date_and_check_says_whether_it_is(empty_mysql_dsn: str) -> None:
    before = _run("migrate", "--check", COUPONRY_MYSQL__DSN=empty_mysql_dsn)
    assert before.returncode == 1
    assert before.stdout.startswith("missing ")
    first = _run("migrate", COUPONRY_MYSQL__DSN=empty_mysql_dsn)
    assert first.returncode == 0
    assert first.stdout.startswith("applied ")
    again = _run("migrate", COUPONRY_MYSQL__DSN=empty_mysql_dsn)
    assert again.stdout == "the schema is up to date\n"
    assert _run("migrate", "--check", COUPONRY_MYSQL__DSN=empty_mysql_dsn).returncode == 0


def test_serve_refuses_a_database_that_was_not_migrated(empty_mysql_dsn: str, redis_url: str) -> None:
    result = _run(
        "serve",
        COUPONRY_MYSQL__DSN=empty_mysql_dsn,
        COUPONRY_REDIS__CACHE=redis_url,
        COUPONRY_REDIS__SALE=redis_url,
    )
    assert result.returncode == 2
    assert "run `couponry migrate` first" in result.stderr


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_serve_tells_its_address_in_one_line_and_ends_in_order(
    settings: Settings, serving: Callable[..., _Serving], sign: signal.Signals
) -> None:
    service = serving("--listen", "127.0.0.1:0", **_stores(settings))
    assert _healthy(service.address())
    assert service.end(sign) == (0, "")


def test_serve_listens_on_a_unix_socket(settings: Settings, serving: Callable[..., _Serving], tmp_path: Path) -> None:
    service = serving("--listen", f"unix:{tmp_path}/s.sock", **_stores(settings))
    assert _healthy(service.address())


def test_a_port_that_is_taken_is_one_line_and_status_2(settings: Settings, serving: Callable[..., _Serving]) -> None:
    address = serving("--listen", "127.0.0.1:0", **_stores(settings)).address()
    result = _run("serve", "--listen", address, **_stores(settings))
    assert result.returncode == 2
    assert address in result.stderr
    assert "Traceback" not in result.stderr


def test_serve_waits_for_stores_when_told_to(
    tmp_path: Path, repository: Path, serving: Callable[..., _Serving]
) -> None:
    with DevStack(tmp_path / "state", template_dir=repository / ".couponry" / "template") as stack:
        assert _run("migrate", **stack.environment()).returncode == 0
        stack.stop_redis()
        service = serving("--wait", "--listen", "127.0.0.1:0", **stack.environment())
        assert service.process.stderr is not None
        assert "Redis does not answer" in service.process.stderr.readline()
        stack.start_redis()
        assert _healthy(service.address())
        assert service.end(signal.SIGTERM)[0] == 0


def test_several_workers_share_one_port_and_end_together(settings: Settings, serving: Callable[..., _Serving]) -> None:
    service = serving("--workers", "2", "--listen", "127.0.0.1:0", **_stores(settings))
    address = service.address()
    assert _healthy(address)
    workers = _children(service.process.pid)
    assert len(workers) == 2
    assert service.end(signal.SIGTERM) == (0, "")
    assert [pid for pid in workers if start_time(pid) is not None] == []


def test_each_of_several_workers_has_a_metrics_page(settings: Settings, serving: Callable[..., _Serving]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    stores = {**_stores(settings), "COUPONRY_METRICS__LISTEN": f"127.0.0.1:{port}"}
    serving("--workers", "2", "--listen", "127.0.0.1:0", **stores).address()
    for page in (port, port + 1):
        with urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", timeout=10) as answer:
            assert b"couponry_l1_entries" in answer.read()


def test_workers_end_when_their_supervisor_is_killed(settings: Settings, serving: Callable[..., _Serving]) -> None:
    service = serving("--workers", "2", "--listen", "127.0.0.1:0", **_stores(settings))
    assert _healthy(service.address())
    workers = _children(service.process.pid)
    assert len(workers) == 2
    service.process.kill()
    assert wait_until(lambda: all(start_time(pid) is None for pid in workers), 30)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_serve_dev_brings_its_own_stores_and_takes_them_along(
    tmp_path: Path, repository: Path, serving: Callable[..., _Serving], sign: signal.Signals
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "template").symlink_to(repository / ".couponry" / "template")
    service = serving("--dev", "--state", str(state), "--listen", "127.0.0.1:0")
    assert _healthy(service.address())
    pids = [PidFile(state / "run" / f"{name}.pid").running() for name in ("mariadb", "redis")]
    assert None not in pids
    service.end(sign)
    assert wait_until(lambda: all(pid is None or start_time(pid) is None for pid in pids), 30)


def _children(pid: int) -> list[int]:
    shown = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in shown.stdout.split()]
