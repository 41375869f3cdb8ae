"""The reader in the extension, from a real MariaDB into L1: rows changed by hand, and what can go wrong between."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from couponry.config import parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.devstack.process import wait_until
from couponry.store import migrations
from tests.integration.invalidation.conftest import Worker, connected, insert_coupon, insert_template, rows, source
from tests.integration.invalidation.relay import Relay

Start = Callable[..., Worker]
_SOON_S = 20.0


def eventually(condition: Callable[[], bool]) -> None:
    assert wait_until(condition, _SOON_S)


def dropped(worker: Worker, kind: str, key: str) -> bool:
    return worker.l1.get(kind, key) is None


def reconnected(worker: Worker, more_often_than: int) -> bool:
    return worker.figure("reconnects") > more_often_than


def fresh(worker: Worker) -> Worker:
    eventually(lambda: worker.binlog.first() is not None and worker.l1.fresh)
    return worker


@pytest.fixture
def dsn(mysql_dsn: str) -> str:
    """The migrated schema with one coupon of a user and one template."""
    with connected(mysql_dsn) as cursor:
        cursor.execute(insert_coupon(5))
        cursor.execute(insert_template(7, "key"))
    return mysql_dsn


def caught_up(worker: Worker, dsn: str) -> None:
    """The worker has passed everything that the server has now."""
    ((name, position, *_),) = rows(dsn, "SHOW MASTER STATUS")
    number = int(name.rpartition(".")[2])

    def passed() -> bool:
        place = worker.binlog.passed()
        return place is not None and (int(place[1][10:20]), int(place[1][20:32])) >= (number, position)

    eventually(passed)


def test_a_change_by_hand_reaches_the_l1_of_every_worker(dsn: str, start_worker: Start) -> None:
    workers = [fresh(start_worker(dsn)) for _ in range(2)]
    for worker in workers:
        caught_up(worker, dsn)
        assert worker.store("user", "u", (5, 1)) is None
        assert worker.holds("user", "u")
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET order_id = 'by hand' WHERE id = 5")
    for worker in workers:
        eventually(partial(dropped, worker, "user", "u"))
        assert worker.store("user", "u", (5, 1)) == "floor", "what is older than the change is not stored"
        assert worker.store("user", "u", (5, 2)) is None


def test_a_coupon_that_was_used_keeps_entries_away_that_still_have_it(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET status = 3 WHERE id = 5")
    caught_up(worker, dsn)
    assert worker.store("user", "u", (5, 1)) == "floor"
    assert worker.store("user", "u") is None


def test_a_new_row_ends_what_said_that_there_is_none(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    caught_up(worker, dsn)
    for kind, key in (("template", "8"), ("template_key", "new")):
        fill = worker.l1.begin(kind, key)
        assert fill.store(None, [], life_ms=60_000, sent_ms=worker.l1.now_ms) is None
        assert worker.l1.get(kind, key) is False
    with connected(dsn) as cursor:
        cursor.execute(insert_template(8, "new"))
    for kind, key in (("template", "8"), ("template_key", "new")):
        eventually(partial(dropped, worker, kind, key))


def test_rows_of_other_schemas_are_not_ours(dsn: str, stack: DevStack, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    other = stack.create_database("not_ours")
    try:
        with connected(other) as cursor:
            cursor.execute("CREATE TABLE user_coupons (user_id VARBINARY(64), id BIGINT, PRIMARY KEY (user_id, id))")
            cursor.execute("INSERT INTO user_coupons VALUES ('u', 5)")
        caught_up(worker, dsn)
        assert worker.losses() == {}
        assert worker.store("user", "u", (5, 1)) is None
    finally:
        stack.drop_database("not_ours")


def test_an_idle_log_stays_fresh(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    asked = worker.figure("probes")
    eventually(lambda: worker.figure("probes") >= asked + 3)
    age_ms = worker.l1.age_ms
    assert age_ms is not None
    assert age_ms < 1500


def test_a_stream_that_is_cut_goes_on_where_it_was(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    caught_up(worker, dsn)
    for round_ in range(3):
        assert worker.store("user", "u", (5, 100 + round_)) is None or round_ > 0
        with connected(dsn) as cursor:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE command = 'Binlog Dump'")
            for (thread,) in list(cursor.fetchall()):
                cursor.execute(f"KILL {thread}")
            cursor.execute("UPDATE user_coupons SET version = 200 WHERE id = 5")
        eventually(partial(reconnected, worker, round_))
        caught_up(worker, dsn)
        assert not worker.holds("user", "u")
    assert worker.losses() == {}
    eventually(lambda: worker.l1.fresh)


def test_a_stream_that_falls_silent_is_noticed_and_l1_steps_aside(
    dsn: str, tmp_path: Path, start_worker: Start
) -> None:
    address = parse_mysql_dsn(dsn)
    assert address.unix_socket is not None
    relay = Relay(tmp_path / "relay.sock", address.unix_socket)
    try:
        worker = fresh(start_worker(dsn.replace(address.unix_socket, str(relay.path)).replace("%2F", "/")))
        caught_up(worker, dsn)
        assert worker.store("user", "u", (5, 1)) is None
        relay.hold()
        with connected(dsn) as cursor:
            cursor.execute("UPDATE user_coupons SET order_id = 'unheard of' WHERE id = 5")
        eventually(lambda: not worker.l1.fresh)
        assert not worker.holds("user", "u"), "an entry that nobody vouches for is not served"
        eventually(lambda: worker.figure("reconnects") > 0)
        relay.let_go()
        eventually(lambda: worker.l1.fresh)
        assert not worker.holds("user", "u"), "the change was heard of before L1 came back"
        assert worker.store("user", "u", (5, 1)) == "floor"
        assert worker.losses() == {}
    finally:
        worker.binlog.stop()
        relay.close()


def test_a_reader_that_starts_at_an_older_place_raises_the_floors_since(dsn: str, start_worker: Start) -> None:
    before = fresh(start_worker(dsn))
    caught_up(before, dsn)
    place = before.binlog.passed()
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET order_id = 'since' WHERE id = 5")
    worker = fresh(start_worker(dsn, place))
    caught_up(worker, dsn)
    assert worker.binlog.first() == place
    assert not worker.l1.starting
    assert worker.store("user", "u", (5, 1)) == "floor"


def test_without_an_older_place_the_first_entries_live_short(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    assert worker.l1.starting
    assert worker.losses() == {}


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("ALTER TABLE user_coupons ADD COLUMN note INT NULL AFTER source", "ddl"),
        ("RENAME TABLE activities TO old_activities, old_activities TO activities", "ddl"),
        ("TRUNCATE TABLE templates", "ddl"),
        ("SET SESSION binlog_format = 'STATEMENT'; UPDATE templates SET name = 'text'", "statement"),
        ("XA START 'x'; UPDATE user_coupons SET attempt = 1; XA END 'x'; XA PREPARE 'x'; XA COMMIT 'x'", "xa"),
    ],
)
def test_what_cannot_be_placed_empties_l1_and_the_reader_goes_on(
    dsn: str, start_worker: Start, statement: str, cause: str
) -> None:
    worker = fresh(start_worker(dsn))
    caught_up(worker, dsn)
    assert worker.store("user", "u", (5, 9)) is None
    with connected(dsn) as cursor:
        for each in statement.split("; "):
            cursor.execute(each)
    caught_up(worker, dsn)
    assert worker.losses() == {cause: 1}
    assert not worker.holds("user", "u")
    eventually(lambda: worker.binlog.first() is not None)
    assert worker.l1.starting
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET order_id = 'after' WHERE id = 5")
    caught_up(worker, dsn)
    version = rows(dsn, "SELECT version FROM user_coupons WHERE id = 5")[0][0]
    assert worker.store("user", "u", (5, version - 1)) == "floor", "rows are read with their new columns"
    assert worker.losses() == {cause: 1}


def test_a_file_whose_time_is_before_the_last_ones_is_another_log(dsn: str, start_worker: Start) -> None:
    worker = fresh(start_worker(dsn))
    with connected(dsn) as cursor:
        cursor.execute("SET SESSION timestamp = 1000000000")
        cursor.execute("FLUSH BINARY LOGS")
    eventually(lambda: worker.losses() == {"other_log": 1})
    fresh(worker)
    with connected(dsn) as cursor:
        cursor.execute("FLUSH BINARY LOGS")


def test_an_account_without_the_privilege_and_a_server_without_a_log_are_told_apart(
    dsn: str, tmp_path: Path, repository: Path
) -> None:
    with connected(dsn) as cursor:
        cursor.execute("CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 'p'")
        cursor.execute(f"GRANT SELECT ON `{parse_mysql_dsn(dsn).database}`.* TO reader@localhost")
    plain = source(dsn, user="reader", password="p")
    assert plain.problem() is not None
    assert plain.problem()[0] == "not_allowed"  # type: ignore[index]
    with connected(dsn) as cursor:
        cursor.execute("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO reader@localhost")
    assert plain.problem() is None
    wrong = source(dsn, user="reader", password="q")
    assert (wrong.problem() or ("",))[0] == "not_allowed"
    stack = DevStack(tmp_path, template_dir=repository / ".couponry" / "template", mysql_options={"skip-log-bin": ""})
    with stack:
        assert (source(stack.mysql_dsn()).problem() or ("",))[0] == "no_log"
    assert (source(stack.mysql_dsn()).problem() or ("",))[0] == "unreachable"


@pytest.fixture
def own(tmp_path: Path, repository: Path) -> Iterator[DevStack]:
    """A server of this test alone, that may be restarted and reset."""
    with DevStack(tmp_path, template_dir=repository / ".couponry" / "template") as stack:
        migrations.upgrade(stack.mysql_dsn())
        with connected(stack.mysql_dsn()) as cursor:
            cursor.execute(insert_coupon(5))
        yield stack


def test_a_server_that_is_killed_and_started_again_is_followed_on(own: DevStack, start_worker: Start) -> None:
    dsn = own.mysql_dsn()
    worker = fresh(start_worker(dsn))
    caught_up(worker, dsn)
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET order_id = 'before' WHERE id = 5")
    own.kill_mariadb()
    eventually(lambda: not worker.l1.fresh)
    own.start_mariadb()
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET order_id = 'after' WHERE id = 5")
    eventually(lambda: worker.l1.fresh)
    caught_up(worker, dsn)
    assert worker.store("user", "u", (5, 2)) == "floor"
    assert worker.store("user", "u", (5, 3)) is None
    assert worker.losses() == {}


def test_a_log_that_is_reset_is_another_one(own: DevStack, start_worker: Start) -> None:
    dsn = own.mysql_dsn()
    worker = fresh(start_worker(dsn))
    caught_up(worker, dsn)
    assert worker.store("user", "u", (5, 1)) is None
    with connected(dsn) as cursor:
        cursor.execute("RESET MASTER")
        # Numbers begin again, and pass where they were.
        for _ in range(40):
            cursor.execute("UPDATE user_coupons SET version = version + 1")
    eventually(lambda: sum(worker.losses().values()) == 1)
    fresh(worker)
    caught_up(worker, dsn)
    assert not worker.holds("user", "u")
    with connected(dsn) as cursor:
        cursor.execute("UPDATE user_coupons SET version = 1000")
    caught_up(worker, dsn)
    assert worker.store("user", "u", (5, 999)) == "floor"


def test_a_place_that_was_purged_is_lost_and_the_reader_begins_anew(own: DevStack, start_worker: Start) -> None:
    dsn = own.mysql_dsn()
    before = fresh(start_worker(dsn))
    place = before.binlog.passed()
    before.binlog.stop()
    with connected(dsn) as cursor:
        cursor.execute("FLUSH BINARY LOGS")
    ((name, *_),) = rows(dsn, "SHOW MASTER STATUS")

    def purged() -> bool:
        # A file that a stream still reads is not removed.
        rows(dsn, f"PURGE BINARY LOGS TO '{name}'")
        return bool(rows(dsn, "SHOW BINARY LOGS")[0][0] == name)

    eventually(purged)
    worker = fresh(start_worker(dsn, place))
    assert worker.losses() == {"purged": 1}
    assert worker.l1.starting


def test_after_a_failover_the_reader_goes_on_at_the_replica_by_global_ids(
    tmp_path: Path, repository: Path, start_worker: Start
) -> None:
    template = repository / ".couponry" / "template"
    net = {"skip-networking": "0", "bind-address": "127.0.0.1", "log-slave-updates": "1"}
    one = DevStack(tmp_path / "a", template_dir=template, mysql_options={**net, "port": _free_port()})
    two = DevStack(tmp_path / "b", template_dir=template, mysql_options={**net, "port": _free_port(), "server-id": "2"})
    with one, two:
        with connected(one.mysql_dsn()) as cursor:
            cursor.execute("SELECT @@port")
            port = cursor.fetchall()[0][0]
            cursor.execute("CREATE USER copy@'127.0.0.1' IDENTIFIED BY 'c'")
            cursor.execute("GRANT REPLICATION SLAVE ON *.* TO copy@'127.0.0.1'")
            cursor.execute("RESET MASTER")
        migrations.upgrade(one.mysql_dsn())
        with connected(two.mysql_dsn()) as cursor:
            cursor.execute("RESET MASTER")
            cursor.execute(
                f"CHANGE MASTER TO master_host = '127.0.0.1', master_port = {port}, master_user = 'copy',"
                " master_password = 'c', master_use_gtid = slave_pos"
            )
            cursor.execute("START SLAVE")
        with connected(one.mysql_dsn()) as cursor:
            cursor.execute(insert_coupon(5))
        where = tmp_path / "db.sock"
        first, second = (str(parse_mysql_dsn(stack.mysql_dsn()).unix_socket) for stack in (one, two))
        where.symlink_to(first)
        dsn = f"mysql://root@localhost:3306/couponry?unix_socket={where}"
        worker = fresh(start_worker(dsn))
        with connected(one.mysql_dsn()) as cursor:
            cursor.execute("UPDATE user_coupons SET order_id = 'at the first' WHERE id = 5")
        caught_up(worker, one.mysql_dsn())
        ((position,),) = rows(one.mysql_dsn(), "SELECT @@gtid_binlog_pos")
        assert rows(two.mysql_dsn(), f"SELECT MASTER_GTID_WAIT('{position}', {_SOON_S})") == [(0,)]
        began = worker.binlog.first()
        one.kill_mariadb()
        with connected(two.mysql_dsn()) as cursor:
            cursor.execute("STOP SLAVE")
            cursor.execute("UPDATE user_coupons SET order_id = 'at the second' WHERE id = 5")
        where.unlink()
        where.symlink_to(second)
        eventually(lambda: worker.binlog.first() not in {None, began})
        fresh(worker)
        caught_up(worker, two.mysql_dsn())
        assert worker.losses() == {}
        assert worker.store("user", "u", (5, 2)) == "floor", "the change at the new server was heard of"
        assert worker.store("user", "u", (5, 3)) is None


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
