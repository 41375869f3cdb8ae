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

class ActivityState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTIVITY_STATE_UNSPECIFIED: _ClassVar[ActivityState]
    ACTIVITY_STATE_SCHEDULED: _ClassVar[ActivityState]
    ACTIVITY_STATE_RUNNING: _ClassVar[ActivityState]
    ACTIVITY_STATE_PAUSED: _ClassVar[ActivityState]
    ACTIVITY_STATE_ENDING: _ClassVar[ActivityState]
    ACTIVITY_STATE_SETTLED: _ClassVar[ActivityState]

class Ack(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_UNSPECIFIED: _ClassVar[Ack]
    ACK_REDIS: _ClassVar[Ack]
    ACK_REPLICA: _ClassVar[Ack]
    ACK_MYSQL: _ClassVar[Ack]

class ParticipateStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PARTICIPATE_STATUS_UNSPECIFIED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_WON: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_SOLD_OUT: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_LIMIT_REACHED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_NOT_STARTED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_ENDED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_PAUSED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_CANCELLED: _ClassVar[ParticipateStatus]
    PARTICIPATE_STATUS_FAILED: _ClassVar[ParticipateStatus]

class RecordState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_STATE_UNSPECIFIED: _ClassVar[RecordState]
    RECORD_STATE_PENDING: _ClassVar[RecordState]
    RECORD_STATE_WON: _ClassVar[RecordState]
    RECORD_STATE_TRIED: _ClassVar[RecordState]
    RECORD_STATE_CANCELLED: _ClassVar[RecordState]
    RECORD_STATE_FAILED: _ClassVar[RecordState]
ACTIVITY_STATE_UNSPECIFIED: ActivityState
ACTIVITY_STATE_SCHEDULED: ActivityState
ACTIVITY_STATE_RUNNING: ActivityState
ACTIVITY_STATE_PAUSED: ActivityState
ACTIVITY_STATE_ENDING: ActivityState
ACTIVITY_STATE_SETTLED: ActivityState
ACK_UNSPECIFIED: Ack
ACK_REDIS: Ack
ACK_REPLICA: Ack
ACK_MYSQL: Ack
PARTICIPATE_STATUS_UNSPECIFIED: ParticipateStatus
PARTICIPATE_STATUS_WON: ParticipateStatus
PARTICIPATE_STATUS_SOLD_OUT: ParticipateStatus
PARTICIPATE_STATUS_LIMIT_REACHED: ParticipateStatus
PARTICIPATE_STATUS_NOT_STARTED: ParticipateStatus
PARTICIPATE_STATUS_ENDED: ParticipateStatus
PARTICIPATE_STATUS_PAUSED: ParticipateStatus
PARTICIPATE_STATUS_CANCELLED: ParticipateStatus
PARTICIPATE_STATUS_FAILED: ParticipateStatus
RECORD_STATE_UNSPECIFIED: RecordState
RECORD_STATE_PENDING: RecordState
RECORD_STATE_WON: RecordState
RECORD_STATE_TRIED: RecordState
RECORD_STATE_CANCELLED: RecordState
RECORD_STATE_FAILED: RecordState

class ActivitySpec(_message.Message):
    __slots__ = ("key", "name", "metadata", "template_id", "stock", "per_user_limit", "start_at", "end_at", "ack", "buckets")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    STOCK_FIELD_NUMBER: _ClassVar[int]
    PER_USER_LIMIT_FIELD_NUMBER: _ClassVar[int]
    START_AT_FIELD_NUMBER: _ClassVar[int]
    END_AT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    BUCKETS_FIELD_NUMBER: _ClassVar[int]
    key: str
    name: str
    metadata: _containers.ScalarMap[str, str]
    template_id: int
    stock: int
    per_user_limit: int
    start_at: _timestamp_pb2.Timestamp
    end_at: _timestamp_pb2.Timestamp
    ack: Ack
    buckets: int
    def __init__(self, key: _Optional[str] = ..., name: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., template_id: _Optional[int] = ..., stock: _Optional[int] = ..., per_user_limit: _Optional[int] = ..., start_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ack: _Optional[_Union[Ack, str]] = ..., buckets: _Optional[int] = ...) -> None: ...

class Activity(_message.Message):
    __slots__ = ("activity_id", "spec", "state", "paused", "version", "created_at", "updated_at")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    spec: ActivitySpec
    state: ActivityState
    paused: bool
    version: int
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, activity_id: _Optional[int] = ..., spec: _Optional[_Union[ActivitySpec, _Mapping]] = ..., state: _Optional[_Union[ActivityState, str]] = ..., paused: _Optional[bool] = ..., version: _Optional[int] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateActivityRequest(_message.Message):
    __slots__ = ("spec", "request_id")
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    spec: ActivitySpec
    request_id: str
    def __init__(self, spec: _Optional[_Union[ActivitySpec, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CreateActivityResponse(_message.Message):
    __slots__ = ("activity",)
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ...) -> None: ...

class GetActivityRequest(_message.Message):
    __slots__ = ("activity_id", "key", "min_version")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MIN_VERSION_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    key: str
    min_version: int
    def __init__(self, activity_id: _Optional[int] = ..., key: _Optional[str] = ..., min_version: _Optional[int] = ...) -> None: ...

class GetActivityResponse(_message.Message):
    __slots__ = ("activity",)
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ...) -> None: ...

class UpdateActivityRequest(_message.Message):
    __slots__ = ("activity_id", "spec", "update_mask", "paused", "etag", "request_id")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    spec: ActivitySpec
    update_mask: _field_mask_pb2.FieldMask
    paused: bool
    etag: int
    request_id: str
    def __init__(self, activity_id: _Optional[int] = ..., spec: _Optional[_Union[ActivitySpec, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., paused: _Optional[bool] = ..., etag: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class UpdateActivityResponse(_message.Message):
    __slots__ = ("activity",)
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ...) -> None: ...

class ListActivitiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "template_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    template_id: int
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., template_id: _Optional[int] = ...) -> None: ...

class ListActivitiesResponse(_message.Message):
    __slots__ = ("activities", "next_page_token")
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    activities: _containers.RepeatedCompositeFieldContainer[Activity]
    next_page_token: str
    def __init__(self, activities: _Optional[_Iterable[_Union[Activity, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListActiveActivitiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListActiveActivitiesResponse(_message.Message):
    __slots__ = ("activities", "next_page_token")
    ACTIVITIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    activities: _containers.RepeatedCompositeFieldContainer[Activity]
    next_page_token: str
    def __init__(self, activities: _Optional[_Iterable[_Union[Activity, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ParticipateRequest(_message.Message):
    __slots__ = ("activity_id", "user_id", "request_id")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    user_id: str
    request_id: str
    def __init__(self, activity_id: _Optional[int] = ..., user_id: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ParticipateResponse(_message.Message):
    __slots__ = ("status", "coupon_id", "code", "left", "retry_after")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    status: ParticipateStatus
    coupon_id: int
    code: str
    left: int
    retry_after: _duration_pb2.Duration
    def __init__(self, status: _Optional[_Union[ParticipateStatus, str]] = ..., coupon_id: _Optional[int] = ..., code: _Optional[str] = ..., left: _Optional[int] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class GetStockRequest(_message.Message):
    __slots__ = ("activity_id",)
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    def __init__(self, activity_id: _Optional[int] = ...) -> None: ...

class GetStockResponse(_message.Message):
    __slots__ = ("left", "total", "sold", "as_of")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    left: int
    total: int
    sold: int
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, left: _Optional[int] = ..., total: _Optional[int] = ..., sold: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class WatchStockRequest(_message.Message):
    __slots__ = ("activity_id",)
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    def __init__(self, activity_id: _Optional[int] = ...) -> None: ...

class WatchStockResponse(_message.Message):
    __slots__ = ("left", "total", "sold", "as_of")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    left: int
    total: int
    sold: int
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, left: _Optional[int] = ..., total: _Optional[int] = ..., sold: _Optional[int] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class FlashSaleRecord(_message.Message):
    __slots__ = ("activity_id", "coupon_id", "code", "state", "claimed_at")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    COUPON_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_AT_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    coupon_id: int
    code: str
    state: RecordState
    claimed_at: _timestamp_pb2.Timestamp
    def __init__(self, activity_id: _Optional[int] = ..., coupon_id: _Optional[int] = ..., code: _Optional[str] = ..., state: _Optional[_Union[RecordState, str]] = ..., claimed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListUserRecordsRequest(_message.Message):
    __slots__ = ("user_id", "activity_id", "page_size", "page_token")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    activity_id: int
    page_size: int
    page_token: str
    def __init__(self, user_id: _Optional[str] = ..., activity_id: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListUserRecordsResponse(_message.Message):
    __slots__ = ("records", "next_page_token")
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[FlashSaleRecord]
    next_page_token: str
    def __init__(self, records: _Optional[_Iterable[_Union[FlashSaleRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class EndActivityRequest(_message.Message):
    __slots__ = ("activity_id", "request_id")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    request_id: str
    def __init__(self, activity_id: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class EndActivityResponse(_message.Message):
    __slots__ = ("activity", "sold", "returned")
    ACTIVITY_FIELD_NUMBER: _ClassVar[int]
    SOLD_FIELD_NUMBER: _ClassVar[int]
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    activity: Activity
    sold: int
    returned: int
    def __init__(self, activity: _Optional[_Union[Activity, _Mapping]] = ..., sold: _Optional[int] = ..., returned: _Optional[int] = ...) -> None: ...

class AdjustStockRequest(_message.Message):
    __slots__ = ("activity_id", "delta", "adjustment_id")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    ADJUSTMENT_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    delta: int
    adjustment_id: str
    def __init__(self, activity_id: _Optional[int] = ..., delta: _Optional[int] = ..., adjustment_id: _Optional[str] = ...) -> None: ...

class AdjustStockResponse(_message.Message):
    __slots__ = ("total", "left")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    total: int
    left: int
    def __init__(self, total: _Optional[int] = ..., left: _Optional[int] = ...) -> None: ...
