"""Settings: read from a file and the environment, exact about what is wrong, silent about secrets."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from couponry.config import (
    ConfigError,
    ListenAddress,
    MySqlAddress,
    MySqlSettings,
    RedisKind,
    Settings,
    load,
    mysql_dsn,
    parse_listen,
    parse_mysql_dsn,
    parse_redis_url,
    redis_place,
)
from couponry.config.reading import keys
from couponry.config.reference import reference


@pytest.fixture(autouse=True)
def no_couponry_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("COUPONRY_"):
            monkeypatch.delenv(name)


def _file(folder: Path, text: str) -> Path:
    path = folder / "couponry.toml"
    path.write_text(text)
    return path


def test_without_a_file_every_key_has_its_default() -> None:
    assert load() == Settings()


def test_the_environment_wins_over_the_file_and_overrides_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _file(tmp_path, '[server]\nlisten = "127.0.0.1:1"\nworkers = 2\ndrain_timeout_s = 3\n')
    monkeypatch.setenv("COUPONRY_SERVER__WORKERS", "4")
    monkeypatch.setenv("COUPONRY_SERVER__DRAIN_TIMEOUT_S", "5")
    server = load(path, {"server.drain_timeout_s": 6}).server
    assert (server.listen, server.workers, server.drain_timeout_s) == ("127.0.0.1:1", 4, 6)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUPONRY_CONFIG", str(_file(tmp_path, "[server]\nworkers = 7\n")))
    assert load().server.workers == 7


def test_settings_made_by_hand_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUPONRY_SERVER__WORKERS", "4")
    assert Settings().server.workers == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[mysql]\npool_mxa = 3\n", "mysql.pool_mxa: unknown key; did you mean mysql.pool_max?"),
        ("[servr]\nworkers = 3\n", "servr: unknown key; did you mean server?"),
        ("[server.tsl]\nkey = 'k'\n", "server.tsl: unknown key; did you mean server.tls?"),
        ("server = 3\n", "server: is a section, written [server]"),
    ],
)
def test_an_unknown_key_of_the_file_is_an_error_with_the_nearest_name(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(_file(tmp_path, text))
    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("COUPONRY_MYSQL__POOL_MXA", "COUPONRY_MYSQL__POOL_MAX"),
        ("COUPONRY_SERVER_LISTEN", "COUPONRY_SERVER__LISTEN"),
        ("COUPONRY_MYSQL", "COUPONRY_MYSQL__DSN"),
    ],
)
def test_an_unknown_variable_is_an_error_with_the_nearest_name(
    variable: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value) == f"{variable}: unknown variable; did you mean {nearest}?"


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, '[server]\nworkers = 0\nlisten = "x"\n[cache]\nshort_ttl_ms = 501\n')
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert sorted(line.partition(":")[0] for line in str(caught.value).splitlines()) == [
        "cache.short_ttl_ms",
        "server.listen",
        "server.workers",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [("not toml", "not TOML"), ("[server]\nworkers = 'three'\n", "server.workers")],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(_file(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: No such file"):
        load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("server.workers", 1, 64),
        ("server.max_message_bytes", 65_536, 67_108_864),
        ("cache.l1_ttl_s", 1, 86_400),
        ("cache.l2_ttl_s", 1, 604_800),
        ("cache.jitter_percent", 0, 50),
        ("stacking.submitted_limit", 1, 30),
        ("flash_sale.claims_per_script", 1, 1000),
        ("jobs.request_retention_s", 86_400, 31_536_000),
    ],
)
def test_a_limit_holds_at_its_edges(name: str, low: int, high: int) -> None:
    section, key = name.split(".")
    for value in (low, high):
        assert getattr(getattr(load(None, {name: value}), section), key) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError, match=name):
            load(None, {name: value})


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"mysql.pool_min": 17}, "mysql: pool_min must not be above pool_max"),
        ({"orders.lock_ttl_default_s": 86_401}, "orders: lock_ttl_default_s must not be above lock_ttl_max_s"),
        ({"metrics.listen": "unix:/m.sock"}, "metrics.listen: must be HOST:PORT"),
    ],
)
def test_values_that_cannot_be_used_are_refused(overrides: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, overrides)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://hidden:hidden@h/d",
        "mysql://hidden:hidden@h:port/d",
        "mysql://hidden:hidden@h/",
        "mysql://hidden:hidden@h/d?ssl=hidden",
        "mysql://:hidden@h/d",
        "mysql://hidden:hidden@/d",
        "mysql://hidden:hidden@h/d?hidden",
    ],
)
def test_no_error_repeats_a_secret(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUPONRY_MYSQL__DSN", dsn)
    with pytest.raises(ConfigError, match=r"^mysql\.dsn: ") as caught:
        load()
    assert "hidden" not in str(caught.value)
    with pytest.raises(ValidationError) as raw:
        MySqlSettings(dsn=SecretStr(dsn))
    assert "hidden" not in str(raw.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://:hidden@h",
        "redis://:hidden@h:port",
        "redis://",
        "unix://",
        "redis+sentinel://:hidden@h:26379",
        "redis+sentinel://:hidden@h:26379/sale/x",
        "redis+sentinel://:hidden@h:26379/sale/0/1",
        "redis+sentinel://:hidden@h,/sale",
        "redis+sentinel://:hidden@h:port/sale",
        "redis+sentinel://h/sale?password=hidden",
        "redis+cluster://:hidden@",
        "redis+cluster://:hidden@h/1",
        "redis+cluster://h?sentinel_password=hidden",
        "redis+other://:hidden@h",
    ],
)
def test_a_wrong_redis_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^redis\.sale: ") as caught:
        load(None, {"redis.sale": url})
    assert "hidden" not in str(caught.value)


def test_no_repr_shows_a_secret() -> None:
    settings = load(None, {"mysql.dsn": "mysql://u:hidden@h/d", "redis.cache": "redis://:hidden@h"})
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings.model_dump())
    address = parse_mysql_dsn(settings.mysql.dsn.get_secret_value())
    assert "hidden" not in f"{address!r} {address}"


def test_a_dsn_is_taken_apart_and_put_together_again() -> None:
    addresses = [
        MySqlAddress("u", "p:/@?#% ü", "db.example", 3307, "coupons"),
        MySqlAddress("u@h", "", "::1", 3306, "d"),
        MySqlAddress("root", "", "localhost", 3306, "d", "/var/run/my sql?.sock"),
    ]
    for address in addresses:
        assert parse_mysql_dsn(mysql_dsn(address)) == address


def test_where_to_listen_is_a_host_and_port_or_a_socket() -> None:
    for text in ("127.0.0.1:0", "localhost:65535", "[::1]:7700", "unix:/run/couponry.sock"):
        assert str(parse_listen(text)) == text
    assert parse_listen("[::1]:7700") == ListenAddress("::1", 7700)


@pytest.mark.parametrize(
    "text", ["", "7700", ":7700", "h:", "h:65536", "h:-1", "h:٣", "::1:7700", "unix:", "unix:" + "x" * 108]
)
def test_a_place_that_nobody_can_listen_on_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|needs|has"):
        parse_listen(text)


def test_the_longest_socket_path_is_taken() -> None:
    assert len(parse_listen("unix:" + "x" * 107).path) == 107


def test_the_place_of_a_redis_has_no_password() -> None:
    assert redis_place("redis://u:hidden@h:1/0") == "h:1"
    assert redis_place("rediss://h") == "h:6379"
    assert redis_place("unix:///run/r.sock?db=1") == "/run/r.sock"
    assert redis_place("redis+sentinel://u:hidden@a,b:1/sale/3") == "sale of Sentinels a:26379,b:1"
    assert redis_place("rediss+cluster://u:hidden@a:1,[::1]:2") == "a:1,[::1]:2 (Cluster)"


def test_an_address_of_sentinels_or_a_cluster_is_taken_apart() -> None:
    found = parse_redis_url("rediss+sentinel://u:p%40ss@a,b:1/sale/3?sentinel_password=q&ssl_ca_certs=/ca.pem")
    assert (found.kind, found.nodes, found.master, found.db) == (
        RedisKind.SENTINEL,
        (("a", 26379), ("b", 1)),
        "sale",
        3,
    )
    assert (found.tls, found.username, found.password) == (True, "u", "p@ss")
    assert found.options == {"sentinel_password": "q", "ssl_ca_certs": "/ca.pem"}
    assert "p@ss" not in repr(found)
    cluster = parse_redis_url("redis+cluster://:p@a:7000,b")
    assert (cluster.kind, cluster.nodes) == (RedisKind.CLUSTER, (("a", 7000), ("b", 6379)))
    assert (cluster.tls, cluster.username, cluster.password) == (False, None, "p")
    assert parse_redis_url("redis://h").kind is RedisKind.SINGLE


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().server.workers = 2  # type: ignore[misc]


def test_every_key_says_what_it_means() -> None:
    for key in keys():
        assert key.info.description, key.name
        assert key.info.description.endswith("."), key.name


def test_the_reference_page_is_what_the_code_says(repository: Path) -> None:
    assert (repository / "docs" / "configuration.md").read_text() == reference()
