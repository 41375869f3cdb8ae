"""Records the binlog files beside it from a private MariaDB: `.venv/bin/python rust/binlog/tests/data/record.py`.

One file a scenario; `tests/suite/recorded.rs` says what each must be read as.
"""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pymysql

from couponry.config import parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.store import migrations

HERE: Final = Path(__file__).resolve().parent

_TEMPLATE: Final = (
    "INSERT INTO templates VALUES ({id}, {key}, REPEAT('x', 16), 'n', REPEAT('d', {long}), '{{}}', 1, 'CNY', '{{}}',"
    " 10, NULL, NULL, NULL, '2030-01-01', '2031-01-01', NULL, NULL, 0, 0, 1, 1, '2030-01-01', '2030-01-01')"
)
_COUPONS: Final = (
    "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at, version)"
    " VALUES {rows}"
)

_ACTIVITY: Final = (
    "INSERT INTO activities VALUES (3, 'a3', REPEAT('x', 16), 1, 'n', '{}', 10, 1, '2030-01-01', '2031-01-01', 1, 1,"
    " 1, 0, 1, '2030-01-01', '2030-01-01')"
)


def _coupon(user: str, coupon: int, status: int = 1) -> str:
    return f"('{user}', {coupon}, 1, 1, {status}, '2030-01-01', '2031-01-01', '2030-01-01 00:00:00.123', 1)"


_ROWS: Final = (
    _TEMPLATE.format(id=1, key="'k1'", long=300),
    _TEMPLATE.format(id=2, key="NULL", long=1),
    "UPDATE templates SET name = 'm' WHERE id = 1",
    "UPDATE templates SET template_key = 'k2' WHERE id = 1",
    _ACTIVITY,
    _COUPONS.format(rows=", ".join((_coupon("u1", 11), _coupon("u1", 12), _coupon("u2", 21)))),
    "UPDATE user_coupons SET status = 2, order_id = 'o' WHERE user_id = 'u1'",
    "UPDATE user_coupons SET status = 3 WHERE id = 11",
    "UPDATE user_coupons SET order_id = NULL WHERE id = 12",
    "UPDATE user_coupons SET user_id = 'u3' WHERE id = 21",
    "UPDATE template_counters SET issued = 1",
    "INSERT INTO template_counters (template_id) VALUES (1)",
    "DELETE FROM user_coupons WHERE id = 12",
)

SCENARIOS: Final[Mapping[str, Sequence[str]]] = {
    "full": _ROWS,
    "minimal": ("SET SESSION binlog_row_image = MINIMAL", *_ROWS),
    "compressed": ("SET GLOBAL log_bin_compress = ON", "SET GLOBAL log_bin_compress_min_len = 10", *_ROWS),
    "plain": ("SET GLOBAL binlog_checksum = NONE", *_ROWS),
    "named": ("SET GLOBAL binlog_row_metadata = FULL", *_ROWS),
    "large": (
        "BEGIN",
        *(
            _COUPONS.format(rows=", ".join(_coupon(f"u{user}", user * 100 + coupon) for coupon in range(20)))
            for user in range(10)
        ),
        "UPDATE user_coupons SET status = 2",
        "COMMIT",
    ),
    "xa": (
        _COUPONS.format(rows=_coupon("u1", 11)),
        "XA START 'ours'",
        "UPDATE user_coupons SET status = 2",
        "XA END 'ours'",
        "XA PREPARE 'ours'",
        "XA COMMIT 'ours'",
        "XA START 'other', 'branch'",
        "INSERT INTO template_counters (template_id) VALUES (1)",
        "XA END 'other', 'branch'",
        "XA PREPARE 'other', 'branch'",
        "XA COMMIT 'other', 'branch'",
    ),
    "statement": (
        _COUPONS.format(rows=_coupon("u1", 11)),
        "SET SESSION binlog_format = STATEMENT",
        "UPDATE user_coupons SET status = 2",
        "UPDATE template_counters SET issued = 1",
        "SET SESSION binlog_format = ROW",
    ),
    "ddl": (
        _COUPONS.format(rows=_coupon("u1", 11)),
        "CREATE TABLE other (id INT PRIMARY KEY)",
        "ALTER TABLE user_coupons ADD COLUMN note INT NULL AFTER source",
        "UPDATE user_coupons SET status = 2",
        "RENAME TABLE templates TO old_templates",
        "TRUNCATE TABLE user_coupons",
    ),
}
_USUAL: Final = (
    "SET GLOBAL log_bin_compress = OFF",
    "SET GLOBAL log_bin_compress_min_len = 256",
    "SET GLOBAL binlog_row_metadata = NO_LOG",
    "SET GLOBAL binlog_checksum = CRC32",
)


def record(stack: DevStack, data: Path, name: str, statements: Sequence[str]) -> None:
    """Runs the statements on fresh tables; the file that they were logged in."""
    dsn = stack.create_database("shop")
    migrations.upgrade(dsn)
    address = parse_mysql_dsn(dsn)
    with (
        pymysql.connect(
            unix_socket=address.unix_socket, user=address.user, database=address.database, autocommit=True
        ) as connection,
        connection.cursor() as cursor,
    ):
        settings = [statement for statement in statements if statement.startswith("SET GLOBAL")]
        for statement in (*_USUAL, *settings, "FLUSH BINARY LOGS"):
            cursor.execute(statement)
        cursor.execute("SHOW MASTER STATUS")
        (status,) = cursor.fetchall()
        for statement in statements:
            if statement not in settings:
                cursor.execute(statement)
        cursor.execute("FLUSH BINARY LOGS")
    shutil.copyfile(data / str(status[0]), HERE / f"{name}.binlog")
    stack.drop_database("shop")


def main() -> None:
    """Records every scenario."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        with DevStack(state) as stack:
            for name, statements in SCENARIOS.items():
                record(stack, state / "mariadb", name, statements)


if __name__ == "__main__":
    main()
