"""gRPC's own interoperability clients, grpc-go's and grpc-java's, against the test service."""

import os
import subprocess
from collections.abc import Sequence

from tests.conformance import tools
from tests.conformance.harness import Report, Server

__all__ = ["run_go", "run_java"]

_BOTH = (
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "pick_first_unary",
)
_ONLY_GO = ("rpc_soak", "channel_soak")
_ONLY_JAVA = (
    "client_compressed_unary",
    "server_compressed_unary",
    "client_compressed_streaming",
    "server_compressed_streaming",
)
# grpc.aio's context does not tell whether a message came compressed.
_BEYOND_REFERENCE = frozenset({"client_compressed_unary", "client_compressed_streaming"})
_SECONDS = 60


def run_go(server: Server, report: Report) -> None:
    try:
        client = str(tools.go_tool("interop"))
    except tools.Missing as missing:
        report.skip("grpc-go interop", str(missing), "17 of 17")
        return
    address = ("-server_host=127.0.0.1", f"-server_port={server.port}")
    _run_cases(server, report, "grpc-go", (client, *address), "-test_case=", (*_BOTH, *_ONLY_GO))


def run_java(server: Server, report: Report) -> None:
    try:
        path = tools.java_interop()
    except tools.Missing as missing:
        report.skip("grpc-java interop", str(missing), "19 of 19")
        return
    # Nineteen short lives: the JVM's first compiler is enough.
    java = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", path, tools.JAVA_INTEROP_MAIN)
    address = ("--server_host=127.0.0.1", f"--server_port={server.port}", "--use_tls=false")
    _run_cases(server, report, "grpc-java", (*java, *address), "--test_case=", (*_BOTH, *_ONLY_JAVA))


def _run_cases(
    server: Server, report: Report, client: str, command: Sequence[str], option: str, cases: Sequence[str]
) -> None:
    failed: dict[str, str] = {}
    for case in cases:
        error = _run_case((*command, f"{option}{case}"))
        if error is not None:
            failed[case] = error
    expected = _BEYOND_REFERENCE if server.frontend == "reference" else frozenset()
    passed = len(cases) - len(failed)
    bar = len([case for case in cases if case not in expected])
    names = f" (failed: {', '.join(failed)})" if failed else ""
    report.add(
        f"{client} interop", f"{passed} of {len(cases)}{names}", f"{bar} of {len(cases)}", failed.keys() <= expected
    )
    for case, error in failed.items():
        if case not in expected:
            print(f"           {case}: {error}", flush=True)


def _run_case(command: Sequence[str]) -> str | None:
    """None, or the end of what the client said."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"GRPC_GO_LOG_SEVERITY_LEVEL": "error"},
        )
    except subprocess.TimeoutExpired:
        return f"no end within {_SECONDS} s"
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip())[-600:]
