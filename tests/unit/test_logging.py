"""The log: one JSON object a line, with the request's id, and without secrets."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from couponry import logging as couponry_logging
from couponry.config import LogSettings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_one_object_with_the_request_id(stream: io.StringIO) -> None:
    couponry_logging.setup(LogSettings(), stream)
    couponry_logging.bind_request("r1", method="Participate")
    couponry_logging.get_logger("couponry.test").info("claimed", user="ü🎟")
    line = json.loads(stream.getvalue())
    assert {name: line[name] for name in ("event", "request_id", "method", "user", "level", "logger")} == {
        "event": "claimed",
        "request_id": "r1",
        "method": "Participate",
        "user": "ü🎟",
        "level": "info",
        "logger": "couponry.test",
    }


def test_lines_of_other_libraries_look_the_same(stream: io.StringIO) -> None:
    couponry_logging.setup(LogSettings(), stream)
    logging.getLogger("grpc").warning("late by %s", 3)
    assert json.loads(stream.getvalue())["event"] == "late by 3"


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_masked(stream: io.StringIO, form: str) -> None:
    couponry_logging.setup(LogSettings.model_validate({"format": form}), stream)
    log = couponry_logging.get_logger("couponry.test")
    log.warning("connecting to redis://u:hidden@h:1", password="hidden", dsn="hidden", at="mysql://u:hidden@h/d")
    assert "hidden" not in stream.getvalue()
    assert "***@h/d" in stream.getvalue()


def test_what_is_below_the_level_is_not_written(stream: io.StringIO) -> None:
    couponry_logging.setup(LogSettings(level="error"), stream)
    couponry_logging.get_logger("couponry.test").warning("quiet")
    assert stream.getvalue() == ""


def test_an_exception_becomes_fields_of_the_line(stream: io.StringIO) -> None:
    couponry_logging.setup(LogSettings(), stream)
    try:
        int("wrong")
    except ValueError:
        couponry_logging.get_logger("couponry.test").exception("failed")
    assert json.loads(stream.getvalue())["exception"][0]["exc_type"] == "ValueError"


def test_request_ids_differ() -> None:
    assert len({couponry_logging.new_request_id() for _ in range(1000)}) == 1000
