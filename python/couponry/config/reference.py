"""docs/configuration.md, made from the tree of settings."""

from typing import get_args

from annotated_types import Ge, Le, MaxLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from couponry.config.reading import keys

_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_bytes": "bytes", "_percent": "percent"}


def _limits(info: FieldInfo) -> str:
    low = next((str(m.ge) for m in info.metadata if isinstance(m, Ge)), None)
    high = next((str(m.le) for m in info.metadata if isinstance(m, Le)), None)
    longest = next((m.max_length for m in info.metadata if isinstance(m, MaxLen)), None)
    values = [v for v in get_args(info.annotation) if isinstance(v, str)]
    if values:
        return " or ".join(f"`{value}`" for value in values)
    if info.annotation is bool:
        return "`true` or `false`"
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"at most {longest} characters" if longest is not None else ""


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default.get_secret_value() if isinstance(info.default, SecretStr) else info.default
    if value is None:
        return "absent"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def reference() -> str:
    """docs/configuration.md, made from the tree."""
    lines = [
        "# Configuration",
        "",
        "<!-- Made by `make docs` from python/couponry/config.py; change it there. -->",
        "",
        "`couponry serve --config couponry.toml` reads a TOML file; without `--config`, the file",
        "that `COUPONRY_CONFIG` names. A variable of the environment wins over the file, an option",
        "of the command line over both. The variable of `section.key` is `COUPONRY_SECTION__KEY`,",
        "as in `COUPONRY_MYSQL__POOL_MAX`. A key that is not on this page is an error.",
    ]
    section: type[BaseModel] | None = None
    for key in keys():
        if key.section is not section:
            section = key.section
            title = key.name.rpartition(".")[0]
            lines += ["", f"## [{title}]", "", (section.__doc__ or "").strip(), ""]
            lines += [
                "| key | default | unit | limits | meaning |",
                "| --- | --- | --- | --- | --- |",
            ]
        name = key.name.rpartition(".")[2]
        unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
        cells = (f"`{name}`", _default(key.info), unit, _limits(key.info), key.info.description)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"
