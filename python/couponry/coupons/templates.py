"""The use cases of TemplateService.

A template changes only while its row of template_counters is held, which receiving holds too: no coupon is given on
terms that were just replaced, and none is frozen out by a change that came first.
"""

from typing import Final

from couponry.coupons.loaders import TEMPLATE_KEY_KIND, TEMPLATE_KIND
from couponry.coupons.messages import counters_message, template_message
from couponry.coupons.once import answer_once, request_key
from couponry.coupons.specs import MAX_TOTAL, check_mask, check_spec, frozen_changes, merged, normal, spec_columns
from couponry.errors import FailedPrecondition, NotFound
from couponry.flash_sale.configure import Configurator
from couponry.paging import decode, encode, query_of
from couponry.store import templates as store
from couponry.store.ids import TEMPLATE, Ids
from couponry.store.layers import Change, Layers
from couponry.store.mysql import DuplicateKey, MySQL, Row, Tx
from couponry.v1 import template_pb2
from couponry.validation import MAX_ID, Violations, fingerprint

__all__ = ["Templates"]

_BATCH: Final = 200


class Templates:
    """Templates: created, read, changed, paused. `caller` is who an admin call comes from."""

    def __init__(self, *, mysql: MySQL, layers: Layers, ids: Ids, configurator: Configurator) -> None:
        self._mysql = mysql
        self._layers = layers
        self._ids = ids
        self._configurator = configurator

    async def create(
        self, request: template_pb2.CreateTemplateRequest, caller: str
    ) -> template_pb2.CreateTemplateResponse:
        """A new template; for a key that exists with the same spec, the template that has it.

        Raises FailedPrecondition / KEY_TAKEN where the key's spec was another.
        """
        violations = Violations()
        violations.request_id("request_id", request.request_id)
        check_spec(request.spec, "spec", violations)
        violations.raise_if_any()
        spec = normal(request.spec)
        spec_fingerprint = fingerprint(spec)
        [template_id] = await self._ids.take(TEMPLATE)

        async def effect(tx: Tx) -> template_pb2.CreateTemplateResponse:
            key = spec.key if spec.HasField("key") else None
            try:
                await store.insert_template(
                    tx,
                    template_id,
                    key=key,
                    spec_fingerprint=spec_fingerprint,
                    columns=spec_columns(spec),
                    state=template_pb2.TEMPLATE_STATE_ACTIVE,
                )
            except DuplicateKey:
                row = await store.select_by_key(tx, spec.key)
                if row is None or row["spec_fingerprint"] != spec_fingerprint:
                    raise FailedPrecondition(
                        "the key names another template",
                        reason="KEY_TAKEN",
                        metadata={} if row is None else {"template_id": row["id"]},
                    ) from None
            else:
                row = await _existing(tx, template_id)
            return template_pb2.CreateTemplateResponse(template=template_message(row))

        response = await answer_once(
            self._mysql,
            request_key("CreateTemplate", caller, request),
            template_pb2.CreateTemplateResponse,
            effect,
        )
        self._wrote(response.template)
        return response

    async def get(self, request: template_pb2.GetTemplateRequest) -> template_pb2.GetTemplateResponse:
        """One template by id or key, never of an older version than asked for."""
        violations = Violations()
        violations.between("min_version", request.min_version, 0, MAX_ID)
        match request.WhichOneof("ref"):
            case "template_id":
                violations.own_id("template_id", request.template_id)
            case "key":
                violations.shop_id("key", request.key)
            case _:
                violations.add("template_id", "a template_id or a key is required")
        violations.raise_if_any()
        template_id = await self._id_of(request)
        payload = await self._layers.get(TEMPLATE_KIND, str(template_id), min_version=request.min_version)
        template = None if payload is None else template_pb2.Template.FromString(payload)
        if request.key and (template is None or template.spec.key != request.key):
            # The alias is of a key that was changed by hand: the rows decide.
            row = await store.select_by_key(self._mysql, request.key)
            template = None if row is None else template_message(row)
        if template is None:
            raise NotFound("no such template")
        if template.version < request.min_version:
            raise FailedPrecondition(
                "the template has not reached this version",
                reason="VERSION_NOT_REACHED",
                metadata={"version": template.version},
            )
        response = template_pb2.GetTemplateResponse(template=template)
        if request.include_counters:
            for counters in await store.select_counters(self._mysql, [template.template_id]):
                response.counters.CopyFrom(counters_message(counters))
        return response

    async def _id_of(self, request: template_pb2.GetTemplateRequest) -> int:
        if request.WhichOneof("ref") == "template_id":
            return request.template_id
        payload = await self._layers.get(TEMPLATE_KEY_KIND, request.key)
        if payload is None:
            raise NotFound("no such template")
        return int(payload)

    async def batch_get(self, request: template_pb2.BatchGetTemplatesRequest) -> template_pb2.BatchGetTemplatesResponse:
        """Up to 200 templates in the order of their ids, and the ids that do not exist."""
        violations = Violations()
        violations.count("template_ids", len(request.template_ids), least=1, most=_BATCH)
        for index, template_id in enumerate(request.template_ids[:_BATCH]):
            violations.own_id(f"template_ids[{index}]", template_id)
        violations.raise_if_any()
        payloads = await self._layers.get_many(TEMPLATE_KIND, [str(each) for each in request.template_ids])
        response = template_pb2.BatchGetTemplatesResponse()
        for template_id, payload in zip(request.template_ids, payloads, strict=True):
            if payload is None:
                response.not_found.append(template_id)
            else:
                response.templates.append(template_pb2.Template.FromString(payload))
        return response

    async def update(
        self, request: template_pb2.UpdateTemplateRequest, caller: str
    ) -> template_pb2.UpdateTemplateResponse:
        """Changes the fields of the mask.

        Raises FailedPrecondition: ETAG_MISMATCH with `version`, TERMS_FROZEN with `fields`, BELOW_ISSUED with `least`.
        """
        violations = Violations()
        violations.own_id("template_id", request.template_id)
        violations.between("etag", request.etag, 0, MAX_ID)
        violations.request_id("request_id", request.request_id)
        check_mask(request.update_mask.paths, "update_mask", violations)
        violations.raise_if_any()

        async def effect(tx: Tx) -> template_pb2.UpdateTemplateResponse:
            row, counters = await _locked(tx, request.template_id)
            return template_pb2.UpdateTemplateResponse(template=await _updated(tx, row, counters, request))

        response = await answer_once(
            self._mysql,
            request_key("UpdateTemplate", caller, request),
            template_pb2.UpdateTemplateResponse,
            effect,
        )
        self._wrote(response.template)
        return response

    async def page(self, request: template_pb2.ListTemplatesRequest) -> template_pb2.ListTemplatesResponse:
        """A page of templates, the newest first."""
        violations = Violations()
        size = violations.page_size("page_size", request.page_size)
        violations.raise_if_any()
        query = query_of(request)
        position = decode(request.page_token, query)
        rows = await store.list_templates(
            self._mysql,
            below_id=MAX_ID + 1 if position is None else int(position[0]),
            state=request.state,
            kind=request.kind,
            limit=size + 1,
        )
        response = template_pb2.ListTemplatesResponse(templates=[template_message(row) for row in rows[:size]])
        if len(rows) > size:
            response.next_page_token = encode(query, [rows[size - 1]["id"]])
        return response

    async def pause(
        self, request: template_pb2.PauseTemplateRequest, caller: str
    ) -> template_pb2.PauseTemplateResponse:
        """No new receipts, locks and claims; a paused one stays as it is."""
        _check_admin_call(request.template_id, request.request_id)

        async def effect(tx: Tx) -> template_pb2.PauseTemplateResponse:
            template = await _in_state(tx, request.template_id, template_pb2.TEMPLATE_STATE_PAUSED)
            return template_pb2.PauseTemplateResponse(template=template)

        key = request_key("PauseTemplate", caller, request)
        response = await answer_once(self._mysql, key, template_pb2.PauseTemplateResponse, effect)
        self._wrote(response.template)
        await self._configurator.template_changed(request.template_id)
        return response

    async def resume(
        self, request: template_pb2.ResumeTemplateRequest, caller: str
    ) -> template_pb2.ResumeTemplateResponse:
        """Ends a pause; an active one stays as it is."""
        _check_admin_call(request.template_id, request.request_id)

        async def effect(tx: Tx) -> template_pb2.ResumeTemplateResponse:
            template = await _in_state(tx, request.template_id, template_pb2.TEMPLATE_STATE_ACTIVE)
            return template_pb2.ResumeTemplateResponse(template=template)

        key = request_key("ResumeTemplate", caller, request)
        response = await answer_once(self._mysql, key, template_pb2.ResumeTemplateResponse, effect)
        self._wrote(response.template)
        await self._configurator.template_changed(request.template_id)
        return response

    async def adjust_total(
        self, request: template_pb2.AdjustTotalRequest, caller: str
    ) -> template_pb2.AdjustTotalResponse:
        """Another total. Raises FailedPrecondition / BELOW_ISSUED with `least`."""
        violations = Violations()
        violations.own_id("template_id", request.template_id)
        violations.between("total", request.total, 1, MAX_TOTAL)
        violations.request_id("request_id", request.request_id)
        violations.raise_if_any()

        async def effect(tx: Tx) -> template_pb2.AdjustTotalResponse:
            row, counters = await _locked(tx, request.template_id)
            _refuse_below_issued(request.total, counters)
            if await store.set_total(tx, request.template_id, request.total):
                row = await _existing(tx, request.template_id)
            return template_pb2.AdjustTotalResponse(template=template_message(row), counters=counters_message(counters))

        key = request_key("AdjustTotal", caller, request)
        response = await answer_once(self._mysql, key, template_pb2.AdjustTotalResponse, effect)
        self._wrote(response.template)
        return response

    def _wrote(self, template: template_pb2.Template) -> None:
        row, version = template.template_id, template.version
        changes = [Change(TEMPLATE_KIND, str(row), "present", row, version)]
        if template.spec.HasField("key"):
            changes.append(Change(TEMPLATE_KEY_KIND, template.spec.key, "present", row, version))
        self._layers.wrote(changes)


