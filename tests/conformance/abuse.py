"""Peers that mean harm, one kind after the other, each against a server of its own.

After each: calls on another connection are answered all the time, the server has not grown by more than 10 MB, and the
offender is gone within its deadline. "Gone" is what the server's open files say, not what the offender sees: a peer
that never reads is not told.
Run: `python -m tests.conformance.abuse [--frontend native|reference] [part of a name …]`.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.conformance.harness import Report, Server, running
from tests.conformance.offender import CutOff, Offender, frame, message
from tests.conformance.servicers import BARE_SERVICE

Call: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"

_MEGABYTE = 1 << 20
_MOST_GROWTH = 10 * _MEGABYTE
# What one connection may cost that does nothing; peers that only come in numbers are held to it.
_IDLE_CONNECTION = 40 * 1024
_SLOWEST_CALL = 1.0
_INITIAL_WINDOW_SIZE = 4
_CANCEL = 8


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    # Seconds after the attack's first byte by which the server is rid of the peer.
    deadline: float
    attack: Callable[[Server, float], None]
    growth: int = _MOST_GROWTH
    options: tuple[str, ...] = ()


# Floods: what fits in a batch is sent as often as the server takes it.


def _flood(make: Callable[[Offender], bytes], *, reads: bool) -> Callable[[Server, float], None]:
    def attack(server: Server, deadline: float) -> None:
        until = time.monotonic() + deadline
        offender = Offender(server, reads=reads)
        try:
            offender.hello()
            batch = make(offender)
            while (left := until - time.monotonic()) > 0:
                offender.send(batch, within=left)
        except CutOff:
            pass
        finally:
            # A server that only stopped reading holds the connection until its own deadline.
            _linger(offender, until)

    return attack


def _linger(offender: Offender, until: float) -> None:
    with contextlib.suppress(CutOff):
        offender.listen(max(0.0, until - time.monotonic()))
    _kept.append(offender)


# Offenders are not closed before the verdict: the server is to end the connection.
_kept: list[Offender] = []


def _pings(_: Offender) -> bytes:
    return frame(PingFrame(0, b"8 bytes.")) * 4000


def _settings(_: Offender) -> bytes:
    return frame(SettingsFrame(0, settings={_INITIAL_WINDOW_SIZE: 65_535})) * 4000


def _empty_data(offender: Offender) -> bytes:
    offender.send(offender.call(1))
    return frame(DataFrame(1, b"")) * 4000


def _window_updates(_: Offender) -> bytes:
    return frame(WindowUpdateFrame(0, window_increment=1)) * 4000


def _stream_window_updates(offender: Offender) -> bytes:
    offender.send(offender.call(1, "Hang"))
    return frame(WindowUpdateFrame(1, window_increment=1)) * 4000


def _priorities(_: Offender) -> bytes:
    return b"".join(frame(PriorityFrame(stream, depends_on=0, stream_weight=9)) for stream in range(1, 8001, 2))


def _unknown_frames(_: Offender) -> bytes:
    return (b"\x00\x00\x08\xfa\x00\x00\x00\x00\x00" + bytes(8)) * 4000


def _empty_continuations(offender: Offender) -> bytes:
    offender.send(frame(HeadersFrame(1, data=b"\x83\x86")))
    return frame(ContinuationFrame(1, data=b"")) * 4000


def _full_continuations(offender: Offender) -> bytes:
    offender.send(frame(HeadersFrame(1, data=b"\x83\x86")))
    # A literal header of 100 bytes that enters no table.
    literal = b"\x00\x04name" + b"\x64" + b"v" * 100
    return frame(ContinuationFrame(1, data=literal * 150)) * 50


def _giant_headers(server: Server, deadline: float) -> None:
    """A call whose headers are 1 MB long, again and again."""
    until = time.monotonic() + deadline
    offender = Offender(server)
    literal = b"\x00\x04name" + b"\x64" + b"v" * 100
    try:
        offender.hello()
        for stream in range(1, 2_000_001, 2):
            parts = [frame(HeadersFrame(stream, data=b"\x83\x86"))]
            parts += [frame(ContinuationFrame(stream, data=literal * 150)) for _ in range(63)]
            parts.append(frame(ContinuationFrame(stream, data=literal, flags=["END_HEADERS"])))
            if time.monotonic() > until:
                break
            offender.send(b"".join(parts), within=until - time.monotonic())
    except CutOff:
        pass
    finally:
        _linger(offender, until)


def _header_bomb(server: Server, deadline: float) -> None:
    """One long table entry that is named thousands of times in each call."""
    until = time.monotonic() + deadline
    offender = Offender(server)
    entry = b"\x40\x04bomb" + b"\x7f" + _integer(3900 - 127) + b"v" * 3900
    try:
        offender.hello()
        first = offender.headers()
        offender.send(frame(HeadersFrame(1, data=first + entry, flags=["END_HEADERS"])))
        for stream in range(3, 2_000_001, 2):
            if time.monotonic() > until:
                break
            block = b"\x83\x86" + b"\xbe" * 16_000
            offender.send(
                frame(HeadersFrame(stream, data=block, flags=["END_HEADERS"])), within=until - time.monotonic()
            )
    except CutOff:
        pass
    finally:
        _linger(offender, until)


def _integer(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _rapid_reset(batch: int, pause: float) -> Callable[[Server, float], None]:
    """Calls that are reset at once (CVE-2023-44487), `batch` of them in one write, with a pause between writes."""

    def attack(server: Server, deadline: float) -> None:
        until = time.monotonic() + deadline
        offender = Offender(server)
        stream = 1
        pacer = threading.Event()
        try:
            offender.hello()
            while time.monotonic() < until:
                parts = []
                for _ in range(batch):
                    parts.append(offender.call(stream, "Hang"))
                    parts.append(frame(DataFrame(stream, message(b""), flags=["END_STREAM"])))
                    parts.append(frame(RstStreamFrame(stream, error_code=_CANCEL)))
                    stream += 2
                offender.send(b"".join(parts))
                pacer.wait(pause)
        except CutOff:
            pass
        finally:
            _linger(offender, until)

    return attack


# Peers that stop.


def _silent(server: Server, deadline: float) -> None:
    _linger(Offender(server), time.monotonic() + deadline)


def _slow_preface(server: Server, deadline: float) -> None:
    until = time.monotonic() + deadline
    offender = Offender(server)
    pacer = threading.Event()
    try:
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" * 4:
            offender.send(bytes((byte,)))
            pacer.wait(1.5)
            if time.monotonic() > until:
                break
    except CutOff:
        pass
    finally:
        _linger(offender, until)


def _many_silent(server: Server, deadline: float) -> None:
    until = time.monotonic() + deadline
    offenders = [Offender(server) for _ in range(1500)]
    for offender in offenders:
        _linger(offender, 0.0)
    for offender in offenders:
        with contextlib.suppress(CutOff):
            offender.listen(max(0.0, until - time.monotonic()))


def _half_frame(server: Server, deadline: float) -> None:
    """A header block whose end never comes."""
    offender = Offender(server)
    offender.hello()
    offender.send(offender.call(1)[:-5])
    _linger(offender, time.monotonic() + deadline)


def _half_close(server: Server, deadline: float) -> None:
    """A peer that sends no more, in the middle of a call; it still gets its answer."""
    offender = Offender(server)
    offender.hello()
    body = b"the answer to a peer that has hung up halfway"
    offender.send(offender.call(1) + frame_of_body(body)(1))
    offender.half_close()
    _linger(offender, time.monotonic() + deadline)
    assert message(body) in offender.received, "the reply was lost"


def _unanswered_pings(server: Server, deadline: float) -> None:
    """A peer that is gone without a word, in the middle of a call."""
    offender = Offender(server, reads=False)
    offender.hello()
    offender.send(offender.call(1, "Hang") + frame_of_body(b"")(1))
    _linger(offender, time.monotonic() + deadline)


def _zero_windows(server: Server, deadline: float) -> None:
    """A thousand answers that may not be sent."""
    offender = Offender(server)
    offender.hello({_INITIAL_WINDOW_SIZE: 0})
    body = frame_of_body(b"x" * 1024)
    with contextlib.suppress(CutOff):
        for stream in range(1, 2001, 2):
            offender.send(offender.call(stream) + body(stream))
    _linger(offender, time.monotonic() + deadline)


def _never_reads_stream(server: Server, deadline: float) -> None:
    """A stream of a gigabyte with every window open, and nobody at the socket."""
    offender = Offender(server, reads=False)
    with contextlib.suppress(CutOff):
        offender.hello({_INITIAL_WINDOW_SIZE: (1 << 31) - 1})
        offender.send(frame(WindowUpdateFrame(0, window_increment=(1 << 31) - 65_536)))
        offender.send(offender.call(1, "Stream") + frame_of_body(b"1000000 1000")(1))
    _linger(offender, time.monotonic() + deadline)


def _never_reads_calls(server: Server, deadline: float) -> None:
    """Calls without end, every window open, and no answer is ever read."""
    until = time.monotonic() + deadline
    offender = Offender(server, reads=False)
    try:
        offender.hello({_INITIAL_WINDOW_SIZE: (1 << 31) - 1})
        offender.send(frame(WindowUpdateFrame(0, window_increment=(1 << 31) - 65_536)))
        body = frame_of_body(b"x" * 1000)
        stream = 1
        while time.monotonic() < until:
            if not offender.send(offender.call(stream) + body(stream), within=until - time.monotonic()):
                break
            stream += 2
    except CutOff:
        pass
    finally:
        _linger(offender, until)


def frame_of_body(body: bytes) -> Callable[[int], bytes]:
    return lambda stream: frame(DataFrame(stream, message(body), flags=["END_STREAM"]))


_SCENARIOS = (
    Scenario("ping flood", 15, _flood(_pings, reads=True)),
    Scenario("ping flood that never reads", 45, _flood(_pings, reads=False)),
    Scenario("settings flood", 15, _flood(_settings, reads=True)),
    Scenario("settings flood that never reads", 45, _flood(_settings, reads=False)),
    Scenario("empty CONTINUATION flood", 15, _flood(_empty_continuations, reads=True)),
    Scenario("full CONTINUATION flood", 15, _flood(_full_continuations, reads=True)),
    Scenario("header lists of 1 MB", 15, _giant_headers),
    Scenario("header bomb", 15, _header_bomb),
    Scenario("empty DATA flood", 15, _flood(_empty_data, reads=True)),
    Scenario("WINDOW_UPDATE flood, connection", 15, _flood(_window_updates, reads=True)),
    Scenario("WINDOW_UPDATE flood, stream", 15, _flood(_stream_window_updates, reads=True)),
    Scenario("PRIORITY flood", 15, _flood(_priorities, reads=True)),
    Scenario("flood of unknown frames", 15, _flood(_unknown_frames, reads=True)),
    Scenario("rapid reset, batched", 15, _rapid_reset(1000, 0.0)),
    Scenario("rapid reset, paced", 20, _rapid_reset(10, 0.01)),
    Scenario("half-closed in a call", 5, _half_close),
    Scenario("half-open: pings unanswered", 10, _unanswered_pings, options=("--keepalive-ms", "1000")),
    Scenario("no preface", 20, _silent),
    Scenario("slow preface", 20, _slow_preface),
    Scenario("1,500 connections without a preface", 30, _many_silent, growth=1500 * _IDLE_CONNECTION),
    Scenario("half a frame", 45, _half_frame),
    Scenario("zero windows, 1,000 streams", 45, _zero_windows),
    Scenario("stream that is never read", 45, _never_reads_stream),
    Scenario("calls whose answers are never read", 60, _never_reads_calls),
)


@dataclass(slots=True)
class Watch:
    """What the other clients and the system saw meanwhile."""

    rss: int = 0
    slowest: float = 0.0
    errors: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _watched(server: Server, channel: grpc.Channel) -> Iterator[Watch]:
    watch, over = Watch(rss=server.rss()), threading.Event()
    echo: Call = channel.unary_unary(f"/{BARE_SERVICE}/Echo")

    def look() -> None:
        while not over.wait(0.02):
            watch.rss = max(watch.rss, server.rss())
            begin = time.monotonic()
            try:
                assert echo(b"healthy", timeout=5) == b"healthy"
            except grpc.RpcError as error:
                watch.errors.append(f"{error.code().name} {error.details()}")
            watch.slowest = max(watch.slowest, time.monotonic() - begin)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def _attack(scenario: Scenario, server: Server, wrong: list[AssertionError]) -> None:
    try:
        scenario.attack(server, scenario.deadline)
    except AssertionError as error:
        wrong.append(error)


def _run(frontend: str, scenario: Scenario) -> tuple[str, str, bool]:
    with running(frontend, *scenario.options) as server, grpc.insecure_channel(server.address) as channel:
        echo: Call = channel.unary_unary(f"/{BARE_SERVICE}/Echo")
        state: Call = channel.unary_unary(f"/{BARE_SERVICE}/State")
        for _ in range(500):
            echo(b"warm", timeout=5)
        rss, files, tasks = server.rss(), server.files(), json.loads(state(b""))["tasks"]
        begin = time.monotonic()
        gone: float | None = None
        with _watched(server, channel) as watch:
            wrong: list[AssertionError] = []
            attack = threading.Thread(target=_attack, args=(scenario, server, wrong))
            attack.start()
            connected = False
            while time.monotonic() - begin < scenario.deadline + 1:
                over = not attack.is_alive()
                count = server.files()
                # A peer may come and go between two looks; then the end of its attack says that it came.
                connected |= count > files or over
                if gone is None and connected and count <= files:
                    gone = time.monotonic() - begin
                if gone is not None and over:
                    break
                threading.Event().wait(0.02)
            attack.join()
        growth = watch.rss - rss
        after = json.loads(state(b"", timeout=5)) if server.alive() else {"hanging": -1, "tasks": -1}
        problems = [f"WRONG: {error}" for error in wrong]
        if gone is None or gone > scenario.deadline:
            problems.append("NOT CUT OFF")
        if growth > scenario.growth:
            problems.append("GREW")
        if watch.errors:
            problems.append(f"OTHERS FAILED: {len(watch.errors)}, {watch.errors[0]}")
        if watch.slowest > _SLOWEST_CALL:
            problems.append("OTHERS WAITED")
        if after["hanging"] or after["tasks"] > tasks + 2:
            problems.append(f"LEFT BEHIND: {after['hanging']} calls, {after['tasks'] - tasks} tasks")
    rid = "never" if gone is None else f"{gone:.1f} s"
    found = f"gone after {rid}, grew {growth / _MEGABYTE:.1f} MB, others' slowest {watch.slowest * 1000:.0f} ms"
    return scenario.name, "; ".join((found, *problems)), not problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--frontend", choices=("native", "reference"), default="native")
    parser.add_argument("--at-once", type=int, default=4, help="scenarios that mostly wait, run side by side")
    arguments = parser.parse_args()
    chosen = [s for s in _SCENARIOS if not arguments.names or any(name in s.name for name in arguments.names)]
    bars = {s.name: f"gone within {s.deadline:.0f} s, {s.growth // _MEGABYTE} MB, 1 s" for s in chosen}
    report = Report(f"Abuse of the {arguments.frontend} front end")
    # Floods take the processor and run alone; what waits for a deadline of the server is waited for together.
    waiting = [s for s in chosen if s.deadline > 15 and "reset" not in s.name]
    for scenario in (s for s in chosen if s not in waiting):
        name, found, met = _run(arguments.frontend, scenario)
        report.add(name, found, bars[name], met)
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for name, found, met in pool.map(lambda s: _run(arguments.frontend, s), waiting):
            report.add(name, found, bars[name], met)
    for offender in _kept:
        offender.close()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
