"""The process that owns the private servers: when its owner is gone, so are they.

Run as a program with JSON lines on standard input and output. It starts what it is told to, as
its own children. Standard input at its end means that the owner is gone, in whatever way (Ctrl-C
between any two steps, kill -9), and everything is killed at once. `detach` leaves it running.

Why a process and not PR_SET_PDEATHSIG: that signal comes when the *thread* that started the child
ends, needs code between fork and exec in a process with threads, and is Linux only. A pipe closes
with its process, everywhere.
"""

import contextlib
import json
import os
import signal
import subprocess  # only the standard library: this file runs without the package
import sys
from typing import Any


def _start(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    with open(order["log"], "ab") as log:  # noqa: PTH123 - pathlib would double the start-up time
        return subprocess.Popen(
            order["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=order["cwd"],
            env=order["env"],
            start_new_session=True,
        )


def _kill(child: subprocess.Popen[bytes]) -> None:
    # The whole group: an installer is a shell script with children of its own.
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def main() -> None:
    """Serves orders until the owner detaches or is gone."""
    children: list[subprocess.Popen[bytes]] = []
    try:
        for line in sys.stdin:
            children = [child for child in children if child.poll() is None]
            order = json.loads(line)
            reply: dict[str, Any] = {}
            try:
                if order["do"] == "detach":
                    children = []
                else:
                    children.append(_start(order))
                    reply["pid"] = children[-1].pid
                    if order["do"] == "run":
                        reply["code"] = children[-1].wait()
            except OSError as error:
                reply["error"] = f"{order['argv'][0]}: {error.strerror}"
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        pass
    finally:
        for child in children:
            _kill(child)


if __name__ == "__main__":
    main()
