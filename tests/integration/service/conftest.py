"""The whole service on a test's own schema and key prefix, reached by the typed client."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from couponry.app import App, opened, served
from couponry.client import Client
from couponry.clock import to_timestamp
from couponry.config import Settings
from couponry.v1 import template_pb2


@pytest.fixture(params=["native", "reference"])
def frontend(request: pytest.FixtureRequest) -> str:
    """Whatever speaks gRPC behaves alike on both front ends."""
    return str(request.param)


@pytest.fixture
def served_settings(settings: Settings, frontend: str) -> Settings:
    """Settings that name the front end."""
    return settings.model_copy(update={"server": settings.server.model_copy(update={"frontend": frontend})})


@pytest.fixture
async def app(served_settings: Settings) -> AsyncIterator[App]:
    async with opened(served_settings) as app:
        yield app


@pytest.fixture
async def address(app: App) -> AsyncIterator[str]:
    async with served(app) as address:
        yield address


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with Client(address, timeout_s=30) as client:
        yield client


def spec(**changes: object) -> template_pb2.TemplateSpec:
    """A template of 满300减50 that is valid now."""
    now = datetime.now(UTC)
    made = template_pb2.TemplateSpec(
        name="满300减50",
        total=100,
        valid_from=to_timestamp(now - timedelta(hours=1)),
        valid_until=to_timestamp(now + timedelta(days=30)),
        terms=template_pb2.Terms(
            kind=template_pb2.KIND_THRESHOLD_OFF,
            coupon_class=template_pb2.COUPON_CLASS_PLATFORM,
            currency="CNY",
            min_spend=300_00,
            amount_off=50_00,
        ),
    )
    for field, value in changes.items():
        setattr(made, field, value)
    return made


async def create_template(client: Client, **changes: object) -> template_pb2.Template:
    """Creates `spec(**changes)`."""
    created = await client.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=spec(**changes)))
    return created.template
