"""Random calls at both front ends: a client must not be able to tell them apart."""

import json
import os
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conformance import servicers
from tests.conformance.harness import running

_EXAMPLES = int(os.environ.get("DIFFERENTIAL_EXAMPLES", "150"))
_FRONTENDS = ("reference", "native")
# What a client may see differ: how the transport words its own errors, and headers that name the server.
_SERVERS_OWN = frozenset({"user-agent", "grpc-accept-encoding", "accept-encoding"})
_DEADLINE = 10.0

_keys = st.from_regex(r"x-[a-z0-9_.-]{1,12}", fullmatch=True).filter(lambda key: not key.endswith("-bin"))
_text = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)
_plain = st.tuples(_keys, _text)
_binary = st.tuples(_keys.map(lambda key: f"{key}-bin"), st.binary(max_size=60).map(lambda value: f"hex:{value.hex()}"))
_metadata = st.lists(st.one_of(_plain, _binary), max_size=4)
_details = st.text(max_size=60).filter(lambda text: text.isprintable())
_codes = st.integers(1, 16)
_sizes = st.one_of(st.integers(0, 40), st.sampled_from((16_379, 16_384, 70_000)))

_scripts = st.fixed_dictionaries(
    {},
    optional={
        "initial": _metadata,
        "trailing": _metadata,
        "read": st.integers(0, 3),
        "reply": st.lists(_sizes, max_size=5),
    },
)
_ends: Any = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"abort": st.tuples(_codes, _details)}),
    st.fixed_dictionaries({"set": st.tuples(st.integers(0, 16), _details)}),
    st.fixed_dictionaries({"raise": st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)}),
)


@pytest.fixture(scope="module")
def channels() -> Iterator[dict[str, grpc.Channel]]:
    with running("reference") as reference, running("native") as native:
        targets = {"reference": reference, "native": native}
        opened = {name: grpc.insecure_channel(server.address) for name, server in targets.items()}
        yield opened
        for channel in opened.values():
            channel.close()


def _seen(pairs: Any) -> list[tuple[str, str | bytes]]:
    # The order of different keys is not promised; that of one key's values is.
    return sorted(((key, value) for key, value in pairs or () if key not in _SERVERS_OWN), key=lambda pair: pair[0])


def _answer(
    channel: grpc.Channel, arity: str, script: dict[str, Any], more: list[int], **options: Any
) -> dict[str, Any]:
    """Everything that the client of one call sees."""
    path = f"/{servicers.SCRIPT_SERVICE}/{arity}"
    first = json.dumps(script).encode()
    requests = [first, *(bytes(size) for size in more)]
    messages: list[bytes] = []
    opened: Any = channel
    options = {"timeout": _DEADLINE} | options
    if arity == "Unary":
        call = opened.unary_unary(path).future(first, **options)
    elif arity == "ToStream":
        call = opened.unary_stream(path)(first, **options)
    elif arity == "FromStream":
        call = opened.stream_unary(path).future(iter(requests), **options)
    else:
        call = opened.stream_stream(path)(iter(requests), **options)
    try:
        if arity in {"Unary", "FromStream"}:
            messages.append(call.result())
        else:
            messages.extend(call)
    except grpc.RpcError:
        pass
    return {
        "code": call.code(),
        "details": call.details(),
        "initial": _seen(call.initial_metadata()),
        "trailing": _seen(call.trailing_metadata()),
        "messages": messages,
    }


def _compare(channels: dict[str, grpc.Channel], *call: Any, **options: Any) -> dict[str, Any]:
    reference, native = (_answer(channels[name], *call, **options) for name in _FRONTENDS)
    if reference["code"] is grpc.StatusCode.DEADLINE_EXCEEDED and "abort" not in call[1] and "set" not in call[1]:
        # The client's own clock ended the call, and its own words say so.
        native["details"] = reference["details"]
    assert native == reference
    return native


_settings = settings(
    max_examples=_EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@_settings
@given(arity=st.sampled_from(("Unary", "ToStream")), script=_scripts, end=_ends)
def test_answers_to_one_message_are_the_same(
    channels: Any, arity: str, script: dict[str, Any], end: dict[str, Any]
) -> None:
    _compare(channels, arity, script | end, [])


@_settings
@given(arity=st.sampled_from(("FromStream", "Both")), script=_scripts, end=_ends, more=st.lists(_sizes, max_size=4))
def test_answers_to_a_stream_are_the_same(
    channels: Any, arity: str, script: dict[str, Any], end: dict[str, Any], more: list[int]
) -> None:
    _compare(channels, arity, script | end, more)


@settings(_settings, max_examples=max(10, _EXAMPLES // 10))
@given(arity=st.sampled_from(("Unary", "ToStream", "FromStream", "Both")), initial=st.one_of(st.none(), _metadata))
def test_a_deadline_that_passes_is_seen_the_same(channels: Any, arity: str, initial: Any) -> None:
    script = {"wait": True, "read": 0} | ({} if initial is None else {"initial": initial})
    seen = _compare(channels, arity, script, [], timeout=0.15)
    assert seen["code"] is grpc.StatusCode.DEADLINE_EXCEEDED


@settings(_settings, max_examples=max(10, _EXAMPLES // 5))
@given(
    compression=st.sampled_from(grpc.Compression),
    size=_sizes,
    metadata=st.lists(
        st.one_of(_plain, st.tuples(_keys.map(lambda key: f"{key}-bin"), st.binary(max_size=60))), max_size=5
    ),
)
def test_an_echo_comes_back_whatever_its_compression_and_metadata(
    channels: Any, compression: grpc.Compression, size: int, metadata: list[tuple[str, str | bytes]]
) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    for channel in channels.values():
        echo = channel.unary_unary(f"/{servicers.BARE_SERVICE}/Echo")
        assert echo(body, timeout=_DEADLINE, compression=compression, metadata=metadata) == body


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/couponry.conformance.Script/Nothing", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/no.such.Service/Unary", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/couponry.conformance.Bare/Echo", bytes(5 << 20), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_calls_that_cannot_be_answered_get_the_same_status(
    channels: Any, path: str, body: bytes, code: grpc.StatusCode
) -> None:
    seen = []
    for name in _FRONTENDS:
        with pytest.raises(grpc.RpcError) as error:
            channels[name].unary_unary(path)(body, timeout=_DEADLINE)
        seen.append((error.value.code(), error.value.details()))
    assert seen[0] == seen[1]
    assert seen[0][0] is code
