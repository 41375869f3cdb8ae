"""Options and arguments of `grpc.aio.server` as the native front end takes them."""

import inspect
from typing import Any

import grpc
import grpc.aio
import pytest

from couponry.config import ServerSettings
from couponry.frontend import reference
from couponry.frontend.native import NativeServer, make_server
from couponry.frontend.native_context import Context, code_number


def limits(*options: tuple[str, Any]) -> dict[str, Any]:
    return NativeServer(options=options)._limits()


def test_it_takes_the_arguments_of_grpc_aio_server() -> None:
    theirs = list(inspect.signature(grpc.aio.server).parameters)
    assert list(inspect.signature(NativeServer).parameters) == theirs


def test_its_context_has_all_that_grpc_aio_has() -> None:
    theirs = {name for name in dir(grpc.aio.ServicerContext) if not name.startswith("_")}
    assert {name for name in theirs if name not in vars(Context)} == set()


def test_milliseconds_become_seconds_and_int_max_never() -> None:
    endless = 2**31 - 1
    assert limits(("grpc.max_connection_age_ms", 1500), ("grpc.keepalive_time_ms", endless)) == {
        "max_age_s": 1.5,
        "keepalive_s": None,
    }


def test_no_limit_is_a_large_limit_and_unknown_options_are_ignored() -> None:
    assert limits(("grpc.max_receive_message_length", -1), ("grpc.primary_user_agent", "x")) == {
        "max_receive_message": 2**31 - 1
    }


def test_an_interceptor_must_be_one() -> None:
    wrong: Any = object()
    with pytest.raises(ValueError, match="Interceptor must be ServerInterceptor"):
        NativeServer(interceptors=(wrong,))


def test_both_front_ends_are_made_from_the_same_settings() -> None:
    settings = ServerSettings()
    made = make_server(settings, reuse_port=True)
    assert isinstance(made, grpc.aio.Server)
    assert made._limits()["max_receive_message"] == settings.max_message_bytes
    assert list(inspect.signature(make_server).parameters) == list(inspect.signature(reference.make_server).parameters)


@pytest.mark.parametrize(
    ("code", "number"), [(grpc.StatusCode.NOT_FOUND, 5), (5, 5), (0, 0), (99, 2), (grpc.StatusCode.OK, 0)]
)
def test_a_code_is_a_status_or_a_number(code: Any, number: int) -> None:
    assert code_number(code) == number
