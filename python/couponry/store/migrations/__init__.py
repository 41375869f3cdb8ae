"""Schema migrations (alembic), in the expand / contract manner: a new version of the service runs on the schema of
the version before it, and what is dropped was unused for one release.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.pool import NullPool

from couponry.config import parse_mysql_dsn

__all__ = ["pending", "upgrade"]


def pending(dsn: str) -> list[str]:
    """The migrations that the database lacks, oldest first, as `revision: what it does`."""
    script = ScriptDirectory.from_config(_config())
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
    config = _config()
    with _engine(dsn).connect() as connection:
        # env.py takes it from there.
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()
    return missing


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


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
