"""The one table from errors to gRPC statuses, with details that a program can read without parsing text.

The details stay well below the 8 KiB that proxies allow for trailers: at most ten violations are listed, and long texts
are cut.
"""

from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from couponry.errors import (
    CouponryError,
    Exhausted,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    NotFound,
    Unavailable,
    Unimplemented,
)

__all__ = ["DOMAIN", "code_of", "grpc_status", "status_of"]

DOMAIN: Final = "couponry.v1"

_CODES: Final[dict[type[CouponryError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
}
_MOST_VIOLATIONS: Final = 10
_MOST_DETAIL_BYTES: Final = 6 * 1024
_MOST_TEXT: Final = 300


def code_of(error: CouponryError) -> grpc.StatusCode:
    """The status code of an error."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return grpc.StatusCode.INTERNAL


def status_of(error: CouponryError, request_id: str) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and field violations and RetryInfo where there are any."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    info.metadata["request_id"] = request_id
    details: list[Message] = [info]
    if isinstance(error, InvalidArgument):
        details.append(_bad_request(error.violations))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(retry)
    status = status_pb2.Status(code=code_of(error).value[0], message=_cut(error.text))
    size = 0
    for detail in (*details, *error.details):
        packed = AnyMessage()
        packed.Pack(detail)
        size += packed.ByteSize()
        # The first ones always fit; a decision on a huge cart does not, and is left out.
        if size <= _MOST_DETAIL_BYTES:
            status.details.append(packed)
    return status


def grpc_status(error: CouponryError, request_id: str) -> grpc.Status:
    """For `context.abort_with_status`."""
    return rpc_status.to_status(status_of(error, request_id))


def _bad_request(violations: tuple[FieldViolation, ...]) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in violations[:_MOST_VIOLATIONS]:
        bad_request.field_violations.add(field=_cut(violation.field), description=_cut(violation.text))
    more = len(violations) - _MOST_VIOLATIONS
    if more > 0:
        bad_request.field_violations.add(field="...", description=f"and {more} more")
    return bad_request


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 1]}…"
