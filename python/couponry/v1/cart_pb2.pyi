from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Cart(_message.Message):
    __slots__ = ("currency", "lines", "shipments", "order_total")
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHIPMENTS_FIELD_NUMBER: _ClassVar[int]
    ORDER_TOTAL_FIELD_NUMBER: _ClassVar[int]
    currency: str
    lines: _containers.RepeatedCompositeFieldContainer[CartLine]
    shipments: _containers.RepeatedCompositeFieldContainer[Shipment]
    order_total: int
    def __init__(self, currency: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[CartLine, _Mapping]]] = ..., shipments: _Optional[_Iterable[_Union[Shipment, _Mapping]]] = ..., order_total: _Optional[int] = ...) -> None: ...

class CartLine(_message.Message):
    __slots__ = ("line_id", "sku_id", "spu_id", "category_ids", "shop_id", "quantity", "unit_price", "list_unit_price", "not_discountable")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_ID_FIELD_NUMBER: _ClassVar[int]
    SPU_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_IDS_FIELD_NUMBER: _ClassVar[int]
    SHOP_ID_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    LIST_UNIT_PRICE_FIELD_NUMBER: _ClassVar[int]
    NOT_DISCOUNTABLE_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    sku_id: str
    spu_id: str
    category_ids: _containers.RepeatedScalarFieldContainer[str]
    shop_id: str
    quantity: int
    unit_price: int
    list_unit_price: int
    not_discountable: bool
    def __init__(self, line_id: _Optional[str] = ..., sku_id: _Optional[str] = ..., spu_id: _Optional[str] = ..., category_ids: _Optional[_Iterable[str]] = ..., shop_id: _Optional[str] = ..., quantity: _Optional[int] = ..., unit_price: _Optional[int] = ..., list_unit_price: _Optional[int] = ..., not_discountable: _Optional[bool] = ...) -> None: ...

class Shipment(_message.Message):
    __slots__ = ("shipment_id", "shop_id", "amount")
    SHIPMENT_ID_FIELD_NUMBER: _ClassVar[int]
    SHOP_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_FIELD_NUMBER: _ClassVar[int]
    shipment_id: str
    shop_id: str
    amount: int
    def __init__(self, shipment_id: _Optional[str] = ..., shop_id: _Optional[str] = ..., amount: _Optional[int] = ...) -> None: ...
