"""`doctor` against servers that are set right, and against servers that are set wrong on purpose."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pymysql
import pytest
from pydantic import SecretStr

from couponry.config import MySqlSettings, RedisSettings, Settings, mysql_dsn, parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.doctor import CACHED_TABLES, Finding, State, examine
from couponry.store import migrations
from tests.integration.topologies import Clustered, Watched, until


def _settings(dsn: str, redis_url: str) -> Settings:
    return Settings(
        mysql=MySqlSettings(dsn=SecretStr(dsn)),
        redis=RedisSettings(cache=SecretStr(redis_url), sale=SecretStr(redis_url)),
    )


def _of(findings: list[Finding], store: str, check: str) -> Finding:
    (found,) = (finding for finding in findings if (finding.store, finding.check) == (store, check))
    return found


def _execute(dsn: str, *statements: str) -> None:
    address = parse_mysql_dsn(dsn)
    with (
        pymysql.connect(unix_socket=address.unix_socket, user=address.user, database=address.database) as connection,
        connection.cursor() as cursor,
    ):
        for statement in statements:
            cursor.execute(statement)


def test_nothing_is_wrong_with_the_private_stores(settings: Settings) -> None:
    findings = examine(settings)
    assert [finding for finding in findings if finding.state is not State.OK] == []
    assert len(findings) >= 20


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[list[Finding]]:
    """What is found at servers where everything that can be set wrong is."""
    stack = DevStack(
        tmp_path_factory.mktemp("wrong"),
        template_dir=repository / ".couponry" / "template",
        mysql_options={
            "binlog-format": "STATEMENT",
            "binlog-row-image": "MINIMAL",
            "binlog-expire-logs-seconds": "600",
            "binlog-ignore-db": "couponry",
            "plugin-load-add": "semisync_master",
            "rpl-semi-sync-master-enabled": "1",
            "rpl-semi-sync-master-timeout": "60000",
            "sync-binlog": "0",
            "innodb-flush-log-at-trx-commit": "2",
            "default-time-zone": "SYSTEM",
            "sql-mode": "NO_ENGINE_SUBSTITUTION",
            "max-allowed-packet": "1M",
            "log-bin-trust-function-creators": "0",
        },
        redis_options={
            "maxmemory": "64mb",
            "maxmemory-policy": "allkeys-lru",
            "appendonly": "no",
            "appendfsync": "no",
        },
        environment={"TZ": "Asia/Shanghai"},
    )
    with stack:
        yield examine(_settings(stack.mysql_dsn(), stack.redis_url))


@pytest.mark.parametrize(
    "expected",
    [
        Finding("mysql", "binlog_format", State.FAIL, "STATEMENT", "[mysqld] binlog_format = ROW"),
        Finding("mysql", "binlog_row_image", State.WARN, "MINIMAL", "[mysqld] binlog_row_image = FULL"),
        Finding("binlog", "kept", State.WARN, "600 s", "[mysqld] binlog_expire_logs_seconds = 86400"),
        Finding(
            "binlog", "filters", State.FAIL, "ignore=couponry", "remove the filter that leaves couponry out of the log"
        ),
        Finding("binlog", "semi-sync timeout", State.WARN, "60000 ms", "[mysqld] rpl_semi_sync_master_timeout = 10000"),
        Finding("mysql", "sync_binlog", State.FAIL, "0", "[mysqld] sync_binlog = 1"),
        Finding(
            "mysql", "innodb_flush_log_at_trx_commit", State.FAIL, "2", "[mysqld] innodb_flush_log_at_trx_commit = 1"
        ),
        Finding("mysql", "time_zone", State.WARN, "SYSTEM (CST)", "[mysqld] default_time_zone = '+00:00'"),
        Finding(
            "mysql",
            "sql_mode",
            State.FAIL,
            "NO_ENGINE_SUBSTITUTION",
            "[mysqld] sql_mode = STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
        ),
        Finding("mysql", "max_allowed_packet", State.FAIL, "1048576", "[mysqld] max_allowed_packet = 16M"),
        Finding("redis.sale", "maxmemory-policy", State.FAIL, "allkeys-lru", "maxmemory-policy noeviction"),
        Finding("redis.sale", "appendonly", State.FAIL, "no", "appendonly yes"),
        Finding("redis.sale", "appendfsync", State.FAIL, "no", "appendfsync everysec"),
        Finding(
            "redis.cache",
            "own instance",
            State.FAIL,
            "shared with redis.sale",
            "redis.cache: give the cache a Redis of its own before memory is limited",
        ),
    ],
    ids=lambda finding: f"{finding.store} {finding.check}",
)
def test_a_wrong_setting_is_named_with_the_line_to_write(wrong: list[Finding], expected: Finding) -> None:
    assert _of(wrong, expected.store, expected.check) == expected


def test_what_is_right_on_a_wrong_server_is_not_blamed(wrong: list[Finding]) -> None:
    for check in ("reachable", "version", "session in UTC", "READ COMMITTED", "log_bin"):
        assert _of(wrong, "mysql", check).state is State.OK


def test_a_reader_without_its_privileges_is_named_with_the_grant(settings: Settings) -> None:
    dsn = parse_mysql_dsn(settings.mysql.dsn.get_secret_value())
    own = f"mysql://reader:p@localhost/{dsn.database}?unix_socket={dsn.unix_socket}"
    binlog = settings.cache.binlog.model_copy(update={"dsn": SecretStr(own)})
    apart = settings.model_copy(update={"cache": settings.cache.model_copy(update={"binlog": binlog})})
    _execute(mysql_dsn(dsn), "CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 'p'")
    finding = _of(examine(apart), "binlog", "reader")
    assert (finding.state, finding.advice) == (
        State.WARN,
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO the account of cache.binlog.dsn",
    )
    assert finding.found == "none: entries live 500 ms, and Redis is not used as a cache"
    _execute(mysql_dsn(dsn), "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@localhost")
    finding = _of(examine(apart), "binlog", "reader")
    assert (finding.state, finding.found) == (State.FAIL, "does not see the cached tables")
    _execute(mysql_dsn(dsn), f"GRANT SELECT ON `{dsn.database}`.* TO reader@localhost")
    assert _of(examine(apart), "binlog", "reader").state is State.OK


def test_a_replica_that_does_not_log_what_it_is_sent_is_named(tmp_path: Path, repository: Path) -> None:
    with DevStack(tmp_path, template_dir=repository / ".couponry" / "template") as stack:
        settings = _settings(stack.mysql_dsn(), stack.redis_url)
        assert _of(examine(settings), "binlog", "log_slave_updates").state is State.OK
        _execute(stack.mysql_dsn(), "CHANGE MASTER TO master_host = '127.0.0.1', master_user = 'nobody'")
        finding = _of(examine(settings), "binlog", "log_slave_updates")
    assert (finding.state, finding.found) == (State.FAIL, "OFF, a replica")
    assert finding.advice == "[mysqld] log_slave_updates = ON"


def test_a_binary_log_that_is_off_is_named(tmp_path: Path, repository: Path) -> None:
    stack = DevStack(tmp_path, template_dir=repository / ".couponry" / "template", mysql_options={"skip-log-bin": ""})
    with stack:
        findings = examine(_settings(stack.mysql_dsn(), stack.redis_url))
    finding = _of(findings, "mysql", "log_bin")
    assert (finding.state, finding.advice) == (State.FAIL, "[mysqld] log_bin = binlog")
    finding = _of(findings, "binlog", "reader")
    assert (finding.state, finding.advice) == (State.WARN, "the server keeps no binary log")


def test_pending_migrations_are_named(empty_mysql_dsn: str, redis_url: str) -> None:
    finding = _of(examine(_settings(empty_mysql_dsn, redis_url)), "mysql", "migrations")
    assert (finding.state, finding.advice) == (State.FAIL, "run `couponry migrate`")
    assert finding.found == f"{len(migrations.pending(empty_mysql_dsn))} pending"


@pytest.mark.parametrize("table", CACHED_TABLES)
def test_a_missing_version_trigger_is_named_and_its_advice_mends_it(mysql_dsn: str, redis_url: str, table: str) -> None:
    settings = _settings(mysql_dsn, redis_url)
    _execute(mysql_dsn, f"DROP TRIGGER {table}_version")
    finding = _of(examine(settings), "mysql", f"version trigger of {table}")
    assert finding.state is State.FAIL
    _execute(mysql_dsn, finding.advice)
    assert _of(examine(settings), "mysql", f"version trigger of {table}").state is State.OK


def test_where_triggers_are_not_allowed_a_missing_one_is_a_warning(tmp_path: Path, repository: Path) -> None:
    stack = DevStack(
        tmp_path,
        template_dir=repository / ".couponry" / "template",
        mysql_options={"log-bin-trust-function-creators": "0"},
    )
    with stack:
        dsn = stack.mysql_dsn()
        migrations.upgrade(dsn)
        _execute(
            dsn,
            "DROP TRIGGER templates_version",
            "CREATE USER plain@localhost IDENTIFIED BY 'p'",
            "GRANT ALL ON couponry.* TO plain@localhost",
        )
        findings = examine(_settings(dsn.replace("root@", "plain:p@"), stack.redis_url))
    allowed = _of(findings, "mysql", "triggers allowed")
    assert (allowed.state, allowed.advice) == (State.WARN, "[mysqld] log_bin_trust_function_creators = 1")
    assert _of(findings, "mysql", "version trigger of templates").state is State.WARN


def test_stores_that_do_not_answer_are_findings(tmp_path: Path) -> None:
    findings = examine(_settings("mysql://u:hidden@127.0.0.1:1/d", f"unix://{tmp_path}/none.sock"))
    assert [(finding.store, finding.check, finding.state) for finding in findings] == [
        ("mysql", "reachable", State.FAIL),
        ("redis.sale", "reachable", State.FAIL),
        ("redis.cache", "reachable", State.FAIL),
    ]
    assert "hidden" not in str(findings)


def _wrong(findings: list[Finding], *checks: str) -> list[tuple[str, str, State, str]]:
    return [
        (each.store, each.check, each.state, each.found)
        for each in findings
        if each.store != "mysql" and (each.check in checks or each.state is not State.OK)
    ]


def test_sentinels_are_asked_whether_they_can_promote_a_replica(settings: Settings, tmp_path: Path) -> None:
    with Watched(tmp_path, replicas=1, sentinels=3, quorum=2) as servers:
        watched = _settings(settings.mysql.dsn.get_secret_value(), servers.url)
        checks = ("sentinels", "replicas of the master", "replicas")
        assert _wrong(examine(watched), *checks) == [
            ("redis.sale", "sentinels", State.OK, "3 of 3 answer, quorum 2"),
            ("redis.sale", "replicas of the master", State.OK, "1"),
            ("redis.sale", "replicas", State.OK, "1 (ack = REPLICA needs 1)"),
            ("redis.cache", "sentinels", State.OK, "3 of 3 answer, quorum 2"),
            ("redis.cache", "replicas of the master", State.OK, "1"),
        ]
        servers.sentinels[0].kill()
        assert _of(examine(watched), "redis.sale", "sentinels").state is State.WARN
        servers.sentinels[1].kill()
        finding = _of(examine(watched), "redis.sale", "sentinels")
        assert (finding.state, finding.found) == (State.FAIL, "1 of 3 answer, quorum 2")
        unknown = _settings(settings.mysql.dsn.get_secret_value(), servers.url.replace("/sale", "/other"))
        finding = _of(examine(unknown), "redis.sale", "reachable")
        assert finding.state is State.FAIL
        assert "names a master" in finding.advice


def test_every_primary_of_a_cluster_is_examined(settings: Settings, tmp_path: Path) -> None:
    with Clustered(tmp_path) as servers:
        clustered = _settings(settings.mysql.dsn.get_secret_value(), servers.url)
        checks = ("cluster_state", "primaries with a replica")
        assert _wrong(examine(clustered), *checks) == [
            (store, check, State.OK, found)
            for store in ("redis.sale", "redis.cache")
            for check, found in (("cluster_state", "ok"), ("primaries with a replica", "3 of 3"))
        ]
        # One of them is set wrong.
        servers.primaries[1].ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        findings = examine(clustered)
        assert _of(findings, "redis.sale", "maxmemory-policy").state is State.FAIL
        servers.primaries[1].ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        servers.replicas[0].kill()
        until(lambda: _of(examine(clustered), "redis.sale", "primaries with a replica").found == "2 of 3")


def _doctor(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "COUPONRY_MYSQL__DSN": settings.mysql.dsn.get_secret_value(),
        "COUPONRY_REDIS__CACHE": settings.redis.cache.get_secret_value(),
        "COUPONRY_REDIS__SALE": settings.redis.sale.get_secret_value(),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "couponry", "doctor", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_exits_0_where_all_is_well_and_1_where_not(settings: Settings) -> None:
    assert _doctor(settings).returncode == 0
    address = replace(parse_mysql_dsn(settings.mysql.dsn.get_secret_value()), database="absent")
    unknown = MySqlSettings(dsn=SecretStr(mysql_dsn(address)))
    result = _doctor(settings.model_copy(update={"mysql": unknown}))
    assert result.returncode == 1
    assert "CREATE DATABASE `absent`" in " ".join(result.stdout.split())


def test_the_command_prints_the_findings_as_json(settings: Settings) -> None:
    findings = json.loads(_doctor(settings, "--json").stdout)
    assert {finding["state"] for finding in findings} == {"ok"}
    assert {"store", "check", "state", "found", "advice"} == set(findings[0])
