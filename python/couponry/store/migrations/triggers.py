"""The trigger that raises a cached table's row version, so that an UPDATE by hand counts too."""

from alembic import op

__all__ = ["version_trigger"]


def version_trigger(table: str) -> None:
    """Every UPDATE of `table` raises `version` by at least one."""
    op.execute(
        f"CREATE TRIGGER {table}_version BEFORE UPDATE ON {table} FOR EACH ROW"
        " SET NEW.version = GREATEST(NEW.version, OLD.version + 1)"
    )
