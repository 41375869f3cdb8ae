"""The `couponry` command. Errors are one red line; what a command needs is imported when it runs.

Exit status: 0 done, 1 a check failed, 2 it could not begin (settings, stores, arguments).
"""

import json
import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from couponry.admin.command import cache
from couponry.replay.command import replay

if TYPE_CHECKING:
    from couponry.config import Settings
    from couponry.devstack import DevStack
    from couponry.flash_sale.report import Report

_FAILED = 1
_CANNOT_BEGIN = 2
_STATE = Path(".couponry")

app = typer.Typer(
    name="couponry",
    help="Coupons and flash sales over gRPC, on MySQL (or MariaDB) and Redis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
dev = typer.Typer(no_args_is_help=True, help="Private MariaDB and Redis for development, on unix sockets.")
app.add_typer(dev, name="dev")
app.add_typer(cache, name="cache")
app.command()(replay)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file of settings (docs/configuration.md lists the keys)."),
]
StateOption = Annotated[
    Path, typer.Option("--state", metavar="DIR", help="Where the private stores keep data, sockets and logs.")
]


class _Refused(Exception):
    """A command that cannot go on; the text is for the person who typed it."""

    def __init__(self, text: str, status: int = _CANNOT_BEGIN) -> None:
        super().__init__(text)
        self.status = status


def main() -> NoReturn:
    """The entry point: runs the command and turns every error into one red line."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except _Refused as error:
        _red(str(error))
        sys.exit(error.status)
    except Exception as error:
        if os.environ.get("PYTHONDEVMODE") or sys.flags.dev_mode:
            raise
        _red(f"{type(error).__name__}: {error} (python -X dev -m couponry … shows where)")
        sys.exit(_FAILED)
    sys.exit(0)


def _red(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[red]{escape(text)}[/red]")


@contextmanager
def _as_refusals() -> Iterator[None]:
    """What a person can mend, as a refusal: settings and the private stores."""
    from couponry.config import ConfigError
    from couponry.devstack import DevStackError

    try:
        yield
    except (ConfigError, DevStackError) as error:
        raise _Refused(str(error)) from None


def _load(config: Path | None, overrides: dict[str, Any]) -> "Settings":
    from couponry import config as configuration

    with _as_refusals():
        return configuration.load(config, {key: value for key, value in overrides.items() if value is not None})


def _refuse_unusable(settings: "Settings", *, wait: bool) -> None:
    from couponry import preflight

    if wait:
        preflight.wait(settings, _red)
    elif problems := list(preflight.problems(settings)):
        raise _Refused("\n".join(problems))


def _refuse_old_schema(settings: "Settings") -> None:
    from couponry.store import migrations

    if missing := migrations.pending(settings.mysql.dsn.get_secret_value()):
        raise _Refused(f"the database lacks {len(missing)} migration(s): run `couponry migrate` first")


def _drain_when_stdin_ends() -> None:
    """A worker's watch on its supervisor: the pipe closes when that is gone, in whatever way."""

    def watch() -> None:
        while os.read(0, 4096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()


def _ready(line: str) -> None:
    print(line, flush=True)


@app.command()
def serve(
    config: ConfigOption = None,
    use_private_stores: Annotated[
        bool, typer.Option("--dev", help="Start private MariaDB and Redis in --state and migrate first.")
    ] = False,
    state: StateOption = _STATE,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|unix:PATH", help="Address of the gRPC port (server.listen).")
    ] = None,
    frontend: Annotated[
        str | None, typer.Option(metavar="native|reference", help="What speaks HTTP/2 (server.frontend).")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that share the port (server.workers).")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until MySQL and Redis answer.")] = False,
    worker: Annotated[bool, typer.Option("--worker", hidden=True)] = False,
) -> None:
    """Run the service until SIGTERM or Ctrl-C, which drain it.

    Prints one line with the address on standard output when it is ready; the log goes to standard error.
    """
    overrides: dict[str, Any] = {"server.listen": listen, "server.frontend": frontend, "server.workers": workers}
    with ExitStack() as ending, _as_refusals():
        if use_private_stores:
            private = ending.enter_context(_private_stores(state))
            overrides |= {
                "mysql.dsn": private.mysql_dsn(),
                "redis.cache": private.redis_url,
                "redis.sale": private.redis_url,
                "admin.socket": private.socket("admin"),
            }
        settings = _load(config, overrides)
        _refuse_unusable(settings, wait=wait)
        if use_private_stores:
            _migrate(settings)
        _refuse_old_schema(settings)
        from couponry import logging

        logging.setup(settings.log)
        if settings.server.workers > 1 and not worker:
            _serve_with_workers(settings, config)
        else:
            if worker:
                _drain_when_stdin_ends()
            _serve_here(settings)


