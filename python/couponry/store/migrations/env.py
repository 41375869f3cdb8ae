"""Alembic's entry point; the service goes through `couponry.store.migrations` instead."""
