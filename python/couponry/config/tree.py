"""The tree of settings: every key with its type, default, limits and meaning.

The unit of a number is the end of its key: _s, _ms, _bytes, _percent. Nothing here reads anything.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_types import MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from couponry.config.addresses import check_socket_path, parse_listen, parse_mysql_dsn
from couponry.config.redis_addresses import parse_redis_url

ENV_PREFIX = "COUPONRY_"
NESTING = "__"


def _valid_listen(text: str) -> str:
    parse_listen(text)
    return text


def _valid_port(text: str) -> str:
    if parse_listen(text).path:
        raise ValueError("must be HOST:PORT")
    return text


def _valid_dsn(dsn: SecretStr) -> SecretStr:
    parse_mysql_dsn(dsn.get_secret_value())
    return dsn


def _valid_redis_url(url: SecretStr) -> SecretStr:
    parse_redis_url(url.get_secret_value())
    return url


def _valid_path(path: Path) -> Path:
    # Further workers put a number behind it.
    check_socket_path(f"{path}.99")
    return path


AdminPath = Annotated[Path, AfterValidator(_valid_path)]
Listen = Annotated[str, AfterValidator(_valid_listen)]
ListenPort = Annotated[str, AfterValidator(_valid_port)]
MySqlDsn = Annotated[SecretStr, AfterValidator(_valid_dsn)]
RedisUrl = Annotated[SecretStr, AfterValidator(_valid_redis_url)]

_MIB = 1024 * 1024


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TlsSettings(_Section):
    """TLS of the gRPC port. Without this section the port speaks plain text."""

    certificate: Path = Field(description="PEM file with the certificate chain.")
    key: Path = Field(description="PEM file with the private key.")
    client_ca: Path | None = Field(
        None,
        description="PEM file with the authority of client certificates, which are then required.",
    )


class ServerSettings(_Section):
    """The gRPC server."""

    listen: Listen = Field(
        "127.0.0.1:7700",
        description="Address of the gRPC port, `HOST:PORT` or `unix:PATH`; port 0 is any free one.",
    )
    frontend: Literal["native", "reference"] = Field(
        "native",
        description="What speaks HTTP/2: `native` is in the extension, on uvloop; `reference` is grpc.aio, far slower.",
    )
    workers: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that share the port; each has a loop and an L1 of its own.",
    )
    drain_timeout_s: int = Field(20, ge=0, le=600, description="How long calls in progress may take after SIGTERM.")
    max_message_bytes: int = Field(
        4 * _MIB,
        ge=64 * 1024,
        le=64 * _MIB,
        description="The largest request; a larger one is RESOURCE_EXHAUSTED.",
    )
    max_concurrent_rpcs: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="Calls in progress in one worker; more are RESOURCE_EXHAUSTED.",
    )
    tls: TlsSettings | None = Field(None, description="")


class MySqlSettings(_Section):
    """MySQL 8.0.19+ or MariaDB 10.6+: the truth."""

    dsn: MySqlDsn = Field(
        SecretStr("mysql://couponry@127.0.0.1:3306/couponry"),
        description="`mysql://user:password@host:3306/database`, or with `?unix_socket=`; secret.",
    )
    pool_min: int = Field(2, ge=0, le=1000, description="Connections kept open by a worker.")
    pool_max: int = Field(16, ge=1, le=1000, description="Connections of a worker at most.")
    connect_timeout_s: int = Field(5, ge=1, le=60, description="How long a connect may take.")
    lock_wait_timeout_s: int = Field(
        3,
        ge=1,
        le=60,
        description="`innodb_lock_wait_timeout` of a session: how long to wait for a row lock.",
    )
    wait_timeout_s: int = Field(
        15,
        ge=5,
        le=3600,
        description="`wait_timeout` of a session: how long a host that vanished may hold locks.",
    )

    @model_validator(mode="after")
    def _pool_bounds(self) -> Self:
        if self.pool_min > self.pool_max:
            raise ValueError("pool_min must not be above pool_max")
        return self


class RedisSettings(_Section):
    """Redis 6.2+. In production the two addresses are two instances: the sale's must not evict."""

    cache: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description=(
            "Redis of the cache (L2): `redis://`, `rediss://`, `unix://`, `redis+sentinel://HOST:PORT,…/MASTER` or"
            " `redis+cluster://HOST:PORT,…` (`rediss+…` for TLS); secret."
        ),
    )
    sale: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Redis of flash sales (`maxmemory-policy noeviction`, AOF on), of the same kinds; secret.",
    )
    key_prefix: str = Field(
        "",
        max_length=64,
        description="Put before every key, so that installations can share a Redis.",
    )
    pool_max: int = Field(
        32,
        ge=1,
        le=1000,
        description="Connections of a worker to each address at most; of a Cluster: scripts under way.",
    )
    connect_timeout_s: int = Field(2, ge=1, le=60, description="How long a connect may take.")
    command_timeout_s: int = Field(2, ge=1, le=60, description="How long an answer may take.")


