import datetime

from couponry.v1 import cart_pb2 as _cart_pb2
from couponry.v1 import discount_pb2 as _discount_pb2
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

class CouponState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUPON_STATE_UNSPECIFIED: _ClassVar[CouponState]
    COUPON_STATE_UNUSED: _ClassVar[CouponState]
    COUPON_STATE_LOCKED: _ClassVar[CouponState]
    COUPON_STATE_USED: _ClassVar[CouponState]
    COUPON_STATE_EXPIRED: _ClassVar[CouponState]
    COUPON_STATE_REVOKED: _ClassVar[CouponState]
    COUPON_STATE_PENDING: _ClassVar[CouponState]

class CouponSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUPON_SOURCE_UNSPECIFIED: _ClassVar[CouponSource]
    COUPON_SOURCE_RECEIVED: _ClassVar[CouponSource]
    COUPON_SOURCE_GRANTED: _ClassVar[CouponSource]
    COUPON_SOURCE_FLASH_SALE: _ClassVar[CouponSource]
COUPON_STATE_UNSPECIFIED: CouponState
COUPON_STATE_UNUSED: CouponState
COUPON_STATE_LOCKED: CouponState
COUPON_STATE_USED: CouponState
COUPON_STATE_EXPIRED: CouponState
COUPON_STATE_REVOKED: CouponState
COUPON_STATE_PENDING: CouponState
COUPON_SOURCE_UNSPECIFIED: CouponSource
COUPON_SOURCE_RECEIVED: CouponSource
COUPON_SOURCE_GRANTED: CouponSource
COUPON_SOURCE_FLASH_SALE: CouponSource

class Coupon(_message.Message):
    __slots__ = ("coupon_id", "code", "user_id", "template_id", "state", "source", "valid_from", "valid_until", "received_at", "order_id", "attempt", "locked_until", "used_at", "activity_id", "version")
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    LOCKED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    USED_AT_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    coupon_id: int
    code: str
    user_id: str
    template_id: int
    state: CouponState
    source: CouponSource
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    order_id: str
    attempt: int
    locked_until: _timestamp_pb2.Timestamp
    used_at: _timestamp_pb2.Timestamp
    activity_id: int
    version: int
    def __init__(self, coupon_id: _Optional[int] = ..., code: _Optional[str] = ..., user_id: _Optional[str] = ..., template_id: _Optional[int] = ..., state: _Optional[_Union[CouponState, str]] = ..., source: _Optional[_Union[CouponSource, str]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., order_id: _Optional[str] = ..., attempt: _Optional[int] = ..., locked_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., used_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., activity_id: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class ReceiveCouponRequest(_message.Message):
    __slots__ = ("user_id", "template_id", "request_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    template_id: int
    request_id: str
    def __init__(self, user_id: _Optional[str] = ..., template_id: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ReceiveCouponResponse(_message.Message):
    __slots__ = ("coupon",)
    COUPON_FIELD_NUMBER: _ClassVar[int]
    coupon: Coupon
    def __init__(self, coupon: _Optional[_Union[Coupon, _Mapping]] = ...) -> None: ...

class GrantCouponsRequest(_message.Message):
    __slots__ = ("template_id", "user_ids", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, template_id: _Optional[int] = ..., user_ids: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GrantCouponsResponse(_message.Message):
    __slots__ = ("grants",)
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    grants: _containers.RepeatedCompositeFieldContainer[Grant]
    def __init__(self, grants: _Optional[_Iterable[_Union[Grant, _Mapping]]] = ...) -> None: ...

class Grant(_message.Message):
    __slots__ = ("user_id", "coupon", "refused")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    coupon: Coupon
    refused: _reason_pb2.Reason
    def __init__(self, user_id: _Optional[str] = ..., coupon: _Optional[_Union[Coupon, _Mapping]] = ..., refused: _Optional[_Union[_reason_pb2.Reason, str]] = ...) -> None: ...

class GetCouponRequest(_message.Message):
    __slots__ = ("user_id", "coupon", "min_version")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    coupon: _discount_pb2.CouponRef
    min_version: int
    def __init__(self, user_id: _Optional[str] = ..., coupon: _Optional[_Union[_discount_pb2.CouponRef, _Mapping]] = ..., min_version: _Optional[int] = ...) -> None: ...

class GetCouponResponse(_message.Message):
    __slots__ = ("coupon", "template")
    COUPON_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    coupon: Coupon
    template: _template_pb2.Template
    def __init__(self, coupon: _Optional[_Union[Coupon, _Mapping]] = ..., template: _Optional[_Union[_template_pb2.Template, _Mapping]] = ...) -> None: ...

class ListUserCouponsRequest(_message.Message):
    __slots__ = ("user_id", "states", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    states: _containers.RepeatedScalarFieldContainer[CouponState]
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., states: _Optional[_Iterable[_Union[CouponState, str]]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUserCouponsResponse(_message.Message):
    __slots__ = ("coupons", "templates", "next_page_token")
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    coupons: _containers.RepeatedCompositeFieldContainer[Coupon]
    templates: _containers.RepeatedCompositeFieldContainer[_template_pb2.Template]
    next_page_token: str
    def __init__(self, coupons: _Optional[_Iterable[_Union[Coupon, _Mapping]]] = ..., templates: _Optional[_Iterable[_Union[_template_pb2.Template, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListAvailableCouponsRequest(_message.Message):
    __slots__ = ("user_id", "cart", "minimum_payable", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CART_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_PAYABLE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    cart: _cart_pb2.Cart
    minimum_payable: int
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., cart: _Optional[_Union[_cart_pb2.Cart, _Mapping]] = ..., minimum_payable: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAvailableCouponsResponse(_message.Message):
    __slots__ = ("coupons", "next_page_token")
    COUPONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    coupons: _containers.RepeatedCompositeFieldContainer[AvailableCoupon]
    next_page_token: str
    def __init__(self, coupons: _Optional[_Iterable[_Union[AvailableCoupon, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AvailableCoupon(_message.Message):
    __slots__ = ("coupon", "discount", "rejected")
    COUPON_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    coupon: Coupon
    discount: int
    rejected: _discount_pb2.RejectedCoupon
    def __init__(self, coupon: _Optional[_Union[Coupon, _Mapping]] = ..., discount: _Optional[int] = ..., rejected: _Optional[_Union[_discount_pb2.RejectedCoupon, _Mapping]] = ...) -> None: ...

class RevokeCouponRequest(_message.Message):
    __slots__ = ("user_id", "coupon", "request_id")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    coupon: _discount_pb2.CouponRef
    request_id: str
    def __init__(self, user_id: _Optional[str] = ..., coupon: _Optional[_Union[_discount_pb2.CouponRef, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class RevokeCouponResponse(_message.Message):
    __slots__ = ("coupon",)
    COUPON_FIELD_NUMBER: _ClassVar[int]
    coupon: Coupon
    def __init__(self, coupon: _Optional[_Union[Coupon, _Mapping]] = ...) -> None: ...