def _check_admin_call(template_id: int, request_id: str) -> None:
    violations = Violations()
    violations.own_id("template_id", template_id)
    violations.request_id("request_id", request_id)
    violations.raise_if_any()


async def _locked(tx: Tx, template_id: int) -> tuple[Row, Row]:
    """The template and its counters, which stay as they are until the commit."""
    counters = await store.lock_counters(tx, template_id)
    if counters is None:
        raise NotFound("no such template")
    return await _existing(tx, template_id), counters


async def _existing(tx: Tx, template_id: int) -> Row:
    [row] = await store.select_templates(tx, [template_id])
    return row


async def _in_state(tx: Tx, template_id: int, state: template_pb2.TemplateState) -> template_pb2.Template:
    row, _ = await _locked(tx, template_id)
    if await store.set_state(tx, template_id, state):
        row = await _existing(tx, template_id)
    return template_message(row)


async def _updated(
    tx: Tx, row: Row, counters: Row, request: template_pb2.UpdateTemplateRequest
) -> template_pb2.Template:
    current = template_message(row)
    if request.etag and request.etag != current.version:
        raise FailedPrecondition(
            "the template has changed since that version",
            reason="ETAG_MISMATCH",
            metadata={"version": current.version},
        )
    violations = Violations()
    spec = merged(current.spec, request.spec, request.update_mask.paths)
    check_spec(spec, "spec", violations)
    violations.raise_if_any()
    spec = normal(spec)
    if spec == current.spec:
        return current
    frozen = list(frozen_changes(current.spec, spec)) if counters["issued"] or counters["reserved"] else []
    if frozen:
        raise FailedPrecondition(
            f"coupons of this template are out, so these may not change this way: {', '.join(frozen)}",
            reason="TERMS_FROZEN",
            metadata={"fields": ",".join(frozen)},
        )
    _refuse_below_issued(spec.total, counters)
    await store.update_template(tx, row["id"], spec_columns(spec))
    return template_message(await _existing(tx, row["id"]))


def _refuse_below_issued(total: int, counters: Row) -> None:
    least = counters["issued"] + counters["reserved"]
    if total < least:
        raise FailedPrecondition(
            f"{least} coupons are issued or reserved", reason="BELOW_ISSUED", metadata={"least": least}
        )
