"""Reading settings: a TOML file, then the environment, then options of the command line.

`load` is the only reader. A key that the tree does not have is an error, wherever it stands.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from couponry.config.tree import ENV_PREFIX, NESTING, Settings

CONFIG_VARIABLE = "COUPONRY_CONFIG"


class ConfigError(Exception):
    """Settings that cannot be used. The text names every wrong key, one a line, and no secret."""


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads the file (else the one COUPONRY_CONFIG names), then the environment, then `overrides`.

    The later one wins, key by key. `overrides` is keyed by dotted names, as in "server.listen".
    Raises ConfigError.
    """
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path = Path(os.environ[CONFIG_VARIABLE])
    tree = {} if path is None else _read_file(path)
    problems = [*_unknown_in_file(tree), *_unknown_in_environment()]
    if problems:
        raise ConfigError("\n".join(problems))
    _merge(tree, EnvSettingsSource(Settings)())
    for name, value in (overrides or {}).items():
        section, key = name.split(".")
        _merge(tree, {section: {key: value}})
    try:
        return Settings(**tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(error))) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"])
        yield f"{name}: {problem['msg'].removeprefix('Value error, ')}"


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the tree: what the reference page says of it, and what errors compare with."""

    name: str
    section: type[BaseModel]
    info: FieldInfo

    @property
    def variable(self) -> str:
        return ENV_PREFIX + self.name.replace(".", NESTING).upper()


def _model_of(info: FieldInfo) -> type[BaseModel] | None:
    candidates = (info.annotation, *get_args(info.annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[Key]:
    """Every key of the tree, in the order of the reference page."""
    for name, info in model.model_fields.items():
        nested = _model_of(info)
        if nested is None:
            yield Key(prefix + name, model, info)
        else:
            yield from keys(nested, f"{prefix}{name}.")


def _names() -> tuple[set[str], set[str]]:
    """The dotted names of all keys, and of all sections."""
    leaves = {key.name for key in keys()}
    sections: set[str] = set()
    for leaf in leaves:
        parts = leaf.split(".")
        sections.update(".".join(parts[:depth]) for depth in range(1, len(parts)))
    return leaves, sections


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {close[0]}?" if close else ""


def _unknown_in_file(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    leaves, sections = _names()
    for key, value in tree.items():
        name = prefix + key
        if name in sections:
            if isinstance(value, Mapping):
                yield from _unknown_in_file(value, f"{name}.")
            else:
                yield f"{name}: is a section, written [{name}]"
        elif name not in leaves:
            inside = [n for n in (leaves | sections) if n.startswith(prefix)] or list(leaves)
            yield f"{name}: unknown key{_nearest(name, sorted(inside))}"


def _unknown_in_environment() -> Iterator[str]:
    known = {key.variable for key in keys()}
    for variable in sorted(os.environ):
        upper = variable.upper()
        if upper.startswith(ENV_PREFIX) and upper != CONFIG_VARIABLE and upper not in known:
            yield f"{variable}: unknown variable{_nearest(upper, sorted(known))}"
