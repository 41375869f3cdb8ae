"""Where one private stack keeps its files.

Sockets stand in the state folder unless their paths would be too long for the kernel; then in a
folder under the system's temporary one, whose name follows from the state folder.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from couponry.config.addresses import UNIX_PATH_LIMIT
from couponry.devstack.errors import DevStackError

_LONGEST_SOCKET = "mariadb.sock"


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of a stack; `state` is absolute."""

    state: Path
    templates: Path

    @property
    def sockets(self) -> Path:
        """The folder of the sockets."""
        inside = self.state / "run"
        if len(os.fsencode(inside / _LONGEST_SOCKET)) <= UNIX_PATH_LIMIT:
            return inside
        digest = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"couponry-{os.geteuid()}-{digest}"

    def make(self) -> None:
        """Makes the folders, closed to other users."""
        for folder in (self.state, self.state / "run", self.state / "log", self.sockets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In a shared temporary folder somebody else may have been there first.
        if self.sockets.is_symlink() or self.sockets.stat().st_uid != os.geteuid():
            raise DevStackError(f"{self.sockets} belongs to another user")
        ignore = self.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def socket(self, name: str) -> Path:
        """The socket of a server."""
        return self.sockets / f"{name}.sock"

    def pid_file(self, name: str) -> Path:
        """The pid file of a server."""
        return self.state / "run" / f"{name}.pid"

    def log(self, name: str) -> Path:
        """The log of a server."""
        return self.state / "log" / f"{name}.log"

    def data(self, name: str) -> Path:
        """The data directory of a server."""
        return self.state / name
