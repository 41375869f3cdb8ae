import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_THRESHOLD_OFF: _ClassVar[Kind]
    KIND_PERCENT_OFF: _ClassVar[Kind]
    KIND_INSTANT_OFF: _ClassVar[Kind]
    KIND_FREE_SHIPPING: _ClassVar[Kind]
    KIND_FIXED_PRICE: _ClassVar[Kind]
    KIND_NTH_ITEM: _ClassVar[Kind]

class CouponClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COUPON_CLASS_UNSPECIFIED: _ClassVar[CouponClass]
    COUPON_CLASS_ITEM: _ClassVar[CouponClass]
    COUPON_CLASS_SHOP: _ClassVar[CouponClass]
    COUPON_CLASS_PLATFORM: _ClassVar[CouponClass]
    COUPON_CLASS_SHIPPING: _ClassVar[CouponClass]

class Overshoot(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OVERSHOOT_UNSPECIFIED: _ClassVar[Overshoot]
    OVERSHOOT_CLAMP: _ClassVar[Overshoot]
    OVERSHOOT_REJECT: _ClassVar[Overshoot]

class TemplateState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TEMPLATE_STATE_UNSPECIFIED: _ClassVar[TemplateState]
    TEMPLATE_STATE_ACTIVE: _ClassVar[TemplateState]
    TEMPLATE_STATE_PAUSED: _ClassVar[TemplateState]
KIND_UNSPECIFIED: Kind
KIND_THRESHOLD_OFF: Kind
KIND_PERCENT_OFF: Kind
KIND_INSTANT_OFF: Kind
KIND_FREE_SHIPPING: Kind
KIND_FIXED_PRICE: Kind
KIND_NTH_ITEM: Kind
COUPON_CLASS_UNSPECIFIED: CouponClass
COUPON_CLASS_ITEM: CouponClass
COUPON_CLASS_SHOP: CouponClass
COUPON_CLASS_PLATFORM: CouponClass
COUPON_CLASS_SHIPPING: CouponClass
OVERSHOOT_UNSPECIFIED: Overshoot
OVERSHOOT_CLAMP: Overshoot
OVERSHOOT_REJECT: Overshoot
TEMPLATE_STATE_UNSPECIFIED: TemplateState
TEMPLATE_STATE_ACTIVE: TemplateState
TEMPLATE_STATE_PAUSED: TemplateState

class Tier(_message.Message):
    __slots__ = ("min_spend", "amount_off")
    MIN_SPEND_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_OFF_FIELD_NUMBER: _ClassVar[int]
    min_spend: int
    amount_off: int
    def __init__(self, min_spend: _Optional[int] = ..., amount_off: _Optional[int] = ...) -> None: ...

class Repeat(_message.Message):
    __slots__ = ("every", "amount_off")
    EVERY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_OFF_FIELD_NUMBER: _ClassVar[int]
    every: int
    amount_off: int
    def __init__(self, every: _Optional[int] = ..., amount_off: _Optional[int] = ...) -> None: ...

class NthItem(_message.Message):
    __slots__ = ("group_size", "discounted_units", "percent_off_bp", "max_groups")
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    DISCOUNTED_UNITS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_OFF_BP_FIELD_NUMBER: _ClassVar[int]
    MAX_GROUPS_FIELD_NUMBER: _ClassVar[int]
    group_size: int
    discounted_units: int
    percent_off_bp: int
    max_groups: int
    def __init__(self, group_size: _Optional[int] = ..., discounted_units: _Optional[int] = ..., percent_off_bp: _Optional[int] = ..., max_groups: _Optional[int] = ...) -> None: ...

class FixedPrice(_message.Message):
    __slots__ = ("unit_price", "max_units")
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    MAX_UNITS_FIELD_NUMBER: _ClassVar[int]
    unit_price: int
    max_units: int
    def __init__(self, unit_price: _Optional[int] = ..., max_units: _Optional[int] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("include_skus", "include_spus", "include_categories", "include_shops", "exclude_skus", "exclude_spus", "exclude_categories", "exclude_shops")
    INCLUDE_SKUS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SPUS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SHOPS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SKUS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SPUS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SHOPS_FIELD_NUMBER: _ClassVar[int]
    include_skus: _containers.RepeatedScalarFieldContainer[str]
    include_spus: _containers.RepeatedScalarFieldContainer[str]
    include_categories: _containers.RepeatedScalarFieldContainer[str]
    include_shops: _containers.RepeatedScalarFieldContainer[str]
    exclude_skus: _containers.RepeatedScalarFieldContainer[str]
    exclude_spus: _containers.RepeatedScalarFieldContainer[str]
    exclude_categories: _containers.RepeatedScalarFieldContainer[str]
    exclude_shops: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, include_skus: _Optional[_Iterable[str]] = ..., include_spus: _Optional[_Iterable[str]] = ..., include_categories: _Optional[_Iterable[str]] = ..., include_shops: _Optional[_Iterable[str]] = ..., exclude_skus: _Optional[_Iterable[str]] = ..., exclude_spus: _Optional[_Iterable[str]] = ..., exclude_categories: _Optional[_Iterable[str]] = ..., exclude_shops: _Optional[_Iterable[str]] = ...) -> None: ...

class Terms(_message.Message):
    __slots__ = ("kind", "coupon_class", "currency", "min_spend", "min_quantity", "amount_off", "percent_off_bp", "max_discount", "tiers", "repeat", "scope", "shop_id", "priority", "exclusive_group", "stack_limit", "exclusive", "joint", "overshoot", "exclude_sale_items", "nth_item", "fixed_price")
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUPON_CLASS_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    MIN_SPEND_FIELD_NUMBER: _ClassVar[int]
    MIN_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_OFF_FIELD_NUMBER: _ClassVar[int]
    PERCENT_OFF_BP_FIELD_NUMBER: _ClassVar[int]
    MAX_DISCOUNT_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SHOP_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_GROUP_FIELD_NUMBER: _ClassVar[int]
    STACK_LIMIT_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    JOINT_FIELD_NUMBER: _ClassVar[int]
    OVERSHOOT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_SALE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NTH_ITEM_FIELD_NUMBER: _ClassVar[int]
    FIXED_PRICE_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    coupon_class: CouponClass
    currency: str
    min_spend: int
    min_quantity: int
    amount_off: int
    percent_off_bp: int
    max_discount: int
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    repeat: Repeat
    scope: Scope
    shop_id: str
    priority: int
    exclusive_group: str
    stack_limit: int
    exclusive: bool
    joint: bool
    overshoot: Overshoot
    exclude_sale_items: bool
    nth_item: NthItem
    fixed_price: FixedPrice
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., coupon_class: _Optional[_Union[CouponClass, str]] = ..., currency: _Optional[str] = ..., min_spend: _Optional[int] = ..., min_quantity: _Optional[int] = ..., amount_off: _Optional[int] = ..., percent_off_bp: _Optional[int] = ..., max_discount: _Optional[int] = ..., tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ..., repeat: _Optional[_Union[Repeat, _Mapping]] = ..., scope: _Optional[_Union[Scope, _Mapping]] = ..., shop_id: _Optional[str] = ..., priority: _Optional[int] = ..., exclusive_group: _Optional[str] = ..., stack_limit: _Optional[int] = ..., exclusive: _Optional[bool] = ..., joint: _Optional[bool] = ..., overshoot: _Optional[_Union[Overshoot, str]] = ..., exclude_sale_items: _Optional[bool] = ..., nth_item: _Optional[_Union[NthItem, _Mapping]] = ..., fixed_price: _Optional[_Union[FixedPrice, _Mapping]] = ...) -> None: ...

