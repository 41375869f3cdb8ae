"""Where the servers' programs are. Debian keeps mariadbd outside of many a PATH."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from couponry.devstack.errors import MissingProgramError

_BESIDE_PATH = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/opt/homebrew/bin")


def find(names: tuple[str, ...], install: str) -> Path:
    """The first program of that name on PATH or where systems put servers."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_BESIDE_PATH))
    for name in names:
        if found := shutil.which(name, path=path):
            return Path(found)
    raise MissingProgramError(
        f"{' or '.join(names)} not found: install {install} "
        f"(Debian, Ubuntu: apt-get install {install}; a checkout: .ci/ensure-stores)"
    )


@dataclass(frozen=True, slots=True)
class MySqlPrograms:
    """The server and, for MariaDB, what makes its first data directory."""

    server: Path
    install: Path | None
    version: str


def mysql_programs() -> MySqlPrograms:
    """MariaDB's programs, else MySQL's. Raises MissingProgramError."""
    server = find(("mariadbd", "mysqld"), "mariadb-server")
    said = subprocess.run([server, "--no-defaults", "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"Ver (\S+)", said)
    install = find(("mariadb-install-db", "mysql_install_db"), "mariadb-server") if "MariaDB" in said else None
    return MySqlPrograms(server, install, version.group(1) if version else "unknown")


def redis_program() -> Path:
    """redis-server, else valkey-server. Raises MissingProgramError."""
    return find(("redis-server", "valkey-server"), "redis-server")
