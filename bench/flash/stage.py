"""What a run of the flash sale's benchmark needs: stores of its own, the service as a process, load, and the books.

After every run the books are checked: wins told = stock gone = winners in Redis = rows, no number twice. A run whose
books are wrong is void.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
import redis

from couponry.client import Client
from couponry.clock import to_timestamp
from couponry.config import parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.flash_sale.wire import Place
from couponry.store import migrations
from couponry.v1 import flash_sale_pb2, template_pb2
from tests.conformance import tools

__all__ = ["PARTICIPATE", "RECEIVE", "Books", "Load", "Service", "Shop", "Wrong", "opened_shop"]

PARTICIPATE = "/couponry.v1.FlashSaleService/Participate"
RECEIVE = "/couponry.v1.CouponService/ReceiveCoupon"
_REPOSITORY = Path(__file__).resolve().parents[2]
_TICKS = os.sysconf("SC_CLK_TCK")
_START_S = 30
_STOP_S = 60
_STUCK_S = 30.0
_TOTAL = 100_000_000


class Wrong(Exception):
    """The books are wrong, or the service did not answer: the run is void."""


@dataclass(frozen=True, slots=True)
class Load:
    """How calls are made: connections, streams of each, calls a second (None: as fast as answers come), seconds."""

    seconds: float
    rate: float | None = None
    connections: int = 8
    streams: int = 512
    warmup: float = 1.0
    start_at: float | None = None
    requests: int | None = None

    def options(self) -> list[str]:
        """As the load generator takes them."""
        rate = [] if self.rate is None else ["--rate", str(self.rate)]
        times = ["--duration", str(self.seconds), "--warmup", str(self.warmup)]
        begin = [] if self.start_at is None else ["--start-at", str(self.start_at)]
        most = [] if self.requests is None else ["--requests", str(self.requests)]
        return ["-c", str(self.connections), "-m", str(self.streams), *times, *rate, *begin, *most]

    @property
    def calls(self) -> int:
        """More than will be made."""
        return int((self.seconds + self.warmup + 2) * (self.rate or 400_000))


@dataclass(frozen=True, slots=True)
class Books:
    """What one activity has sold, by every book."""

    told: int
    gone: int
    winners: int
    rows: int
    numbers: int

    def check(self) -> None:
        """Raises Wrong unless all of them say the same."""
        if len({self.told, self.gone, self.winners, self.rows, self.numbers}) > 1:
            raise Wrong(
                f"told {self.told}, stock gone {self.gone}, winners {self.winners}, rows {self.rows}, "
                f"numbers {self.numbers}"
            )


class Service:
    """`couponry serve` on a free port; `settings` are variables without their prefix."""

    def __init__(self, stack: DevStack, log: Path, settings: Mapping[str, str]) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COUPONRY_")},
            **stack.environment(),
            "COUPONRY_SERVER__LISTEN": "127.0.0.1:0",
            "COUPONRY_LOG__LEVEL": "warning",
            **{f"COUPONRY_{name}": value for name, value in settings.items()},
        }
        self._log = log
        self._process: subprocess.Popen[str] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "couponry", "serve"),
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "serves on" not in line:
            self.__exit__(None, None, None)
            raise Wrong(f"the service did not start: {self._log.read_text('utf-8')[-600:]}")
        self.address = line.rsplit(" ", 1)[1].strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return cpu_seconds(self.pid)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass(frozen=True, slots=True)
class Shop:
    """Private stores with a schema, in a folder of their own."""

    stack: DevStack
    folder: Path

    def service(self, **settings: str) -> Service:
        """A service over the stores."""
        return Service(self.stack, self.folder / "service.log", settings)

    def redis(self) -> "redis.Redis":
        """A plain client."""
        return redis.Redis.from_url(self.stack.redis_url)

    def redis_cpu_seconds(self) -> float:
        """Processor time of Redis so far."""
        with self.redis() as client:
            return cpu_seconds(int(client.info("server")["process_id"]))

    def query(self, sql: str, *args: object) -> int:
        """The one number of a statement."""
        address = parse_mysql_dsn(self.stack.mysql_dsn())
        connection = pymysql.connect(
            unix_socket=address.unix_socket, user=address.user, database=address.database, autocommit=True
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            row = cursor.fetchone()
        return int(row[0] or 0) if row else 0

    def sold(self, activity_id: int) -> int:
        """Wins that are rows."""
        return self.query("SELECT COALESCE(SUM(sold), 0) FROM activity_progress WHERE activity_id = %s", activity_id)

    def left(self, activity_id: int) -> int:
        """Stock left, by Redis."""
        with self.redis() as client:
            return int(client.hget(Place(activity_id).names()[0], "left") or 0)

    def drain(self, activity_id: int, wins: int) -> float:
        """Waits until all wins are rows; wins a second. Raises Wrong where nothing moves any more."""
        began, before = time.monotonic(), self.sold(activity_id)
        sold, moved = before, began
        while sold < wins:
            now, last = time.monotonic(), sold
            sold = self.sold(activity_id)
            if sold > last:
                moved = now
            elif now - moved > _STUCK_S:
                raise Wrong(f"{sold} of {wins} wins are rows, and no more come")
            time.sleep(0.05)
        return (sold - before) / max(time.monotonic() - began, 1e-9)

    def books(self, activity_id: int, *, stock: int, told: int) -> Books:
        """What every book says; one user wins once."""
        with self.redis() as client:
            winners = client.hlen(Place(activity_id).names()[1])
        rows = self.query("SELECT COUNT(*) FROM user_coupons WHERE activity_id = %s", activity_id)
        numbers = self.query("SELECT COUNT(DISTINCT number) FROM user_coupons WHERE activity_id = %s", activity_id)
        return Books(told, stock - self.left(activity_id), int(winners), rows, numbers)

    def audit(self, activity_id: int) -> None:
        """Raises Wrong where an equation of `couponry audit` fails."""
        done = subprocess.run(
            (sys.executable, "-m", "couponry", "audit", str(activity_id)),
            # It counts in one script, a second or so a million winners.
            env={**os.environ, **self.stack.environment(), "COUPONRY_REDIS__COMMAND_TIMEOUT_S": "60"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Wrong(f"the audit fails: {(done.stdout + done.stderr)[-1500:]}")


@contextmanager
def opened_shop() -> Iterator[Shop]:
    """New stores; gone at the end."""
    with (
        tempfile.TemporaryDirectory(prefix="flash-") as folder,
        DevStack(Path(folder), template_dir=_REPOSITORY / ".couponry" / "template") as stack,
    ):
        migrations.upgrade(stack.mysql_dsn())
        yield Shop(stack, Path(folder))


def create_templates(service: Service, count: int = 1) -> list[int]:
    """Templates that anybody may receive once."""

    async def create() -> list[int]:
        now = datetime.now(UTC)
        async with Client(service.address, timeout_s=30) as client:
            created = []
            for number in range(count):
                spec = template_pb2.TemplateSpec(
                    name=f"50 off, number {number}",
                    total=_TOTAL,
                    valid_from=to_timestamp(now - timedelta(hours=1)),
                    valid_until=to_timestamp(now + timedelta(days=30)),
                    terms=template_pb2.Terms(
                        kind=template_pb2.KIND_THRESHOLD_OFF,
                        coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
                        currency="CNY",
                        min_spend=300_00,
                        amount_off=50_00,
                    ),
                )
                request = template_pb2.CreateTemplateRequest(spec=spec)
                created.append((await client.templates.CreateTemplate(request)).template.template_id)
            return created

    return asyncio.run(create())


def create_activity(
    service: Service, stock: int, *, start: datetime | None = None, ack: flash_sale_pb2.Ack = flash_sale_pb2.ACK_REDIS
) -> int:
    """An activity of one win a user."""
    [template_id] = create_templates(service)

    async def create() -> int:
        now = datetime.now(UTC)
        spec = flash_sale_pb2.ActivitySpec(
            name="noon",
            template_id=template_id,
            stock=stock,
            per_user_limit=1,
            start_at=to_timestamp(start or now - timedelta(seconds=1)),
            end_at=to_timestamp(now + timedelta(hours=1)),
            ack=ack,
        )
        async with Client(service.address, timeout_s=30) as client:
            created = await client.flash_sales.CreateActivity(flash_sale_pb2.CreateActivityRequest(spec=spec))
            activity_id = created.activity.activity_id
            # The first claim opens the activity; its user wins nothing that is counted.
            await client.flash_sales.GetStock(flash_sale_pb2.GetStockRequest(activity_id=activity_id))
            return activity_id

    return asyncio.run(create())


def claims(activity_id: int, users: int, *, first: int = 1) -> list[str]:
    """Options of the load generator: each call is another user's."""
    last = first + users
    return [
        "--field",
        f"1=int:{activity_id}..{activity_id}",
        "--field",
        f"2=text:user-{{}}:{first}..{last}",
        "--field",
        f"3=text:request-{{}}:{first}..{last}",
        "--count-kinds",
    ]


def start_load(service: Service, path: str, load: Load, options: list[str]) -> "subprocess.Popen[str]":
    """The load generator, running."""
    command = (str(tools.loadgen()), service.address, path, *load.options(), *options)
    return subprocess.Popen(
        (*command, "--server-pid", str(service.pid)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def end_load(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Its report. Raises Wrong where a call failed."""
    out, errors = process.communicate()
    if process.returncode:
        raise Wrong(f"not every call was answered: {(errors or out)[-800:]}")
    report: dict[str, Any] = json.loads(out)
    return report
