import datetime

from couponry.v1 import cart_pb2 as _cart_pb2
from couponry.v1 import discount_pb2 as _discount_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OrderState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ORDER_STATE_UNSPECIFIED: _ClassVar[OrderState]
    ORDER_STATE_LOCKED: _ClassVar[OrderState]
    ORDER_STATE_LAPSED: _ClassVar[OrderState]
    ORDER_STATE_RELEASED: _ClassVar[OrderState]
    ORDER_STATE_USED: _ClassVar[OrderState]
    ORDER_STATE_PARTLY_RETURNED: _ClassVar[OrderState]
    ORDER_STATE_RETURNED: _ClassVar[OrderState]

class LedgerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEDGER_KIND_UNSPECIFIED: _ClassVar[LedgerKind]
    LEDGER_KIND_LOCK: _ClassVar[LedgerKind]
    LEDGER_KIND_USE: _ClassVar[LedgerKind]
    LEDGER_KIND_RELEASE: _ClassVar[LedgerKind]
    LEDGER_KIND_RETURN: _ClassVar[LedgerKind]

class LedgerLineKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LEDGER_LINE_KIND_UNSPECIFIED: _ClassVar[LedgerLineKind]
    LEDGER_LINE_KIND_GOODS: _ClassVar[LedgerLineKind]
    LEDGER_LINE_KIND_SHIPMENT: _ClassVar[LedgerLineKind]
ORDER_STATE_UNSPECIFIED: OrderState
ORDER_STATE_LOCKED: OrderState
ORDER_STATE_LAPSED: OrderState
ORDER_STATE_RELEASED: OrderState
ORDER_STATE_USED: OrderState
ORDER_STATE_PARTLY_RETURNED: OrderState
ORDER_STATE_RETURNED: OrderState
LEDGER_KIND_UNSPECIFIED: LedgerKind
LEDGER_KIND_LOCK: LedgerKind
LEDGER_KIND_USE: LedgerKind
LEDGER_KIND_RELEASE: LedgerKind
LEDGER_KIND_RETURN: LedgerKind
LEDGER_LINE_KIND_UNSPECIFIED: LedgerLineKind
LEDGER_LINE_KIND_GOODS: LedgerLineKind
LEDGER_LINE_KIND_SHIPMENT: LedgerLineKind

class OrderCoupons(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "state", "decision", "locked_until", "ledger_left", "discount_returned")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    LOCKED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    LEDGER_LEFT_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_RETURNED_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    state: OrderState
    decision: _discount_pb2.Decision
    locked_until: _timestamp_pb2.Timestamp
    ledger_left: int
    discount_returned: int
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., state: _Optional[_Union[OrderState, str]] = ..., decision: _Optional[_Union[_discount_pb2.Decision, _Mapping]] = ..., locked_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ledger_left: _Optional[int] = ..., discount_returned: _Optional[int] = ...) -> None: ...

class LockCouponsRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "cart", "coupons", "minimum_payable", "ttl", "expected_payable", "replace", "request_id")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CART_FIELD_NUMBER: _ClassVar[int]
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    cart: _cart_pb2.Cart
    coupons: _containers.RepeatedCompositeFieldContainer[_discount_pb2.CouponRef]
    minimum_payable: int
    ttl: _duration_pb2.Duration
    expected_payable: int
    replace: bool
    request_id: str
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., cart: _Optional[_Union[_cart_pb2.Cart, _Mapping]] = ..., coupons: _Optional[_Iterable[_Union[_discount_pb2.CouponRef, _Mapping]]] = ..., minimum_payable: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., expected_payable: _Optional[int] = ..., replace: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class LockCouponsResponse(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: OrderCoupons
    def __init__(self, order: _Optional[_Union[OrderCoupons, _Mapping]] = ...) -> None: ...

class ExtendLockRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "ttl", "request_id")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    ttl: _duration_pb2.Duration
    request_id: str
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ExtendLockResponse(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: OrderCoupons
    def __init__(self, order: _Optional[_Union[OrderCoupons, _Mapping]] = ...) -> None: ...

class UseCouponsRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "cart", "coupons", "minimum_payable", "expected_payable", "request_id")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CART_FIELD_NUMBER: _ClassVar[int]
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    cart: _cart_pb2.Cart
    coupons: _containers.RepeatedCompositeFieldContainer[_discount_pb2.CouponRef]
    minimum_payable: int
    expected_payable: int
    request_id: str
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., cart: _Optional[_Union[_cart_pb2.Cart, _Mapping]] = ..., coupons: _Optional[_Iterable[_Union[_discount_pb2.CouponRef, _Mapping]]] = ..., minimum_payable: _Optional[int] = ..., expected_payable: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UseCouponsResponse(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: OrderCoupons
    def __init__(self, order: _Optional[_Union[OrderCoupons, _Mapping]] = ...) -> None: ...

class ReleaseCouponsRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "request_id")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    request_id: str
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReleaseCouponsResponse(_message.Message):
    __slots__ = ("order",)
    ORDER_FIELD_NUMBER: _ClassVar[int]
    order: OrderCoupons
    def __init__(self, order: _Optional[_Union[OrderCoupons, _Mapping]] = ...) -> None: ...

class ReturnCouponsRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt", "return_id", "lines", "shipment_ids")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    RETURN_ID_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHIPMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    return_id: str
    lines: _containers.RepeatedCompositeFieldContainer[ReturnLine]
    shipment_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ..., return_id: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[ReturnLine, _Mapping]]] = ..., shipment_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ReturnLine(_message.Message):
    __slots__ = ("line_id", "units")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    units: int
    def __init__(self, line_id: _Optional[str] = ..., units: _Optional[int] = ...) -> None: ...

class ReturnCouponsResponse(_message.Message):
    __slots__ = ("discount_returned", "shipping_discount_returned", "refund", "coupons_back", "order")
    DISCOUNT_RETURNED_FIELD_NUMBER: _ClassVar[int]
    SHIPPING_DISCOUNT_RETURNED_FIELD_NUMBER: _ClassVar[int]
    REFUND_FIELD_NUMBER: _ClassVar[int]
    COUPONS_BACK_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    discount_returned: int
    shipping_discount_returned: int
    refund: int
    coupons_back: _containers.RepeatedScalarFieldContainer[int]
    order: OrderCoupons
    def __init__(self, discount_returned: _Optional[int] = ..., shipping_discount_returned: _Optional[int] = ..., refund: _Optional[int] = ..., coupons_back: _Optional[_Iterable[int]] = ..., order: _Optional[_Union[OrderCoupons, _Mapping]] = ...) -> None: ...

class GetOrderCouponsRequest(_message.Message):
    __slots__ = ("order_id", "user_id", "attempt")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    user_id: str
    attempt: int
    def __init__(self, order_id: _Optional[str] = ..., user_id: _Optional[str] = ..., attempt: _Optional[int] = ...) -> None: ...

class GetOrderCouponsResponse(_message.Message):
    __slots__ = ("order", "ledger")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    order: OrderCoupons
    ledger: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    def __init__(self, order: _Optional[_Union[OrderCoupons, _Mapping]] = ..., ledger: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("kind", "line_kind", "line_id", "unit_from", "unit_count", "coupon_id", "amount_each", "return_id", "at")
    KIND_FIELD_NUMBER: _ClassVar[int]
    LINE_KIND_FIELD_NUMBER: _ClassVar[int]
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    UNIT_FROM_FIELD_NUMBER: _ClassVar[int]
    UNIT_COUNT_FIELD_NUMBER: _ClassVar[int]
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_EACH_FIELD_NUMBER: _ClassVar[int]
    RETURN_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    kind: LedgerKind
    line_kind: LedgerLineKind
    line_id: str
    unit_from: int
    unit_count: int
    coupon_id: int
    amount_each: int
    return_id: str
    at: _timestamp_pb2.Timestamp
    def __init__(self, kind: _Optional[_Union[LedgerKind, str]] = ..., line_kind: _Optional[_Union[LedgerLineKind, str]] = ..., line_id: _Optional[str] = ..., unit_from: _Optional[int] = ..., unit_count: _Optional[int] = ..., coupon_id: _Optional[int] = ..., amount_each: _Optional[int] = ..., return_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