class BinlogSettings(_Section):
    """How the caches hear of changes. Where the binlog cannot be read, entries are short-lived and L2 is not used."""

    enabled: bool = Field(True, description="Whether the binlog is read.")
    dsn: MySqlDsn | None = Field(
        None,
        description=(
            "Account with REPLICATION SLAVE, REPLICATION CLIENT, and SELECT on the tables; secret; absent: `mysql.dsn`."
        ),
    )
    tell: bool = Field(True, description="Whether this instance may tell Redis (L2) of changes, while no other does.")


class CacheSettings(_Section):
    """L1 in the worker, L2 in Redis. No answer is older than `max_staleness_ms` after its commit was visible.

    Where no binlog reader tells of changes, entries live `short_ttl_ms` in L1, and L2 is not used.
    """

    binlog: BinlogSettings = BinlogSettings()
    l1_template_bytes: int = Field(
        32 * _MIB, ge=0, le=1 << 36, description="Capacity of L1 for templates; 0 turns it off."
    )
    l1_activity_bytes: int = Field(
        8 * _MIB, ge=0, le=1 << 36, description="Capacity of L1 for activities; 0 turns it off."
    )
    l1_user_bytes: int = Field(
        64 * _MIB,
        ge=0,
        le=1 << 36,
        description="Capacity of L1 for users' live coupons; 0 turns it off.",
    )
    l1_absence_bytes: int = Field(
        4 * _MIB,
        ge=0,
        le=1 << 36,
        description="Capacity of L1 for ids that do not exist; 0 turns it off.",
    )
    max_staleness_ms: int = Field(
        2000,
        ge=1000,
        le=10_000,
        description=(
            "How old an answer may be; where the binlog reader is further behind, L1 is bypassed. It is measured every"
            " half second."
        ),
    )
    fail_safe_ms: int = Field(
        60_000,
        ge=0,
        le=3_600_000,
        description="How much longer reads are answered, flagged `stale`, while MySQL is down; 0: not at all.",
    )
    floors_max: int = Field(
        65_536,
        ge=256,
        le=1 << 24,
        description="Changed rows remembered for 30 s, of each kind; beyond, parts of a kind are not cached for 30 s.",
    )
    l1_ttl_s: int = Field(300, ge=1, le=86_400, description="Longest life of an entry in L1.")
    l2_ttl_s: int = Field(3600, ge=1, le=604_800, description="Longest life of an entry in Redis.")
    absence_ttl_s: int = Field(10, ge=1, le=3600, description="Longest life of a negative entry, in either layer.")
    short_ttl_ms: int = Field(
        500, ge=1, le=500, description="Longest life of an entry in L1 where no binlog reader tells of changes."
    )
    l2_timeout_ms: int = Field(
        250, ge=5, le=10_000, description="How long an answer of Redis may take before SQL is asked instead."
    )
    sql_loads_max: int = Field(8, ge=1, le=1000, description="Loads of cached rows from MySQL at once in a worker.")
    jitter_percent: int = Field(
        20,
        ge=0,
        le=50,
        description="Share by which a life is cut at random, so that entries do not end at once.",
    )
    warm_up_s: int = Field(
        5, ge=0, le=300, description="How long a start may take to fill the caches before it says SERVING; 0: not."
    )
    warm_up_keys: int = Field(
        2000, ge=0, le=100_000, description="Hottest keys of the fleet that are remembered, and read at a start."
    )


class OrderSettings(_Section):
    """Locking, using and returning coupons."""

    lock_ttl_default_s: int = Field(
        900, ge=1, le=604_800, description="How long a lock holds when the call names no time."
    )
    lock_ttl_max_s: int = Field(86_400, ge=1, le=604_800, description="The longest lock that a call may ask for.")
    return_grace_default_s: int = Field(
        0,
        ge=0,
        le=7_776_000,
        description="How long a coupon that came back expired can be used; a template may say.",
    )

    @model_validator(mode="after")
    def _ttl_bounds(self) -> Self:
        if self.lock_ttl_default_s > self.lock_ttl_max_s:
            raise ValueError("lock_ttl_default_s must not be above lock_ttl_max_s")
        return self


class StackingSettings(_Section):
    """How many coupons stand on one order, where their templates say nothing."""

    count_limit: int = Field(5, ge=1, le=30, description="Coupons applied to one order (group `@count`).")
    percent_or_threshold_limit: int = Field(
        1, ge=1, le=30, description="PERCENT_OFF and THRESHOLD_OFF coupons of the default group."
    )
    unit_price_limit: int = Field(1, ge=1, le=30, description="FIXED_PRICE and NTH_ITEM coupons of the default group.")
    instant_limit: int = Field(2, ge=1, le=30, description="INSTANT_OFF coupons of the default group.")
    free_shipping_limit: int = Field(1, ge=1, le=30, description="FREE_SHIPPING coupons of the default group.")
    submitted_limit: int = Field(30, ge=1, le=30, description="Coupons named in one call; more are INVALID_ARGUMENT.")


