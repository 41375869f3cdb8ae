"""The stores of a test's own schema and key prefix."""

from collections.abc import AsyncIterator

import pytest

from couponry.config import Settings
from couponry.store.mysql import MySQL
from couponry.store.redis import Redis


@pytest.fixture
async def mysql(settings: Settings) -> AsyncIterator[MySQL]:
    database = await MySQL.connect(settings.mysql)
    yield database
    await database.close()


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    connection = Redis(settings.redis.cache.get_secret_value(), settings.redis)
    yield connection
    await connection.close()
