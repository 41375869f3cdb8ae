"""Errors become statuses that a program can read, and that always fit the trailers."""

import grpc
import pytest
from google.rpc import error_details_pb2

from couponry import errors
from couponry.servicers.status import DOMAIN, code_of, status_of
from couponry.v1 import discount_pb2, reason_pb2

EVERY_ERROR = [
    (errors.InvalidArgument.of("f", "t"), grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound("t"), grpc.StatusCode.NOT_FOUND),
    (errors.Exhausted("t"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.FailedPrecondition("t"), grpc.StatusCode.FAILED_PRECONDITION),
    (errors.Unavailable("t"), grpc.StatusCode.UNAVAILABLE),
    (errors.Unimplemented("t"), grpc.StatusCode.UNIMPLEMENTED),
    (errors.CouponryError("t"), grpc.StatusCode.INTERNAL),
]


@pytest.mark.parametrize(("error", "code"), EVERY_ERROR, ids=lambda value: type(value).__name__)
def test_each_error_has_its_code_and_a_reason_of_the_contract(
    error: errors.CouponryError, code: grpc.StatusCode
) -> None:
    assert code_of(error) is code
    info = error_details_pb2.ErrorInfo()
    assert status_of(error, "id").details[0].Unpack(info)
    assert info.domain == DOMAIN
    assert f"REASON_{info.reason}" in reason_pb2.Reason.DESCRIPTOR.values_by_name
    assert info.metadata["request_id"] == "id"


def test_every_error_of_the_tree_is_in_the_table() -> None:
    listed = {type(error) for error, _ in EVERY_ERROR}
    assert listed == {errors.CouponryError, *errors.CouponryError.__subclasses__()}


def test_violations_name_their_fields() -> None:
    error = errors.InvalidArgument([errors.FieldViolation("a", "x"), errors.FieldViolation("b", "y")])
    bad_request = error_details_pb2.BadRequest()
    assert status_of(error, "id").details[1].Unpack(bad_request)
    assert [(entry.field, entry.description) for entry in bad_request.field_violations] == [("a", "x"), ("b", "y")]


def test_five_hundred_wrong_lines_fit_the_trailers_and_say_how_many_more_there_are() -> None:
    error = errors.InvalidArgument(
        [errors.FieldViolation(f"cart.lines[{index}].unit_price", "must not be " + "x" * 1000) for index in range(500)]
    )
    status = status_of(error, "id")
    bad_request = error_details_pb2.BadRequest()
    status.details[1].Unpack(bad_request)
    assert len(bad_request.field_violations) == 11
    assert bad_request.field_violations[10].description == "and 490 more"
    assert status.ByteSize() < 8 * 1024


def test_when_to_try_again_is_told() -> None:
    retry = error_details_pb2.RetryInfo()
    assert status_of(errors.Unavailable("t", retry_after_s=0.25), "id").details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 250


def test_a_detail_that_does_not_fit_is_left_out() -> None:
    small = discount_pb2.Decision(payable=7)
    huge = discount_pb2.Decision(currency="x" * 10_000)
    error = errors.FailedPrecondition("t", reason="PRICE_CHANGED", details=[small, huge])
    status = status_of(error, "id")
    assert [detail.type_url.rsplit("/", 1)[-1] for detail in status.details] == [
        "google.rpc.ErrorInfo",
        "couponry.v1.Decision",
    ]
