"""`couponry cache`: what the caches of a running instance hold, why an entry is as it is, and how to empty them.

It talks to the admin socket of every worker of the instance (`admin.socket`), on the machine where it runs.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["cache"]

cache = typer.Typer(no_args_is_help=True, help="Look into the caches of a running instance, or empty them.")

_CANNOT_BEGIN: Final = 2
_DEVELOPMENT: Final = Path(".couponry/run/admin.sock")

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file of settings; `admin.socket` is read.")
]
SocketOption = Annotated[
    Path | None, typer.Option("--socket", metavar="PATH", help="The instance's admin socket, instead of the setting.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what the workers answered as JSON.")]


@cache.command()
def stats(config: ConfigOption = None, socket: SocketOption = None, as_json: JsonOption = False) -> None:
    """Show what each layer answered, what L1 holds, and how old the layers are."""
    answers = _ask_all(_sockets(config, socket), "stats")
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
        return
    console = Console(highlight=False)
    for name, answer in answers.items():
        console.print(f"[bold]{escape(name)}[/bold]: {escape(_ages(answer['ages']))}")
        console.print(_by_layer(answer["layers"]))
        console.print(_by_kind(answer["l1"]))
        for title, figures in answer["counts"].items():
            shown = ", ".join(f"{key} {_text(value)}" for key, value in sorted(figures.items()) if value)
            console.print(f"{escape(title)}: {escape(shown) or 'none'}")


@cache.command()
def inspect(
    entry: Annotated[str, typer.Argument(metavar="KIND:KEY", help="For example template:42 or user:anna.")],
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an entry is, with its rows, versions, floors, age and life, in L1 of every worker and in L2."""
    answers = _ask_all(_sockets(config, socket), "inspect", entry=entry)
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
        return
    table = Table("worker", "where", "what", "", title=escape(entry), title_justify="left")
    for name, answer in answers.items():
        for where, found in answer.items():
            for what, value in found.items():
                table.add_row(escape(name), escape(where), escape(what), escape(_text(value)))
    Console(highlight=False).print(table)


@cache.command()
def flush(
    what: Annotated[
        str | None, typer.Argument(metavar="[KIND | KIND:KEY]", help="A kind, or one entry; nothing: all of L1 and L2.")
    ] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Empty L1 of every worker, and L2, of everything, of a kind, or of one entry."""
    answers = _ask_all(_sockets(config, socket), "flush", what=what)
    if as_json:
        typer.echo(json.dumps(answers, indent=2))
        return
    for name, answer in answers.items():
        typer.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in answer.items()))


def _sockets(config: Path | None, given: Path | None) -> list[Path]:
    from couponry.admin.socket import workers_of  # noqa: PLC0415 - the command line starts fast
    from couponry.config import ConfigError, load  # noqa: PLC0415

    path = given
    if path is None:
        try:
            path = load(config).admin.socket
        except ConfigError as error:
            _refuse(str(error))
    found = workers_of(path or _DEVELOPMENT)
    if not found:
        where = path or f"{_DEVELOPMENT} (admin.socket is not set)"
        _refuse(f"no running instance has its admin socket at {where}")
    return found


def _ask_all(sockets: Sequence[Path], do: str, **values: Any) -> dict[str, Any]:
    from couponry.admin.socket import Refused, ask  # noqa: PLC0415

    try:
        return {f"worker {number}": ask(path, do, **values) for number, path in enumerate(sockets)}
    except Refused as error:
        _refuse(str(error))


def _refuse(text: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True, highlight=False).print(f"[red]{escape(text)}[/red]")
    raise typer.Exit(_CANNOT_BEGIN)


def _ages(ages: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in ages.items())


def _by_layer(layers: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table("entry", title="Keys answered by each layer", title_justify="left")
    columns = ("l1", "l2", "l3", "loader_calls")
    for name in ("L1", "L2 Redis", "L3 MySQL", "SELECTs", "L1 share"):
        table.add_column(name, justify="right")
    for kind, counts in sorted(layers.items()):
        total = sum(counts[name] for name in ("l1", "l2", "l3"))
        share = f"{counts['l1'] / total:.1%}" if total else "-"
        table.add_row(escape(kind), *(f"{counts[name]:,}" for name in columns), share)
    return table


def _by_kind(held: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a figure, where any kind has one."""
    kinds = sorted(held)
    table = Table("L1", title="L1 since the start, and now", title_justify="left")
    for kind in kinds:
        table.add_column(escape(kind), justify="right")
    for name in sorted({name for counts in held.values() for name in counts}):
        values = [held[kind].get(name, 0) for kind in kinds]
        if any(values):
            table.add_row(escape(name), *(_text(value) for value in values))
    return table


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value)
