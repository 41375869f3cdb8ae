"""Clients that people use, over TCP, TLS and a unix socket: grpcio, grpcurl, ghz, h2load.

A client that only counts HTTP statuses would call an empty answer a success; the bytes are checked too.
"""

import asyncio
import json
import re
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.conformance import tools
from tests.conformance.harness import Report, Server
from tests.conformance.servicers import BARE_SERVICE

__all__ = ["run"]

_ECHO = f"/{BARE_SERVICE}/Echo"
_PROTO = Path(__file__).parent / "proto"
_MESSAGE = b"what is sent comes back" * 100
_CALLS = 2000
# More at once over TLS and grpc.aio's server begins to cancel calls of its own accord.
_AT_ONCE = 100


def run(server: Server, report: Report) -> None:
    checks: dict[str, Callable[[Server], str]] = {
        "grpcio, TCP": lambda s: _grpcio(grpc.insecure_channel(s.address)),
        "grpcio, TLS": lambda s: _grpcio(grpc.secure_channel(f"localhost:{s.tls_port}", _trust(s))),
        "grpcio, unix socket": lambda s: _grpcio(grpc.insecure_channel(f"unix:{s.unix}")),
        "grpc.aio, TCP": lambda s: asyncio.run(_grpcio_aio(s)),
        "grpcurl, reflection": _grpcurl_reflection,
        "grpcurl, TLS": _grpcurl_tls,
        "grpcurl, unix socket": _grpcurl_unix,
        "ghz": _ghz,
        "h2load": _h2load,
    }
    for what, check in checks.items():
        try:
            found, met = check(server), True
        except tools.Missing as missing:
            report.skip(what, str(missing))
            continue
        except (AssertionError, grpc.RpcError, subprocess.SubprocessError) as error:
            found, met = f"{type(error).__name__}: {error}"[:300], False
        report.add(what, found, "every answer right", met)


def _trust(server: Server) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(Path(server.tls_folder, "cert.pem").read_bytes())


def _grpcio(channel: grpc.Channel) -> str:
    with channel:
        call: Any = channel.unary_unary(_ECHO)
        for _ in range(100):
            assert call(_MESSAGE, timeout=5) == _MESSAGE
        for _ in range(_CALLS // _AT_ONCE):
            futures = [call.future(_MESSAGE, timeout=30) for _ in range(_AT_ONCE)]
            assert all(future.result() == _MESSAGE for future in futures)
    return f"{_CALLS + 100} calls"


async def _grpcio_aio(server: Server) -> str:
    async with grpc.aio.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary(_ECHO)
        answers = await asyncio.gather(*(call(_MESSAGE, timeout=60) for _ in range(_CALLS)))
        assert all(answer == _MESSAGE for answer in answers)
        stream: Any = channel.unary_stream(f"/{BARE_SERVICE}/Stream")
        assert [len(message) async for message in stream(b"5000 100")] == [100] * 5000
    return f"{_CALLS} calls at once, 5000 messages of a stream"


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.stderr or done.stdout)[-300:]
    return done.stdout


def _unary(target: str, *options: str) -> None:
    curl = str(tools.go_tool("grpcurl"))
    schema = ("-import-path", str(_PROTO), "-proto", "testing.proto")
    body = json.dumps({"responseSize": 9})
    answer = json.loads(_output(curl, *options, *schema, "-d", body, target, "grpc.testing.TestService/UnaryCall"))
    assert answer == {"payload": {"body": "AAAAAAAAAAAA"}}, answer


def _grpcurl_reflection(server: Server) -> str:
    curl = str(tools.go_tool("grpcurl"))
    listed = _output(curl, "-plaintext", server.address, "list").split()
    assert {"grpc.testing.TestService", "grpc.health.v1.Health"} <= set(listed), listed
    health = json.loads(_output(curl, "-plaintext", server.address, "grpc.health.v1.Health/Check"))
    assert health == {"status": "SERVING"}, health
    _unary(server.address, "-plaintext")
    return "list, describe by reflection, Check, UnaryCall"


def _grpcurl_tls(server: Server) -> str:
    _unary(f"localhost:{server.tls_port}", "-cacert", str(server.tls_folder / "cert.pem"))
    return "UnaryCall"


def _grpcurl_unix(server: Server) -> str:
    _unary(f"unix://{server.unix}", "-plaintext")
    return "UnaryCall"


def _ghz(server: Server) -> str:
    program = str(tools.go_tool("ghz"))
    load = ("-n", "20000", "-c", "50", "--connections", "5", "-d", '{"responseSize": 100}', "-O", "json")
    schema = ("-i", str(_PROTO), "--proto", "testing.proto", "--call", "grpc.testing.TestService/UnaryCall")
    result = json.loads(_output(program, "--insecure", *schema, *load, server.address))
    assert result["statusCodeDistribution"] == {"OK": 20000}, result["statusCodeDistribution"]
    return f"20000 calls OK, {result['rps']:.0f} a second"


def _h2load(server: Server) -> str:
    program = tools.h2load()
    calls = 50_000
    with tempfile.NamedTemporaryFile() as body:
        body.write(struct.pack(">BI", 0, len(_MESSAGE)) + _MESSAGE)
        body.flush()
        headers = ("-H", "content-type: application/grpc", "-H", "te: trailers")
        load = ("-n", str(calls), "-c", "8", "-m", "32", "-d", body.name)
        text = _output(program, *load, *headers, f"http://{server.address}{_ECHO}")
    done = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", text)
    data = re.search(r"\((\d+)\) data", text)
    rate = re.search(r"([\d.]+) req/s", text)
    assert done, text
    assert data, text
    assert rate, text
    assert done.groups() == (str(calls), "0", "0"), done.group()
    wanted = calls * (len(_MESSAGE) + 5)
    assert int(data[1]) == wanted, f"{data[1]} bytes of data, not {wanted}"
    return f"{calls} calls, {wanted} bytes, {rate[1]} a second"
