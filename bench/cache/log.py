"""How fast a worker reads the binlog: prepared files of a million row updates, one a transaction, and all in a few.

Prints one JSON line: CPU nanoseconds of a row, decoded alone, and decoded into L1's floors.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import pymysql

from couponry.config import parse_mysql_dsn
from couponry.devstack import DevStack
from couponry.store import migrations

_TRACES: Final = Path("target/release/couponry-traces")
_INSERT: Final = (
    "INSERT INTO user_coupons (user_id, id, template_id, source, status, valid_from, valid_until, received_at, version)"
    " SELECT CONCAT('user-', seq), seq, 1, 1, 1, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL 1 DAY,"
    " UTC_TIMESTAMP(3), 1 FROM seq_1_to_{rows}"
)
_UPDATE: Final = "UPDATE user_coupons SET valid_until = valid_until + INTERVAL 1 SECOND"
# Runs inside of the server: a million round trips would take minutes.
_ONE_BY_ONE: Final = """BEGIN NOT ATOMIC
FOR coupon IN (SELECT user_id, id FROM user_coupons ORDER BY user_id, id) DO
UPDATE user_coupons SET valid_until = valid_until + INTERVAL 1 SECOND WHERE user_id = coupon.user_id AND id = coupon.id;
END FOR; END"""


def _rate(log: Path, database: str, columns: str) -> dict[str, Any]:
    done = subprocess.run([_TRACES, "binlog", log, database, columns], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prepares both files, and reads each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    # What a server keeps for a crash is not measured here.
    quick = {"sync-binlog": "0", "innodb-flush-log-at-trx-commit": "0", "max-binlog-size": "1G"}
    with (
        tempfile.TemporaryDirectory(prefix="bench-log-") as folder,
        DevStack(Path(folder), template_dir=Path(".couponry/template").absolute(), mysql_options=quick) as stack,
    ):
        dsn = stack.mysql_dsn()
        migrations.upgrade(dsn)
        address = parse_mysql_dsn(dsn)
        figures = {}
        with (
            pymysql.connect(
                unix_socket=address.unix_socket, user=address.user, database=address.database, autocommit=True
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(_INSERT.format(rows=rows))
            cursor.execute(
                "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM information_schema.columns"
                " WHERE table_schema = DATABASE() AND table_name = 'user_coupons'"
            )
            [(columns,)] = cursor.fetchall()
            for name, statement in (("one", _ONE_BY_ONE), ("large", _UPDATE)):
                cursor.execute("FLUSH BINARY LOGS")
                cursor.execute("SHOW MASTER STATUS")
                [(log, *_)] = cursor.fetchall()
                cursor.execute(statement)
                cursor.execute("FLUSH BINARY LOGS")
                figures[name] = _rate(Path(folder) / "mariadb" / log, address.database, columns)
                if figures[name]["rows"] != rows:
                    raise SystemExit(f"{figures[name]['rows']} of {rows} rows are in the log")
                cursor.execute("SHOW MASTER STATUS")
                [(newest, *_)] = cursor.fetchall()
                cursor.execute(f"PURGE BINARY LOGS TO '{newest}'")
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