def _private_stores(state: Path) -> "DevStack":
    from couponry.devstack import DevStack

    # SIGTERM before the service has its own handler must end the stores too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return DevStack(state)


def _serve_here(settings: "Settings") -> None:
    import uvloop

    from couponry.app import serve as serve_app

    try:
        uvloop.run(serve_app(settings, ready=_ready))
    except OSError as error:
        raise _Refused(f"cannot listen on {settings.server.listen}: {error.strerror or error}") from None


def _serve_with_workers(settings: "Settings", config: Path | None) -> None:
    import asyncio

    from couponry.config import parse_listen
    from couponry.supervisor import Supervisor, WorkerFailed, reserve, worker_command

    address = parse_listen(settings.server.listen)
    if address.path:
        raise _Refused("several workers share a port, not a unix socket: use HOST:PORT or one worker")
    try:
        held, address = reserve(address)
    except OSError as error:
        raise _Refused(f"cannot listen on {address}: {error.strerror}") from None
    # Secrets travel in the environment, which other users cannot read; a command line they can.
    environment = {
        **os.environ,
        "COUPONRY_SERVER__LISTEN": str(address),
        "COUPONRY_SERVER__FRONTEND": settings.server.frontend,
        "COUPONRY_SERVER__WORKERS": str(settings.server.workers),
        "COUPONRY_MYSQL__DSN": settings.mysql.dsn.get_secret_value(),
        "COUPONRY_REDIS__CACHE": settings.redis.cache.get_secret_value(),
        "COUPONRY_REDIS__SALE": settings.redis.sale.get_secret_value(),
    }
    arguments = [] if config is None else ["--config", str(config)]
    supervisor = Supervisor(
        command=worker_command(arguments),
        environments=[
            {**environment, **_metrics_of_worker(settings, index), **_admin_of_worker(settings, index)}
            for index in range(settings.server.workers)
        ],
        drain_timeout_s=settings.server.drain_timeout_s,
        ready=_ready,
    )
    with held:
        try:
            asyncio.run(supervisor.run())
        except WorkerFailed as failure:
            raise _Refused(str(failure)) from None


def _metrics_of_worker(settings: "Settings", index: int) -> dict[str, str]:
    """Each worker has a page of its own, on the next port: a shared one would show any worker's figures."""
    from couponry.config import ListenAddress, parse_listen

    if settings.metrics.listen is None:
        return {}
    first = parse_listen(settings.metrics.listen)
    port = first.port + index if first.port else 0
    return {"COUPONRY_METRICS__LISTEN": str(ListenAddress(first.host, port))}


def _admin_of_worker(settings: "Settings", index: int) -> dict[str, str]:
    from couponry.admin.socket import of_worker

    if settings.admin.socket is None:
        return {}
    return {"COUPONRY_ADMIN__SOCKET": str(of_worker(settings.admin.socket, index))}


def _migrate(settings: "Settings") -> list[str]:
    from couponry.store import migrations

    dsn = settings.mysql.dsn.get_secret_value()
    missing = migrations.pending(dsn)
    if missing:
        migrations.upgrade(dsn)
    return missing


@app.command()
def migrate(
    config: ConfigOption = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit 1 if migrations are missing.")] = False,
) -> None:
    """Bring the database's schema up to date."""
    from couponry import preflight
    from couponry.store import migrations

    settings = _load(config, {})
    if (problem := preflight.mysql_problem(settings)) is not None:
        raise _Refused(problem)
    if not check:
        applied = _migrate(settings)
        for name in applied:
            typer.echo(f"applied {name}")
        typer.echo("the schema is up to date")
        return
    missing = migrations.pending(settings.mysql.dsn.get_secret_value())
    for name in missing:
        typer.echo(f"missing {name}")
    if missing:
        raise _Refused(f"{len(missing)} migration(s) missing: run `couponry migrate`", _FAILED)
    typer.echo("the schema is up to date")


