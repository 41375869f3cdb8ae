"""The settings of Couponry: one typed tree, read from a TOML file and the environment.

`load` reads it; a `Settings` made by hand looks at nothing but its arguments. Secrets are
`SecretStr`, shown nowhere; docs/configuration.md is made from this package.
"""

from couponry.config.addresses import (
    ListenAddress,
    MySqlAddress,
    mysql_dsn,
    parse_listen,
    parse_mysql_dsn,
)
from couponry.config.reading import CONFIG_VARIABLE, ConfigError, load
from couponry.config.redis_addresses import RedisAddress, RedisKind, parse_redis_url, redis_place
from couponry.config.tree import (
    AdminSettings,
    CacheSettings,
    DtmSettings,
    FlashSaleSettings,
    JobSettings,
    LogSettings,
    MetricsSettings,
    MySqlSettings,
    OrderSettings,
    RedisSettings,
    ServerSettings,
    Settings,
    StackingSettings,
    TlsSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "AdminSettings",
    "CacheSettings",
    "ConfigError",
    "DtmSettings",
    "FlashSaleSettings",
    "JobSettings",
    "ListenAddress",
    "LogSettings",
    "MetricsSettings",
    "MySqlAddress",
    "MySqlSettings",
    "OrderSettings",
    "RedisAddress",
    "RedisKind",
    "RedisSettings",
    "ServerSettings",
    "Settings",
    "StackingSettings",
    "TlsSettings",
    "load",
    "mysql_dsn",
    "parse_listen",
    "parse_mysql_dsn",
    "parse_redis_url",
    "redis_place",
]