class FlashSaleSettings(_Section):
    """Claims and what follows them."""

    claims_per_script: int = Field(256, ge=1, le=1000, description="Claims sent to Redis in one script.")
    scripts_in_flight: int = Field(2, ge=1, le=64, description="Claim scripts of one activity under way in one worker.")
    claims_waiting: int = Field(
        32_768,
        ge=1,
        le=1_000_000,
        description="Claims without an answer in one worker; more are RESOURCE_EXHAUSTED.",
    )
    user_claims_per_second: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="Claims a second of one user in one worker; more are RESOURCE_EXHAUSTED. 0: any number.",
    )
    user_claim_burst: int = Field(
        200, ge=1, le=1_000_000, description="Claims of one user at once, before `user_claims_per_second` counts."
    )
    persist_batch: int = Field(2000, ge=1, le=5000, description="Wins that the persister writes in one transaction.")
    trim_after_s: int = Field(
        600,
        ge=1,
        le=86_400,
        description="How long a persisted win stays in the outbox: MySQL may lose its commit.",
    )
    stock_age_ms: int = Field(100, ge=1, le=1000, description="Age at which the stock shown by GetStock is read again.")
    watch_interval_ms: int = Field(
        100, ge=10, le=10_000, description="Least time between two changes told by WatchStock."
    )
    replicas: int = Field(1, ge=1, le=16, description="Replicas that have a win before `ack = REPLICA` tells it.")
    replica_timeout_ms: int = Field(
        500, ge=1, le=10_000, description="How long `ack = REPLICA` waits for them; then the claim is UNAVAILABLE."
    )
    fence_retry_ms: int = Field(
        200,
        ge=10,
        le=10_000,
        description="RetryInfo of a claim that meets an activity which is being fenced.",
    )


class JobSettings(_Section):
    """Background work. Every worker does it; any number may."""

    enabled: bool = Field(True, description="Whether this instance runs the background jobs.")
    persister_interval_ms: int = Field(
        20, ge=1, le=60_000, description="Pause of the persister when the outbox is empty."
    )
    adjuster_interval_ms: int = Field(
        1000, ge=10, le=60_000, description="Pause between looks for adjustments that a crash left."
    )
    expirer_interval_ms: int = Field(
        1000,
        ge=10,
        le=600_000,
        description="Pause between tidying lapsed locks and expired coupons.",
    )
    expirer_batch: int = Field(500, ge=1, le=10_000, description="Rows that the expirer moves in one transaction.")
    trim_interval_ms: int = Field(5000, ge=10, le=600_000, description="Pause between trims of the outbox.")
    request_retention_s: int = Field(
        172_800,
        ge=86_400,
        le=31_536_000,
        description="How long answers are kept for repeated request ids.",
    )
    sweep_interval_s: int = Field(60, ge=1, le=86_400, description="Pause between removals of old request answers.")


class MetricsSettings(_Section):
    """Prometheus metrics over HTTP."""

    listen: ListenPort | None = Field(
        None,
        description="Address of the metrics page, `HOST:PORT`; absent: no page. Further workers take the next ports.",
    )


class AdminSettings(_Section):
    """The local socket of `couponry cache`. Whoever can open it can empty the caches."""

    socket: AdminPath | None = Field(
        None,
        description="Path of a unix socket (mode 0600); absent: none. Further workers add `.1`, `.2`, … to it."
        " `serve --dev` puts one beside its stores.",
    )


class LogSettings(_Section):
    """The log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level written.")
    format: Literal["json", "console"] = Field("json", description="`json`: one object a line; `console`: for people.")


class DtmSettings(_Section):
    """The DTM server, for TransactionService; its RPCs need this section."""

    grpc: Annotated[str, MinLen(1), MaxLen(255)] = Field("127.0.0.1:36790", description="DTM's gRPC address.")
    http: Annotated[str, MinLen(1), MaxLen(255)] = Field(
        "http://127.0.0.1:36789/api/dtmsvr", description="DTM's HTTP address, for queries."
    )


class Settings(BaseSettings):
    """All settings. `load` reads them; the constructor takes values and looks at nothing else."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=NESTING,
    )

    server: ServerSettings = ServerSettings()
    mysql: MySqlSettings = MySqlSettings()
    redis: RedisSettings = RedisSettings()
    cache: CacheSettings = CacheSettings()
    orders: OrderSettings = OrderSettings()
    stacking: StackingSettings = StackingSettings()
    flash_sale: FlashSaleSettings = FlashSaleSettings()
    jobs: JobSettings = JobSettings()
    metrics: MetricsSettings = MetricsSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()
    dtm: DtmSettings | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)
