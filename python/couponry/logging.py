"""The log: structlog over the standard logging, as JSON lines or for people, on standard error.

A line and the answer to the client share `request_id`; whatever looks like a secret is masked.
"""

import logging
import re
import secrets
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from couponry.config import LogSettings

_SECRET_KEYS = frozenset({"password", "dsn", "authorization", "secret"})
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")


def setup(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sends every log line of the process to `stream` (standard error). A command calls it once."""
    target = stream if stream is not None else sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor]
    if settings.format == "json":
        ending = [
            structlog.processors.dict_tracebacks,
            mask_secrets,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ]
    else:
        ending = [mask_secrets, structlog.dev.ConsoleRenderer(colors=target.isatty())]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; events are short phrases, what varies goes into keywords."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def new_request_id() -> str:
    """The id of one call, 16 hex digits, told to the client and in every line about it."""
    return secrets.token_hex(8)


def bind_request(request_id: str, **context: str) -> None:
    """Puts the request's id (and context) into every later line of this task."""
    structlog.contextvars.bind_contextvars(request_id=request_id, **context)


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Masks values under secret names, and credentials inside URLs, in one log line."""
    for name, value in event.items():
        if name in _SECRET_KEYS:
            event[name] = "***"
        elif isinstance(value, str) and "://" in value:
            event[name] = _CREDENTIALS.sub("***@", value)
    return event
