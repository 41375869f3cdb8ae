"""Fixtures of all tests. Async tests run on uvloop, as the service does."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop


def pytest_configure() -> None:
    # A run in the background of a shell has Ctrl-C ignored, and so would every process that a test interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of the checkout."""
    return Path(__file__).resolve().parents[1]
