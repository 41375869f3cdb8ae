"""Whatever arrives on the wire gets a clear status, and the service lives on."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from couponry.app import SERVICES, App
from couponry.client import Client, refusal_of
from couponry.config import Settings
from couponry.v1 import coupon_pb2, discount_pb2, template_pb2, transaction_pb2
from tests.integration.service.conftest import create_template, spec


async def raw(client: Client, method: str, body: bytes) -> bytes:
    call: Any = client.channel.unary_unary(method, request_serializer=None, response_deserializer=None)
    answer: bytes = await call(body, timeout=10)
    return answer


async def test_reflection_lists_every_service(client: Client) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(client.channel)  # type: ignore[arg-type]
    answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    listed = [service.name async for answer in answers for service in answer.list_services_response.service]
    assert {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= set(listed)
    assert len(SERVICES) == 6


@pytest.mark.parametrize("name", ["", *SERVICES])
async def test_health_is_serving_for_the_server_and_for_each_service(client: Client, name: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_bytes_that_are_no_message_are_refused(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw(client, "/couponry.v1.TemplateService/GetTemplate", b"\xff\xff\xff\xff")
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert refused.value.details() == "the request is no message of this method's type"
    await create_template(client)


async def test_a_method_that_is_not_there_is_unimplemented(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await raw(client, "/couponry.v1.TemplateService/DropTemplate", b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_message_above_the_limit_is_refused(client: Client, settings: Settings) -> None:
    huge = spec(description="x" * (settings.server.max_message_bytes + 1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=huge))
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await create_template(client)


async def test_an_unknown_enum_number_names_its_field(client: Client) -> None:
    wrong = spec()
    wrong.terms.kind = 99  # type: ignore[assignment]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=wrong))
    refusal = refusal_of(refused.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert list(refusal.violations) == ["spec.terms.kind"]


async def test_error_details_fit_the_trailers(client: Client) -> None:
    request = discount_pb2.CalculateDiscountRequest(user_id="u", mode=discount_pb2.CALCULATE_MODE_APPLY_GIVEN)
    request.cart.currency = "CNY"
    for number in range(500):
        request.cart.lines.add(line_id=f"line-{number}", sku_id="", shop_id="s", quantity=-1, unit_price=-5)
    request.coupons.add(coupon_id=1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.discounts.CalculateDiscount(request)
    refusal = refusal_of(refused.value)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(refusal.violations) == 11
    assert re.fullmatch(r"and \d+ more", refusal.violations["..."])
    trailers = refused.value.trailing_metadata() or ()
    assert sum(len(key) + len(value) for key, value in trailers) < 8 * 1024


async def test_emoji_quotes_and_other_text_come_back_as_given(client: Client) -> None:
    name = "🎉'\";--%s\\ 满300减50"
    made = await client.templates.CreateTemplate(
        template_pb2.CreateTemplateRequest(spec=spec(name=name, description="<script>\n\t🧧"))
    )
    made.template.spec.metadata["k"] = "v"
    found = await client.templates.GetTemplate(
        template_pb2.GetTemplateRequest(template_id=made.template.template_id, min_version=1)
    )
    assert (found.template.spec.name, found.template.spec.description) == (name, "<script>\n\t🧧")


async def test_an_unexpected_failure_tells_an_id_and_nothing_else(client: Client, app: App) -> None:
    await app.mysql.execute("RENAME TABLE templates TO templates_gone")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.templates.ListTemplates(template_pb2.ListTemplatesRequest())
    refusal = refusal_of(refused.value)
    assert (refusal.code, refusal.text) == (grpc.StatusCode.INTERNAL, "internal error")
    assert set(refusal.metadata) == {"request_id"}
    await app.mysql.execute("RENAME TABLE templates_gone TO templates")
    await client.templates.ListTemplates(template_pb2.ListTemplatesRequest())


async def test_what_later_releases_bring_is_unimplemented_with_a_sentence(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.transactions.GetTransaction(transaction_pb2.GetTransactionRequest(gid="g"))
    refusal = refusal_of(refused.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    assert len(refusal.text) > 20


async def test_a_deadline_that_passes_gives_deadline_exceeded(client: Client, app: App) -> None:
    template = await create_template(client)
    async with app.mysql.transaction() as tx:
        await tx.fetch_all("SELECT * FROM template_counters WHERE template_id = %s FOR UPDATE", (template.template_id,))
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await client.coupons.ReceiveCoupon(
                coupon_pb2.ReceiveCouponRequest(user_id="u", template_id=template.template_id), timeout=0.2
            )
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_two_hundred_at_once_on_a_template_with_fifty_left_give_exactly_fifty(client: Client, app: App) -> None:
    template = await create_template(client, total=50)

    async def receive(number: int) -> str:
        try:
            await client.coupons.ReceiveCoupon(
                coupon_pb2.ReceiveCouponRequest(user_id=f"user-{number}", template_id=template.template_id)
            )
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            return f"{refusal.code.name}/{refusal.reason}"
        return "OK"

    outcomes = await asyncio.gather(*(receive(number) for number in range(200)))
    assert outcomes.count("OK") == 50
    assert outcomes.count("RESOURCE_EXHAUSTED/TOTAL_LIMIT") == 150
    row = await app.mysql.fetch_one("SELECT COUNT(*) AS n FROM user_coupons")
    assert row == {"n": 50}


async def test_the_readmes_client_example_runs_as_it_stands(address: str, repository: Path) -> None:
    text = (repository / "README.md").read_text()
    example = next(block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Client(" in block)
    assert "127.0.0.1:7700" in example
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        example.replace("127.0.0.1:7700", address),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4} \d+\n", said.decode())
