"""Schema migrations (alembic), in the expand / contract manner: a new version of the service runs on the schema of
the version before it, and what is dropped was unused for one release.
"""

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from couponry.config import parse_mysql_dsn

__all__ = ["pending", "upgrade"]


def pending(dsn: str) -> list[str]:
    """The migrations that the database lacks, oldest first, as `revision: what it does`."""
    script = _script()
    engine = _engine(dsn)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    missing = []
    for revision in script.walk_revisions():
        if revision.revision == current:
            break
        missing.append(f"{revision.revision}: {revision.doc}")
    return missing[::-1]


def upgrade(dsn: str) -> list[str]:
    """Applies what `pending` lists and returns it."""
    missing = pending(dsn)
    script = _script()

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    engine = _engine(dsn)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"fn": steps})
        with context.begin_transaction(), Operations.context(context):
            context.run_migrations()
        connection.commit()
    return missing


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _engine(dsn: str) -> Engine:
    address = parse_mysql_dsn(dsn)
    query = {"charset": "utf8mb4"}
    if address.unix_socket:
        query["unix_socket"] = address.unix_socket
    url = URL.create(
        "mysql+pymysql",
        username=address.user,
        password=address.password,
        host=address.host,
        port=address.port,
        database=address.database,
        query=query,
    )
    return create_engine(url, poolclass=NullPool)
