import datetime

from couponry.v1 import flash_sale_pb2 as _flash_sale_pb2
from couponry.v1 import order_pb2 as _order_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TransactionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRANSACTION_STATE_UNSPECIFIED: _ClassVar[TransactionState]
    TRANSACTION_STATE_PREPARED: _ClassVar[TransactionState]
    TRANSACTION_STATE_SUBMITTED: _ClassVar[TransactionState]
    TRANSACTION_STATE_ABORTING: _ClassVar[TransactionState]
    TRANSACTION_STATE_SUCCEEDED: _ClassVar[TransactionState]
    TRANSACTION_STATE_FAILED: _ClassVar[TransactionState]
TRANSACTION_STATE_UNSPECIFIED: TransactionState
TRANSACTION_STATE_PREPARED: TransactionState
TRANSACTION_STATE_SUBMITTED: TransactionState
TRANSACTION_STATE_ABORTING: TransactionState
TRANSACTION_STATE_SUCCEEDED: TransactionState
TRANSACTION_STATE_FAILED: TransactionState

class SubmitOrderWithCouponsRequest(_message.Message):
    __slots__ = ("lock", "order_payload", "wait")
    LOCK_FIELD_NUMBER: _ClassVar[int]
    ORDER_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    lock: _order_pb2.LockCouponsRequest
    order_payload: bytes
    wait: bool
    def __init__(self, lock: _Optional[_Union[_order_pb2.LockCouponsRequest, _Mapping]] = ..., order_payload: _Optional[bytes] = ..., wait: _Optional[bool] = ...) -> None: ...

class SubmitOrderWithCouponsResponse(_message.Message):
    __slots__ = ("gid", "state", "order")
    GID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    gid: str
    state: TransactionState
    order: _order_pb2.OrderCoupons
    def __init__(self, gid: _Optional[str] = ..., state: _Optional[_Union[TransactionState, str]] = ..., order: _Optional[_Union[_order_pb2.OrderCoupons, _Mapping]] = ...) -> None: ...

class ProcessFlashSaleWithInventoryRequest(_message.Message):
    __slots__ = ("activity_id", "user_id", "order_id", "attempt", "inventory_payload", "wait")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    user_id: str
    order_id: str
    attempt: int
    inventory_payload: bytes
    wait: bool
    def __init__(self, activity_id: _Optional[int] = ..., user_id: _Optional[str] = ..., order_id: _Optional[str] = ..., attempt: _Optional[int] = ..., inventory_payload: _Optional[bytes] = ..., wait: _Optional[bool] = ...) -> None: ...

class ProcessFlashSaleWithInventoryResponse(_message.Message):
    __slots__ = ("gid", "state", "participation")
    GID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PARTICIPATION_FIELD_NUMBER: _ClassVar[int]
    gid: str
    state: TransactionState
    participation: _flash_sale_pb2.ParticipateResponse
    def __init__(self, gid: _Optional[str] = ..., state: _Optional[_Union[TransactionState, str]] = ..., participation: _Optional[_Union[_flash_sale_pb2.ParticipateResponse, _Mapping]] = ...) -> None: ...

class GetTransactionRequest(_message.Message):
    __slots__ = ("gid",)
    GID_FIELD_NUMBER: _ClassVar[int]
    gid: str
    def __init__(self, gid: _Optional[str] = ...) -> None: ...

class GetTransactionResponse(_message.Message):
    __slots__ = ("gid", "state", "branches", "created_at", "finished_at")
    GID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BRANCHES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    gid: str
    state: TransactionState
    branches: _containers.RepeatedCompositeFieldContainer[TransactionBranch]
    created_at: _timestamp_pb2.Timestamp
    finished_at: _timestamp_pb2.Timestamp
    def __init__(self, gid: _Optional[str] = ..., state: _Optional[_Union[TransactionState, str]] = ..., branches: _Optional[_Iterable[_Union[TransactionBranch, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., finished_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TransactionBranch(_message.Message):
    __slots__ = ("branch_id", "op", "state")
    BRANCH_ID_FIELD_NUMBER: _ClassVar[int]
    OP_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    branch_id: str
    op: str
    state: TransactionState
    def __init__(self, branch_id: _Optional[str] = ..., op: _Optional[str] = ..., state: _Optional[_Union[TransactionState, str]] = ...) -> None: ...

class ParticipateBranch(_message.Message):
    __slots__ = ("activity_id", "user_id")
    ACTIVITY_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    activity_id: int
    user_id: str
    def __init__(self, activity_id: _Optional[int] = ..., user_id: _Optional[str] = ...) -> None: ...

class TryParticipateRequest(_message.Message):
    __slots__ = ("branch",)
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    branch: ParticipateBranch
    def __init__(self, branch: _Optional[_Union[ParticipateBranch, _Mapping]] = ...) -> None: ...

class TryParticipateResponse(_message.Message):
    __slots__ = ("participation",)
    PARTICIPATION_FIELD_NUMBER: _ClassVar[int]
    participation: _flash_sale_pb2.ParticipateResponse
    def __init__(self, participation: _Optional[_Union[_flash_sale_pb2.ParticipateResponse, _Mapping]] = ...) -> None: ...

class ConfirmParticipateRequest(_message.Message):
    __slots__ = ("branch",)
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    branch: ParticipateBranch
    def __init__(self, branch: _Optional[_Union[ParticipateBranch, _Mapping]] = ...) -> None: ...

class ConfirmParticipateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CancelParticipateRequest(_message.Message):
    __slots__ = ("branch",)
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    branch: ParticipateBranch
    def __init__(self, branch: _Optional[_Union[ParticipateBranch, _Mapping]] = ...) -> None: ...

class CancelParticipateResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