class TemplateSpec(_message.Message):
    __slots__ = ("key", "name", "description", "metadata", "terms", "total", "per_user_limit", "receive_from", "receive_until", "valid_from", "valid_until", "valid_days", "budget", "returns_on_full_refund", "return_grace")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PER_USER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_FROM_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_UNTIL_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    VALID_DAYS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    RETURNS_ON_FULL_REFUND_FIELD_NUMBER: _ClassVar[int]
    RETURN_GRACE_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    description: str
    metadata: _containers.ScalarMap[str, str]
    terms: Terms
    total: int
    per_user_limit: int
    receive_from: _timestamp_pb2.Timestamp
    receive_until: _timestamp_pb2.Timestamp
    valid_from: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    valid_days: int
    budget: int
    returns_on_full_refund: bool
    return_grace: _duration_pb2.Duration
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., terms: _Optional[_Union[Terms, _Mapping]] = ..., total: _Optional[int] = ..., per_user_limit: _Optional[int] = ..., receive_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., receive_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_days: _Optional[int] = ..., budget: _Optional[int] = ..., returns_on_full_refund: _Optional[bool] = ..., return_grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Template(_message.Message):
    __slots__ = ("template_id", "spec", "state", "version", "created_at", "updated_at")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    spec: TemplateSpec
    state: TemplateState
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, template_id: _Optional[int] = ..., spec: _Optional[_Union[TemplateSpec, _Mapping]] = ..., state: _Optional[_Union[TemplateState, str]] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TemplateCounters(_message.Message):
    __slots__ = ("issued", "reserved", "budget_reserved", "budget_spent")
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_RESERVED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SPENT_FIELD_NUMBER: _ClassVar[int]
    issued: int
    reserved: int
    budget_reserved: int
    budget_spent: int
    def __init__(self, issued: _Optional[int] = ..., reserved: _Optional[int] = ..., budget_reserved: _Optional[int] = ..., budget_spent: _Optional[int] = ...) -> None: ...

class CreateTemplateRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: TemplateSpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[TemplateSpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class GetTemplateRequest(_message.Message):
    __slots__ = ("template_id", "key", "min_version", "include_counters")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_COUNTERS_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    key: str
    min_version: int
    include_counters: bool
    def __init__(self, template_id: _Optional[int] = ..., key: _Optional[str] = ..., min_version: _Optional[int] = ..., include_counters: _Optional[bool] = ...) -> None: ...

class GetTemplateResponse(_message.Message):
    __slots__ = ("template", "counters")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    template: Template
    counters: TemplateCounters
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ..., counters: _Optional[_Union[TemplateCounters, _Mapping]] = ...) -> None: ...

class BatchGetTemplatesRequest(_message.Message):
    __slots__ = ("template_ids",)
    TEMPLATE_IDS_FIELD_NUMBER: _ClassVar[int]
    template_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, template_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class BatchGetTemplatesResponse(_message.Message):
    __slots__ = ("templates", "not_found")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    NOT_FOUND_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    not_found: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., not_found: _Optional[_Iterable[int]] = ...) -> None: ...

class UpdateTemplateRequest(_message.Message):
    __slots__ = ("template_id", "spec", "update_mask", "etag", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    spec: TemplateSpec
    update_mask: _field_mask_pb2.FieldMask
    etag: int
    request_id: str
    def __init__(self, template_id: _Optional[int] = ..., spec: _Optional[_Union[TemplateSpec, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class ListTemplatesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "state", "kind")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    state: TemplateState
    kind: Kind
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., state: _Optional[_Union[TemplateState, str]] = ..., kind: _Optional[_Union[Kind, str]] = ...) -> None: ...

class ListTemplatesResponse(_message.Message):
    __slots__ = ("templates", "next_page_token")
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[Template]
    next_page_token: str
    def __init__(self, templates: _Optional[_Iterable[_Union[Template, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PauseTemplateRequest(_message.Message):
    __slots__ = ("template_id", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    request_id: str
    def __init__(self, template_id: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class PauseTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class ResumeTemplateRequest(_message.Message):
    __slots__ = ("template_id", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    request_id: str
    def __init__(self, template_id: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ResumeTemplateResponse(_message.Message):
    __slots__ = ("template",)
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    template: Template
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ...) -> None: ...

class AdjustTotalRequest(_message.Message):
    __slots__ = ("template_id", "total", "request_id")
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    template_id: int
    total: int
    request_id: str
    def __init__(self, template_id: _Optional[int] = ..., total: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class AdjustTotalResponse(_message.Message):
    __slots__ = ("template", "counters")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    template: Template
    counters: TemplateCounters
    def __init__(self, template: _Optional[_Union[Template, _Mapping]] = ..., counters: _Optional[_Union[TemplateCounters, _Mapping]] = ...) -> None: ...
