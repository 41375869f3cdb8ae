"""Run by alembic for an upgrade, on the connection that `couponry.store.migrations.upgrade` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
