"""What orders are refused with: reasons, figures, and details that fit into an answer."""

from couponry.orders import refusals
from couponry.servicers.status import status_of
from couponry.v1 import discount_pb2, reason_pb2


def rejected(coupon_id: int, reason: reason_pb2.Reason, **detail: int) -> discount_pb2.RejectedCoupon:
    return discount_pb2.RejectedCoupon(coupon_id=coupon_id, reason=reason, **detail)  # type: ignore[arg-type]


def test_one_reason_is_the_reason_of_the_call() -> None:
    decision = discount_pb2.Decision(rejected=[rejected(5, reason_pb2.REASON_BUDGET_EXHAUSTED, left=200)])
    error = refusals.coupons_refused(decision)
    assert error.reason == "BUDGET_EXHAUSTED"
    assert error.metadata == {"coupon_id": "5", "left": "200"}
    assert error.details == (decision,)


def test_several_reasons_are_coupon_refused_with_the_figures_of_the_first() -> None:
    decision = discount_pb2.Decision(
        rejected=[rejected(5, reason_pb2.REASON_USED), rejected(6, reason_pb2.REASON_LOCKED)]
    )
    error = refusals.coupons_refused(decision)
    assert error.reason == "COUPON_REFUSED"
    assert error.metadata == {"coupon_id": "5"}


def test_a_decision_on_a_huge_cart_travels_without_its_lines() -> None:
    decision = discount_pb2.Decision(
        payable=7,
        lines=[discount_pb2.LineReceipt(line_id="x" * 64, list=1) for _ in range(500)],
        applied=[
            discount_pb2.AppliedCoupon(
                coupon_id=5, lines=[discount_pb2.LineAllocation(line_id="x" * 64) for _ in range(500)]
            )
        ],
    )
    status = status_of(refusals.price_changed(decision), "request")
    assert status.ByteSize() < 8192
    sent = discount_pb2.Decision()
    assert any(detail.Unpack(sent) for detail in status.details)
    assert sent.payable == 7
    assert [applied.coupon_id for applied in sent.applied] == [5]
