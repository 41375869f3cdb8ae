import datetime

from couponry.v1 import cart_pb2 as _cart_pb2
from couponry.v1 import reason_pb2 as _reason_pb2
from couponry.v1 import template_pb2 as _template_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CalculateMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CALCULATE_MODE_UNSPECIFIED: _ClassVar[CalculateMode]
    CALCULATE_MODE_APPLY_GIVEN: _ClassVar[CalculateMode]
    CALCULATE_MODE_BEST: _ClassVar[CalculateMode]

class Optimality(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTIMALITY_UNSPECIFIED: _ClassVar[Optimality]
    OPTIMALITY_EXACT: _ClassVar[Optimality]
    OPTIMALITY_BOUNDED: _ClassVar[Optimality]
CALCULATE_MODE_UNSPECIFIED: CalculateMode
CALCULATE_MODE_APPLY_GIVEN: CalculateMode
CALCULATE_MODE_BEST: CalculateMode
OPTIMALITY_UNSPECIFIED: Optimality
OPTIMALITY_EXACT: Optimality
OPTIMALITY_BOUNDED: Optimality

class CouponRef(_message.Message):
    __slots__ = ("coupon_id", "code")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    code: str
    def __init__(self, coupon_id: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class InlineCoupon(_message.Message):
    __slots__ = ("coupon_id", "template_id", "terms", "valid_from", "valid_until")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    template_id: int
    terms: _template_pb2.Terms
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, coupon_id: _Optional[int] = ..., template_id: _Optional[int] = ..., terms: _Optional[_Union[_template_pb2.Terms, _Mapping]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CalculateDiscountRequest(_message.Message):
    __slots__ = ("user_id", "cart", "mode", "coupons", "inline_coupons", "minimum_payable")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CART_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    INLINE_COUPONS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    cart: _cart_pb2.Cart
    mode: CalculateMode
    coupons: _containers.RepeatedCompositeFieldContainer[CouponRef]
    inline_coupons: _containers.RepeatedCompositeFieldContainer[InlineCoupon]
    minimum_payable: int
    def __init__(self, user_id: _Optional[str] = ..., cart: _Optional[_Union[_cart_pb2.Cart, _Mapping]] = ..., mode: _Optional[_Union[CalculateMode, str]] = ..., coupons: _Optional[_Iterable[_Union[CouponRef, _Mapping]]] = ..., inline_coupons: _Optional[_Iterable[_Union[InlineCoupon, _Mapping]]] = ..., minimum_payable: _Optional[int] = ...) -> None: ...

class CalculateDiscountResponse(_message.Message):
    __slots__ = ("decision", "certificate")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    certificate: Certificate
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("calculation", "language")
    CALCULATION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    calculation: CalculateDiscountRequest
    language: str
    def __init__(self, calculation: _Optional[_Union[CalculateDiscountRequest, _Mapping]] = ..., language: _Optional[str] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("paragraphs", "decision", "certificate")
    PARAGRAPHS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    paragraphs: _containers.RepeatedScalarFieldContainer[str]
    decision: Decision
    certificate: Certificate
    def __init__(self, paragraphs: _Optional[_Iterable[str]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., certificate: _Optional[_Union[Certificate, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("applied", "rejected", "lines", "shipments", "hints", "original", "discount", "payable", "currency")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHIPMENTS_FIELD_NUMBER: _ClassVar[int]
    HINTS_FIELD_NUMBER: _ClassVar[int]
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    PAYABLE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    applied: _containers.RepeatedCompositeFieldContainer[AppliedCoupon]
    rejected: _containers.RepeatedCompositeFieldContainer[RejectedCoupon]
    lines: _containers.RepeatedCompositeFieldContainer[LineReceipt]
    shipments: _containers.RepeatedCompositeFieldContainer[ShipmentReceipt]
    hints: _containers.RepeatedCompositeFieldContainer[Hint]
    original: int
    discount: int
    payable: int
    currency: str
    def __init__(self, applied: _Optional[_Iterable[_Union[AppliedCoupon, _Mapping]]] = ..., rejected: _Optional[_Iterable[_Union[RejectedCoupon, _Mapping]]] = ..., lines: _Optional[_Iterable[_Union[LineReceipt, _Mapping]]] = ..., shipments: _Optional[_Iterable[_Union[ShipmentReceipt, _Mapping]]] = ..., hints: _Optional[_Iterable[_Union[Hint, _Mapping]]] = ..., original: _Optional[int] = ..., discount: _Optional[int] = ..., payable: _Optional[int] = ..., currency: _Optional[str] = ...) -> None: ...

class AppliedCoupon(_message.Message):
    __slots__ = ("coupon_id", "template_id", "discount", "lines", "shipments", "unused", "pending")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHIPMENTS_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    template_id: int
    discount: int
    lines: _containers.RepeatedCompositeFieldContainer[LineAllocation]
    shipments: _containers.RepeatedCompositeFieldContainer[ShipmentAllocation]
    unused: int
    pending: bool
    def __init__(self, coupon_id: _Optional[int] = ..., template_id: _Optional[int] = ..., discount: _Optional[int] = ..., lines: _Optional[_Iterable[_Union[LineAllocation, _Mapping]]] = ..., shipments: _Optional[_Iterable[_Union[ShipmentAllocation, _Mapping]]] = ..., unused: _Optional[int] = ..., pending: _Optional[bool] = ...) -> None: ...

class LineAllocation(_message.Message):
    __slots__ = ("line_id", "discount", "units")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    discount: int
    units: _containers.RepeatedCompositeFieldContainer[UnitRun]
    def __init__(self, line_id: _Optional[str] = ..., discount: _Optional[int] = ..., units: _Optional[_Iterable[_Union[UnitRun, _Mapping]]] = ...) -> None: ...

class ShipmentAllocation(_message.Message):
    __slots__ = ("shipment_id", "discount")
    SHIPMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    shipment_id: str
    discount: int
    def __init__(self, shipment_id: _Optional[str] = ..., discount: _Optional[int] = ...) -> None: ...

class UnitRun(_message.Message):
    __slots__ = ("count", "amount")
    FROM_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    amount: int
    def __init__(self, count: _Optional[int] = ..., amount: _Optional[int] = ..., **kwargs) -> None: ...

class RejectedCoupon(_message.Message):
    __slots__ = ("coupon_id", "template_id", "reason", "short_by", "with_coupon_id", "group", "less_by", "left", "code")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHORT_BY_FIELD_NUMBER: _ClassVar[int]
    WITH_COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LESS_BY_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    template_id: int
    reason: _reason_pb2.Reason
    short_by: int
    with_coupon_id: int
    group: str
    less_by: int
    left: int
    code: str
    def __init__(self, coupon_id: _Optional[int] = ..., template_id: _Optional[int] = ..., reason: _Optional[_Union[_reason_pb2.Reason, str]] = ..., short_by: _Optional[int] = ..., with_coupon_id: _Optional[int] = ..., group: _Optional[str] = ..., less_by: _Optional[int] = ..., left: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class LineReceipt(_message.Message):
    __slots__ = ("line_id", "list", "discount", "net", "units")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    list: int
    discount: int
    net: int
    units: _containers.RepeatedCompositeFieldContainer[UnitNet]
    def __init__(self, line_id: _Optional[str] = ..., list: _Optional[int] = ..., discount: _Optional[int] = ..., net: _Optional[int] = ..., units: _Optional[_Iterable[_Union[UnitNet, _Mapping]]] = ...) -> None: ...

class UnitNet(_message.Message):
    __slots__ = ("count", "net")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    count: int
    net: int
    def __init__(self, count: _Optional[int] = ..., net: _Optional[int] = ...) -> None: ...

class ShipmentReceipt(_message.Message):
    __slots__ = ("shipment_id", "list", "discount", "net")
    SHIPMENT_ID_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    NET_FIELD_NUMBER: _ClassVar[int]
    shipment_id: str
    list: int
    discount: int
    net: int
    def __init__(self, shipment_id: _Optional[str] = ..., list: _Optional[int] = ..., discount: _Optional[int] = ..., net: _Optional[int] = ...) -> None: ...

class Hint(_message.Message):
    __slots__ = ("coupon_id", "next_tier", "unused", "unlock")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    NEXT_TIER_FIELD_NUMBER: _ClassVar[int]
    UNUSED_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    next_tier: NextTier
    unused: int
    unlock: Unlock
    def __init__(self, coupon_id: _Optional[int] = ..., next_tier: _Optional[_Union[NextTier, _Mapping]] = ..., unused: _Optional[int] = ..., unlock: _Optional[_Union[Unlock, _Mapping]] = ...) -> None: ...

class NextTier(_message.Message):
    __slots__ = ("amount_off", "short_by")
    AMOUNT_OFF_FIELD_NUMBER: _ClassVar[int]
    SHORT_BY_FIELD_NUMBER: _ClassVar[int]
    amount_off: int
    short_by: int
    def __init__(self, amount_off: _Optional[int] = ..., short_by: _Optional[int] = ...) -> None: ...

class Unlock(_message.Message):
    __slots__ = ("short_by",)
    SHORT_BY_FIELD_NUMBER: _ClassVar[int]
    short_by: int
    def __init__(self, short_by: _Optional[int] = ...) -> None: ...

class Certificate(_message.Message):
    __slots__ = ("optimality", "gap", "chosen", "runner_up", "nodes_visited")
    OPTIMALITY_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    RUNNER_UP_FIELD_NUMBER: _ClassVar[int]
    NODES_VISITED_FIELD_NUMBER: _ClassVar[int]
    optimality: Optimality
    gap: int
    chosen: _containers.RepeatedScalarFieldContainer[int]
    runner_up: RunnerUp
    nodes_visited: int
    def __init__(self, optimality: _Optional[_Union[Optimality, str]] = ..., gap: _Optional[int] = ..., chosen: _Optional[_Iterable[int]] = ..., runner_up: _Optional[_Union[RunnerUp, _Mapping]] = ..., nodes_visited: _Optional[int] = ...) -> None: ...

class RunnerUp(_message.Message):
    __slots__ = ("coupon_ids", "less_by")
    COUPON_IDS_FIELD_NUMBER: _ClassVar[int]
    LESS_BY_FIELD_NUMBER: _ClassVar[int]
    coupon_ids: _containers.RepeatedScalarFieldContainer[int]
    less_by: int
    def __init__(self, coupon_ids: _Optional[_Iterable[int]] = ..., less_by: _Optional[int] = ...) -> None: ...
