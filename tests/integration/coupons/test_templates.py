"""Templates: created once, changed only as their holders can bear, listed in pages."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from couponry.clock import to_timestamp
from couponry.errors import FailedPrecondition, InvalidArgument, NotFound
from couponry.v1 import template_pb2 as pb
from tests.integration.coupons.conftest import OpenShop, Shop
from tests.unit.coupons.builders import NOW, instant_off, spec

DAY = timedelta(days=1)


def at(days: float) -> Any:
    return to_timestamp(NOW + days * DAY)


async def update(shop: Shop, template: pb.Template, *paths: str, etag: int = 0, **changes: Any) -> pb.Template:
    request = pb.UpdateTemplateRequest(
        template_id=template.template_id,
        spec=pb.TemplateSpec(**changes),
        update_mask=FieldMask(paths=paths or list(changes)),
        etag=etag,
    )
    return (await shop.templates.update(request, "admin")).template


async def test_a_template_comes_back_as_it_was_given(shop: Shop) -> None:
    given = spec(
        key="summer",
        name="夏天 '😀' \"; DROP TABLE templates; --",
        description="two\nlines",
        metadata={"channel": "app", "emoji😀": "'"},
        terms=pb.Terms(
            kind=pb.KIND_THRESHOLD_OFF,
            coupon_class=pb.COUPON_CLASS_SHOP,
            currency="CNY",
            tiers=[pb.Tier(min_spend=10_000, amount_off=1000), pb.Tier(min_spend=2**53, amount_off=2**53 - 1)],
            scope=pb.Scope(include_skus=["1"], exclude_categories=["9"]),
            shop_id="s",
            exclusive_group="",
            stack_limit=2,
        ),
        total=10**9,
        per_user_limit=100,
        receive_from=at(0),
        receive_until=at(1),
        valid_days=3660,
        budget=2**63 - 1,
        returns_on_full_refund=True,
        return_grace=Duration(seconds=3, nanos=5_000_000),
    )
    template = (await shop.templates.create(pb.CreateTemplateRequest(spec=given), "admin")).template
    assert template.spec == given
    assert (template.state, template.version) == (pb.TEMPLATE_STATE_ACTIVE, 1)
    assert template.created_at == template.updated_at == to_timestamp(NOW)
    got = await shop.templates.get(pb.GetTemplateRequest(key="summer", include_counters=True))
    assert got == pb.GetTemplateResponse(template=template, counters=pb.TemplateCounters())


async def test_a_wrong_spec_is_refused_before_anything_is_written(shop: Shop) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await shop.template(name="", total=0, terms=instant_off(-5000))
    fields = {violation.field for violation in refused.value.violations}
    assert fields == {"spec.name", "spec.total", "spec.terms.amount_off"}
    assert await shop.mysql.fetch_all("SELECT * FROM templates") == []


async def test_a_second_create_with_the_same_key_and_body_answers_the_first(shop: Shop) -> None:
    first = await shop.template(key="k")
    assert await shop.template(key="k") == first


async def test_a_key_with_another_body_is_taken(shop: Shop) -> None:
    first = await shop.template(key="k")
    with pytest.raises(FailedPrecondition) as refused:
        await shop.template(key="k", total=7)
    assert (refused.value.reason, refused.value.metadata) == ("KEY_TAKEN", {"template_id": str(first.template_id)})


async def test_keys_are_compared_as_bytes(shop: Shop) -> None:
    ids = {(await shop.template(key=key)).template_id for key in ("k", "K", "k ", "ķ")}
    assert len(ids) == 4


async def test_a_repeated_create_gets_the_same_answer(shop: Shop) -> None:
    request = pb.CreateTemplateRequest(spec=spec(), request_id="r")
    first = await shop.templates.create(request, "admin")
    assert await shop.templates.create(request, "admin") == first
    assert await shop.templates.create(request, "somebody else") != first
    request.spec.total = 5
    with pytest.raises(InvalidArgument) as refused:
        await shop.templates.create(request, "admin")
    assert refused.value.reason == "IDEMPOTENCY_MISMATCH"


async def test_an_absent_template_is_not_found(shop: Shop) -> None:
    for request in (pb.GetTemplateRequest(template_id=99), pb.GetTemplateRequest(key="nobody's")):
        with pytest.raises(NotFound):
            await shop.templates.get(request)


async def test_get_needs_an_id_or_a_key(shop: Shop) -> None:
    for request in (pb.GetTemplateRequest(), pb.GetTemplateRequest(template_id=-1), pb.GetTemplateRequest(key="")):
        with pytest.raises(InvalidArgument):
            await shop.templates.get(request)


async def test_get_never_answers_below_the_version_asked_for(open_shop: OpenShop) -> None:
    writer, reader = await open_shop(), await open_shop()
    template = await writer.template()
    cached = pb.GetTemplateRequest(template_id=template.template_id)
    await reader.templates.get(cached)
    newer = await update(writer, template, name="new")
    asked = pb.GetTemplateRequest(template_id=template.template_id, min_version=newer.version)
    assert (await reader.templates.get(asked)).template == newer
    asked.min_version += 1
    with pytest.raises(FailedPrecondition) as refused:
        await reader.templates.get(asked)
    assert (refused.value.reason, refused.value.metadata) == ("VERSION_NOT_REACHED", {"version": str(newer.version)})


async def test_a_process_reads_its_own_writes(shop: Shop) -> None:
    template = await shop.template()
    request = pb.GetTemplateRequest(template_id=template.template_id)
    await shop.templates.get(request)
    changed = await update(shop, template, name="new")
    assert (await shop.templates.get(request)).template == changed


async def test_batch_get_keeps_the_order_and_names_the_absent(shop: Shop) -> None:
    one, two = await shop.template(), await shop.template()
    request = pb.BatchGetTemplatesRequest(template_ids=[two.template_id, 9999, one.template_id])
    response = await shop.templates.batch_get(request)
    assert response == pb.BatchGetTemplatesResponse(templates=[two, one], not_found=[9999])


async def test_batch_get_takes_1_to_200_ids(shop: Shop) -> None:
    for ids in ([], [1] * 201, [0]):
        with pytest.raises(InvalidArgument) as refused:
            await shop.templates.batch_get(pb.BatchGetTemplatesRequest(template_ids=ids))
        assert refused.value.violations[0].field.startswith("template_ids")
    response = await shop.templates.batch_get(pb.BatchGetTemplatesRequest(template_ids=range(1, 201)))
    assert list(response.not_found) == list(range(1, 201))


async def test_before_the_first_coupon_everything_but_the_key_may_change(shop: Shop) -> None:
    template = await shop.template(key="k", valid_days=3, metadata={"a": "1"})
    after = await update(
        shop,
        template,
        "terms.percent_off_bp",
        "total",
        "valid_days",
        "metadata",
        "valid_until",
        terms=pb.Terms(percent_off_bp=1000),
        total=5,
        metadata={"b": "2"},
        valid_until=at(1),
    )
    assert after.spec.terms.percent_off_bp == 1000
    assert after.spec.terms.currency == "CNY"
    assert not after.spec.HasField("valid_days")
    assert dict(after.spec.metadata) == {"b": "2"}
    assert (after.spec.total, after.spec.valid_until, after.version) == (5, at(1), 2)


async def test_a_mask_names_fields_that_can_change(shop: Shop) -> None:
    template = await shop.template(key="k")
    with pytest.raises(InvalidArgument) as refused:
        await update(shop, template, "key", key="other")
    assert refused.value.violations[0].field == "update_mask.paths[0]"


async def test_an_update_is_checked_as_a_whole(shop: Shop) -> None:
    template = await shop.template()
    with pytest.raises(InvalidArgument) as refused:
        await update(shop, template, valid_until=template.spec.valid_from)
    assert refused.value.violations[0].field == "spec.valid_until"


async def test_an_update_based_on_an_older_version_is_refused(shop: Shop) -> None:
    template = await shop.template()
    newer = await update(shop, template, etag=1, name="new")
    with pytest.raises(FailedPrecondition) as refused:
        await update(shop, template, etag=1, name="newest")
    assert (refused.value.reason, refused.value.metadata) == ("ETAG_MISMATCH", {"version": str(newer.version)})


async def test_an_update_that_changes_nothing_keeps_the_version(shop: Shop) -> None:
    template = await shop.template()
    assert await update(shop, template, name=template.spec.name) == template


@pytest.mark.parametrize("held", ["issued", "reserved"])
async def test_with_coupons_out_a_promise_cannot_change(shop: Shop, held: str) -> None:
    template = await shop.template()
    await shop.mysql.execute(f"UPDATE template_counters SET {held} = 1")
    with pytest.raises(FailedPrecondition) as refused:
        await update(
            shop, template, "terms.priority", "valid_days", "name", terms=pb.Terms(priority=1), valid_days=1, name="new"
        )
    assert (refused.value.reason, refused.value.metadata) == ("TERMS_FROZEN", {"fields": "terms,valid_days"})


async def test_with_coupons_out_what_hurts_nobody_may_change(shop: Shop) -> None:
    template = await shop.template(receive_until=at(10))
    await shop.receive(template)
    changes: dict[str, Any] = {
        "name": "new",
        "description": "new",
        "metadata": {"a": "b"},
        "valid_until": at(31),
        "receive_until": at(11),
        "total": 2000,
    }
    after = await update(shop, template, **changes)
    assert after.spec == spec(**changes)
    again = await update(shop, template, "receive_until")
    assert not again.spec.HasField("receive_until")


async def test_a_total_stays_at_or_above_what_is_issued_and_reserved(shop: Shop) -> None:
    template = await shop.template(total=10)
    await shop.mysql.execute("UPDATE template_counters SET issued = 4, reserved = 2")
    with pytest.raises(FailedPrecondition) as refused:
        await update(shop, template, total=5)
    assert (refused.value.reason, refused.value.metadata) == ("BELOW_ISSUED", {"least": "6"})
    assert (await update(shop, template, total=6)).spec.total == 6


async def adjust(shop: Shop, template: pb.Template, total: int, request_id: str = "") -> pb.AdjustTotalResponse:
    request = pb.AdjustTotalRequest(template_id=template.template_id, total=total, request_id=request_id)
    return await shop.templates.adjust_total(request, "admin")


async def test_adjusting_the_total_answers_with_the_counters(shop: Shop) -> None:
    template = await shop.template(total=10)
    await shop.receive(template)
    response = await adjust(shop, template, 20)
    assert (response.template.spec.total, response.template.version, response.counters.issued) == (20, 2, 1)
    assert (await adjust(shop, template, 20)).template.version == 2


async def test_a_total_is_1_to_a_billion(shop: Shop) -> None:
    template = await shop.template()
    for total in (0, -1, 10**9 + 1):
        with pytest.raises(InvalidArgument) as refused:
            await adjust(shop, template, total)
        assert refused.value.violations[0].field == "total"
    for total in (1, 10**9):
        assert (await adjust(shop, template, total)).template.spec.total == total


async def test_a_repeated_adjustment_is_made_once(shop: Shop) -> None:
    template = await shop.template()
    first = await adjust(shop, template, 20, "r")
    await adjust(shop, template, 30)
    assert await adjust(shop, template, 20, "r") == first
    assert (await shop.templates.get(pb.GetTemplateRequest(template_id=template.template_id))).template.spec.total == 30


async def test_pause_and_resume_are_idempotent(shop: Shop) -> None:
    template = await shop.template()
    pause = pb.PauseTemplateRequest(template_id=template.template_id)
    paused = (await shop.templates.pause(pause, "admin")).template
    assert (paused.state, paused.version) == (pb.TEMPLATE_STATE_PAUSED, 2)
    assert (await shop.templates.pause(pause, "admin")).template == paused
    resume = pb.ResumeTemplateRequest(template_id=template.template_id)
    resumed = (await shop.templates.resume(resume, "admin")).template
    assert (resumed.state, resumed.version) == (pb.TEMPLATE_STATE_ACTIVE, 3)
    assert (await shop.templates.resume(resume, "admin")).template == resumed


async def test_changing_an_absent_template_is_not_found(shop: Shop) -> None:
    with pytest.raises(NotFound):
        await shop.templates.pause(pb.PauseTemplateRequest(template_id=99, request_id="r"), "admin")
    with pytest.raises(NotFound):
        await update(shop, pb.Template(template_id=99), name="n")
    # A refusal is not remembered: the id is free for the same call later.
    assert await shop.mysql.fetch_all("SELECT * FROM request_log") == []


async def pages(shop: Shop, size: int, **filters: Any) -> list[list[int]]:
    found: list[list[int]] = []
    token = ""
    while True:
        request = pb.ListTemplatesRequest(page_size=size, page_token=token, **filters)
        response = await shop.templates.page(request)
        found.append([template.template_id for template in response.templates])
        token = response.next_page_token
        if not token:
            return found


async def test_templates_are_listed_newest_first_in_pages(shop: Shop) -> None:
    ids = [(await shop.template()).template_id for _ in range(5)][::-1]
    assert await pages(shop, 2) == [ids[:2], ids[2:4], ids[4:]]
    assert await pages(shop, 5) == [ids]
    assert await pages(shop, 0) == [ids]


async def test_a_list_is_filtered_by_state_and_kind(shop: Shop) -> None:
    instant = [(await shop.template(terms=instant_off(1))).template_id for _ in range(3)][::-1]
    percent = (await shop.template()).template_id
    await shop.templates.pause(pb.PauseTemplateRequest(template_id=instant[1]), "admin")
    assert await pages(shop, 2, kind=pb.KIND_INSTANT_OFF) == [instant[:2], instant[2:]]
    assert await pages(shop, 2, state=pb.TEMPLATE_STATE_PAUSED) == [[instant[1]]]
    active = [[percent, instant[0]], [instant[2]]]
    assert await pages(shop, 2, state=pb.TEMPLATE_STATE_ACTIVE) == active
    both = {"state": pb.TEMPLATE_STATE_ACTIVE, "kind": pb.KIND_INSTANT_OFF}
    assert await pages(shop, 1, **both) == [[instant[0]], [instant[2]]]


async def test_a_page_token_belongs_to_its_filters(shop: Shop) -> None:
    for _ in range(2):
        await shop.template()
    token = (await shop.templates.page(pb.ListTemplatesRequest(page_size=1))).next_page_token
    with pytest.raises(InvalidArgument) as refused:
        await shop.templates.page(pb.ListTemplatesRequest(page_token=token, kind=pb.KIND_PERCENT_OFF))
    assert refused.value.violations[0].field == "page_token"


async def test_a_page_has_1_to_200_entries(shop: Shop) -> None:
    for size in (-1, 201):
        with pytest.raises(InvalidArgument) as refused:
            await shop.templates.page(pb.ListTemplatesRequest(page_size=size))
        assert refused.value.violations[0].field == "page_size"
    assert await shop.templates.page(pb.ListTemplatesRequest(page_size=200)) == pb.ListTemplatesResponse()


async def test_an_update_by_hand_raises_the_version(shop: Shop) -> None:
    template = await shop.template()
    await shop.mysql.execute("UPDATE templates SET name = 'by hand' WHERE id = %s", (template.template_id,))
    asked = pb.GetTemplateRequest(template_id=template.template_id, min_version=2)
    assert (await shop.templates.get(asked)).template.spec.name == "by hand"