@app.command()
def demo(state: StateOption = _STATE / "demo") -> None:
    """A flash sale from the first template to the last coupon, on private stores, with a report."""
    from couponry.demo import run

    with _as_refusals():
        holds = run(state, Console(highlight=False))
    if not holds:
        raise typer.Exit(_FAILED)


@app.command()
def doctor(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for wrong settings of MySQL and Redis; exit 1 where one would cost coupons."""
    from dataclasses import asdict

    from couponry.doctor import State, examine

    findings = examine(_load(config, {}))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table("store", "check", "state", "found", "to do", box=None, pad_edge=False)
        colours = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red"}
        for finding in findings:
            cells = (finding.store, finding.check, finding.state.value, finding.found, finding.advice)
            colour = colours[finding.state]
            table.add_row(
                *(f"[{colour}]{escape(cell)}[/{colour}]" if i == 2 else escape(cell) for i, cell in enumerate(cells))
            )
        Console(highlight=False).print(table)
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(_FAILED)


@app.command()
def audit(
    activity_ids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[ACTIVITY]...", help="Ids of activities; none: all that are not settled.", min=1),
    ] = None,
    config: ConfigOption = None,
    every: Annotated[bool, typer.Option("--all", help="Settled activities too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the equations as JSON.")] = False,
) -> None:
    """Compare the sums of flash sales and of orders' ledgers; exit 1 where an equation does not hold.

    Redis counts each activity in one script and does nothing else meanwhile, about a second a million winners.
    """
    import asyncio

    from couponry import logging
    from couponry.errors import CouponryError

    settings = _load(config, {})
    _refuse_unusable(settings, wait=False)
    _refuse_old_schema(settings)
    logging.setup(settings.log)
    try:
        report = asyncio.run(_audit(settings, activity_ids or [], every=every))
    except CouponryError as error:
        raise _Refused(error.text) from None
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        report.show(Console(highlight=False))
    if not report.holds:
        raise typer.Exit(_FAILED)


async def _audit(settings: "Settings", activity_ids: list[int], *, every: bool) -> "Report":
    from couponry.app import opened
    from couponry.errors import NotFound
    from couponry.flash_sale.report import Report

    async with opened(settings) as parts:
        asked = activity_ids or await parts.audit.activities(settled=every)
        found = {}
        for activity_id in asked:
            try:
                found[activity_id] = await parts.audit.audit(activity_id)
            except NotFound:
                raise _Refused(f"there is no activity {activity_id}") from None
        return Report(found, () if activity_ids else await parts.audit.ledgers())


@app.command()
def version() -> None:
    """Print the versions of Couponry, Python and the platform."""
    typer.echo(f"couponry {installed_version('couponry')} (Python {platform.python_version()}, {platform.platform()})")


@dev.command()
def up(state: StateOption = _STATE) -> None:
    """Start both stores and leave them running; `dev down` ends them."""
    from couponry.devstack import DevStack

    with _as_refusals():
        stack = DevStack(state)
        stack.up(detached=True)
        _show(stack)


@dev.command()
def down(state: StateOption = _STATE) -> None:
    """End both stores; their data stays."""
    from couponry.devstack import DevStack

    with _as_refusals():
        DevStack(state).down()


@dev.command()
def status(state: StateOption = _STATE) -> None:
    """Show both stores; exit 1 unless both answer."""
    from couponry.devstack import DevStack

    stack = DevStack(state)
    _show(stack)
    if any(server.version is None for server in stack.status()):
        raise typer.Exit(_FAILED)


def _show(stack: "DevStack") -> None:
    table = Table("store", "pid", "version", "socket", "log", box=None, pad_edge=False)
    for server in stack.status():
        shown = (str(server.pid), server.version or "does not answer") if server.pid else ("-", "down")
        table.add_row(server.name, *shown, str(server.socket), str(server.log))
    Console(highlight=False, soft_wrap=True).print(table)


@dev.command()
def env(state: StateOption = _STATE) -> None:
    """Print the variables that point Couponry at the stores: eval "$(couponry dev env)"."""
    import shlex

    from couponry.devstack import DevStack

    for name, value in DevStack(state).environment().items():
        typer.echo(f"export {name}={shlex.quote(value)}")
