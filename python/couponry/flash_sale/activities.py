"""The use cases around an activity itself: created, read, changed, listed.

The stock of an activity is carved out of its template when it is created: issued + reserved never exceeds the total.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from couponry.clock import Clock, from_ms, from_sql, from_timestamp, to_ms, to_sql
from couponry.coupons.once import answer_once, request_key
from couponry.errors import Exhausted, FailedPrecondition, InvalidArgument, NotFound
from couponry.flash_sale.configure import Configurator
from couponry.flash_sale.messages import (
    MAX_ACTIVITY_ID,
    activity_columns,
    activity_message,
    check_field,
    check_spec,
    metadata_json,
    next_boundary,
    normal,
    split_stock,
)
from couponry.paging import decode, encode, query_of
from couponry.store import activities as store
from couponry.store import flash_sale as sale_store
from couponry.store.layers import Change, Layers, Loaded, versions
from couponry.store.mysql import DuplicateKey, MySQL, Row, Tx
from couponry.v1 import flash_sale_pb2
from couponry.validation import MAX_ID, Violations, fingerprint

__all__ = ["ACTIVITY_KEY_KIND", "ACTIVITY_KIND", "Activities", "register_loaders"]

ACTIVITY_KIND: Final = "activity"
ACTIVITY_KEY_KIND: Final = "activity_key"
_CHANGEABLE: Final = ("name", "metadata", "start_at", "end_at", "per_user_limit", "paused")
_OF_THE_SALE: Final = frozenset(_CHANGEABLE) - {"name", "metadata"}


def register_loaders(*, layers: Layers, mysql: MySQL, clock: Clock) -> None:
    """Teaches the layers to read activities from MySQL."""

    async def load_activities(keys: Sequence[str]) -> Mapping[str, Loaded]:
        now = clock()
        rows = await store.select_activities(mysql, [int(key) for key in keys])
        return {
            str(row["id"]): Loaded(
                activity_message(row, now).SerializeToString(), versions(row), next_boundary(row, now)
            )
            for row in rows
        }

    async def load_keys(keys: Sequence[str]) -> Mapping[str, Loaded]:
        rows = await store.select_ids_by_key(mysql, keys)
        return {row["activity_key"].decode(): Loaded(str(row["id"]).encode(), versions(row)) for row in rows}

    layers.register(ACTIVITY_KIND, load_activities)
    layers.register(ACTIVITY_KEY_KIND, load_keys)


class Activities:
    """Activities: created, read, changed, listed. `caller` is who an admin call comes from."""

    def __init__(self, *, mysql: MySQL, layers: Layers, clock: Clock, configurator: Configurator) -> None:
        self._mysql = mysql
        self._layers = layers
        self._clock = clock
        self._configurator = configurator

    async def create(
        self, request: flash_sale_pb2.CreateActivityRequest, caller: str
    ) -> flash_sale_pb2.CreateActivityResponse:
        """A new activity; for a key that exists with the same spec, the activity that has it.

        Raises FailedPrecondition / KEY_TAKEN, or TOTAL_LIMIT with `left` where the template has less than the stock.
        """
        violations = Violations()
        violations.request_id("request_id", request.request_id)
        check_spec(request.spec, "spec", violations)
        violations.raise_if_any()
        spec = normal(request.spec)
        spec_fingerprint = fingerprint(spec)

        async def effect(tx: Tx) -> flash_sale_pb2.CreateActivityResponse:
            row = await store.select_by_key(tx, spec.key) if spec.HasField("key") else None
            if row is None:
                row = await _insert(tx, spec, spec_fingerprint)
            if row["spec_fingerprint"] != spec_fingerprint:
                raise FailedPrecondition(
                    "the key names another activity", reason="KEY_TAKEN", metadata={"activity_id": row["id"]}
                )
            return flash_sale_pb2.CreateActivityResponse(activity=activity_message(row, self._clock()))

        response = await answer_once(
            self._mysql,
            request_key("CreateActivity", caller, request),
            flash_sale_pb2.CreateActivityResponse,
            effect,
        )
        self._wrote(response.activity)
        await self._configurator.changed(response.activity.activity_id)
        return response

    async def get(self, request: flash_sale_pb2.GetActivityRequest) -> flash_sale_pb2.GetActivityResponse:
        """One activity by id or key, never of an older version than asked for."""
        violations = Violations()
        violations.between("min_version", request.min_version, 0, MAX_ID)
        match request.WhichOneof("ref"):
            case "activity_id":
                violations.own_id("activity_id", request.activity_id)
            case "key":
                violations.shop_id("key", request.key)
            case _:
                violations.add("activity_id", "an activity_id or a key is required")
        violations.raise_if_any()
        activity_id = request.activity_id
        if request.WhichOneof("ref") == "key":
            alias = await self._layers.get(ACTIVITY_KEY_KIND, request.key)
            activity_id = 0 if alias is None else int(alias)
        activity = await self._read(activity_id, request.min_version) if activity_id else None
        if activity_id and request.key and (activity is None or activity.spec.key != request.key):
            # The alias is of a key that was changed by hand: the rows decide.
            row = await store.select_by_key(self._mysql, request.key)
            activity = None if row is None else activity_message(row, self._clock())
        if activity is None:
            raise NotFound("no such activity")
        if activity.version < request.min_version:
            raise FailedPrecondition(
                "the activity has not reached this version",
                reason="VERSION_NOT_REACHED",
                metadata={"version": activity.version},
            )
        return flash_sale_pb2.GetActivityResponse(activity=activity)

    async def _read(self, activity_id: int, min_version: int) -> flash_sale_pb2.Activity | None:
        payload = await self._layers.get(ACTIVITY_KIND, str(activity_id), min_version=min_version)
        return None if payload is None else flash_sale_pb2.Activity.FromString(payload)

    async def update(
        self, request: flash_sale_pb2.UpdateActivityRequest, caller: str
    ) -> flash_sale_pb2.UpdateActivityResponse:
        """Changes the fields of the mask; when it returns, claims follow them (where Redis does not answer: later).

        Raises FailedPrecondition: ETAG_MISMATCH with `version`, ACTIVITY_STARTED for a start that has passed,
        ACTIVITY_ENDED for anything but name and metadata of an activity that is over.
        """
        violations = Violations()
        violations.own_id("activity_id", request.activity_id)
        violations.between("etag", request.etag, 0, MAX_ID)
        violations.request_id("request_id", request.request_id)
        paths = list(request.update_mask.paths)
        violations.count("update_mask", len(paths), least=1, most=len(_CHANGEABLE))
        for index, path in enumerate(paths[: len(_CHANGEABLE)]):
            if path not in _CHANGEABLE:
                violations.add(f"update_mask.paths[{index}]", f"must be one of {', '.join(_CHANGEABLE)}")
            elif path != "paused":
                check_field(request.spec, path, "spec", violations)
        violations.raise_if_any()

        async def effect(tx: Tx) -> flash_sale_pb2.UpdateActivityResponse:
            row = await self._changed(tx, request, frozenset(paths))
            return flash_sale_pb2.UpdateActivityResponse(activity=activity_message(row, self._clock()))

        response = await answer_once(
            self._mysql,
            request_key("UpdateActivity", caller, request),
            flash_sale_pb2.UpdateActivityResponse,
            effect,
        )
        self._wrote(response.activity)
        await self._configurator.changed(response.activity.activity_id)
        return response

    async def page(self, request: flash_sale_pb2.ListActivitiesRequest) -> flash_sale_pb2.ListActivitiesResponse:
        """A page of activities, the newest first."""
        violations = Violations()
        size = violations.page_size("page_size", request.page_size)
        violations.between("template_id", request.template_id, 0, MAX_ID)
        violations.raise_if_any()
        query = query_of(request)
        position = decode(request.page_token, query)
        rows = await store.list_activities(
            self._mysql,
            below_id=MAX_ID if position is None else int(position[0]),
            template_id=request.template_id,
            limit=size + 1,
        )
        now = self._clock()
        response = flash_sale_pb2.ListActivitiesResponse(activities=[activity_message(row, now) for row in rows[:size]])
        if len(rows) > size:
            response.next_page_token = encode(query, [rows[size - 1]["id"]])
        return response

    async def active_page(
        self, request: flash_sale_pb2.ListActiveActivitiesRequest
    ) -> flash_sale_pb2.ListActiveActivitiesResponse:
        """A page of the activities that run now, by their end, soonest first."""
        violations = Violations()
        size = violations.page_size("page_size", request.page_size)
        violations.raise_if_any()
        query = query_of(request)
        now = self._clock()
        after_ms, after_id = decode(request.page_token, query, (int, int)) or (to_ms(now), 0)
        rows = await store.list_active(
            self._mysql,
            now=to_sql(now),
            after_end=to_sql(_from_token(int(after_ms))),
            after_id=int(after_id),
            limit=size + 1,
        )
        response = flash_sale_pb2.ListActiveActivitiesResponse(
            activities=[activity_message(row, now) for row in rows[:size]]
        )
        if len(rows) > size:
            last = rows[size - 1]
            response.next_page_token = encode(query, [to_ms(from_sql(last["end_at"])), last["id"]])
        return response

    async def _changed(self, tx: Tx, request: flash_sale_pb2.UpdateActivityRequest, paths: frozenset[str]) -> Row:
        # The progress rows come before the activity's: a limit that rises must reach the persister first.
        progress = await sale_store.lock_all_progress(tx, request.activity_id)
        row = await store.lock_activity(tx, request.activity_id)
        if not progress or row is None:
            raise NotFound("no such activity")
        if request.etag and request.etag != row["version"]:
            raise FailedPrecondition(
                "the activity has changed", reason="ETAG_MISMATCH", metadata={"version": row["version"]}
            )
        values = _values(request, paths, row)
        await _check_change(tx, row, values, paths)
        await sale_store.raise_limit(tx, request.activity_id, values["per_user_limit"])
        await store.update_activity(tx, request.activity_id, list(values.values()))
        [changed] = await store.select_activities(tx, [request.activity_id])
        return changed

    def _wrote(self, activity: flash_sale_pb2.Activity) -> None:
        row, version = activity.activity_id, activity.version
        changes = [Change(ACTIVITY_KIND, str(row), "present", row, version)]
        if activity.spec.HasField("key"):
            changes.append(Change(ACTIVITY_KEY_KIND, activity.spec.key, "present", row, version))
        self._layers.wrote(changes)


async def _insert(tx: Tx, spec: flash_sale_pb2.ActivitySpec, spec_fingerprint: bytes) -> Row:
    """The row of a new activity, or of the one that took its key meanwhile."""
    activity_id = await store.take_id(tx)
    if activity_id > MAX_ACTIVITY_ID:
        raise Exhausted(f"there are {MAX_ACTIVITY_ID} activities already")
    try:
        await store.insert_activity(
            tx,
            activity_columns(activity_id, spec, spec_fingerprint),
            totals=split_stock(spec.stock, spec.buckets),
            limit=spec.per_user_limit,
        )
    except DuplicateKey:
        row = await store.select_by_key(tx, spec.key)
        if row is None:
            raise
        return row
    await _carve(tx, spec)
    [row] = await store.select_activities(tx, [activity_id])
    return row


async def _carve(tx: Tx, spec: flash_sale_pb2.ActivitySpec) -> None:
    """Takes the stock out of the template. The coupons of the last second must still be usable."""
    template = await store.lock_template(tx, spec.template_id)
    if template is None:
        raise NotFound("no such template", metadata={"template_id": spec.template_id})
    end = to_sql(from_timestamp(spec.end_at))
    if end <= template["now"]:
        raise InvalidArgument.of("spec.end_at", "must be in the future")
    _check_end(end, template["valid_until"])
    left = template["total"] - template["issued"] - template["reserved"]
    if spec.stock > left:
        raise FailedPrecondition(
            "the template has less left than the stock", reason="TOTAL_LIMIT", metadata={"left": left}
        )
    await store.move_reserved(tx, spec.template_id, reserved=spec.stock)


def _check_end(end: datetime, valid_until: datetime) -> None:
    if end > valid_until:
        raise InvalidArgument.of("spec.end_at", "must not be later than the template's valid_until")


def _values(request: flash_sale_pb2.UpdateActivityRequest, paths: frozenset[str], row: Row) -> dict[str, Any]:
    """The changeable columns after the change, in the order of the statement."""
    spec = request.spec
    return {
        "name": spec.name if "name" in paths else row["name"],
        "metadata": metadata_json(spec) if "metadata" in paths else row["metadata"],
        "per_user_limit": spec.per_user_limit if "per_user_limit" in paths else row["per_user_limit"],
        "start_at": to_sql(from_timestamp(spec.start_at)) if "start_at" in paths else row["start_at"],
        "end_at": to_sql(from_timestamp(spec.end_at)) if "end_at" in paths else row["end_at"],
        "paused": request.paused if "paused" in paths else bool(row["paused"]),
    }


async def _check_change(tx: Tx, row: Row, values: Mapping[str, Any], paths: frozenset[str]) -> None:
    now = row["now"]
    if paths & _OF_THE_SALE and (row["state"] != store.OPEN or row["end_at"] <= now):
        raise FailedPrecondition("the activity is over", reason="ACTIVITY_ENDED")
    if "start_at" in paths and row["start_at"] <= now:
        raise FailedPrecondition("the activity has started", reason="ACTIVITY_STARTED")
    if values["start_at"] >= values["end_at"]:
        raise InvalidArgument.of("spec.end_at", "must be later than the start of the window")
    if "end_at" in paths:
        if values["end_at"] <= now:
            raise InvalidArgument.of("spec.end_at", "must be in the future; EndActivity ends an activity now")
        template = await store.lock_template(tx, row["template_id"])
        if template is not None:
            _check_end(values["end_at"], template["valid_until"])


def _from_token(ms: int) -> datetime:
    if not 0 <= ms < _LATEST_MS:
        raise InvalidArgument.of("page_token", "is no token of this service")
    return from_ms(ms)


_LATEST_MS: Final = 253_402_300_800_000
