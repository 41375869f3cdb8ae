"""Templates, users' coupons, request answers, id blocks and the code key."""

import secrets

from alembic import op
from sqlalchemy import text

from couponry.store.migrations.triggers import version_trigger

revision = "0001"
down_revision = None

TABLES = (
    """
    CREATE TABLE id_blocks (
        name VARBINARY(32) NOT NULL PRIMARY KEY,
        next_id BIGINT NOT NULL
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE secrets (
        name VARBINARY(32) NOT NULL PRIMARY KEY,
        value VARBINARY(64) NOT NULL
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE request_log (
        method VARBINARY(64) NOT NULL,
        scope VARBINARY(192) NOT NULL,
        request_id VARBINARY(64) NOT NULL,
        fingerprint BINARY(16) NOT NULL,
        answer MEDIUMBLOB NULL,
        created_at DATETIME(3) NOT NULL,
        PRIMARY KEY (method, scope, request_id),
        KEY by_age (created_at)
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE templates (
        id BIGINT NOT NULL PRIMARY KEY,
        template_key VARBINARY(64) NULL,
        spec_fingerprint BINARY(16) NOT NULL,
        name VARCHAR(64) NOT NULL,
        description VARCHAR(1000) NOT NULL,
        metadata JSON NOT NULL,
        kind TINYINT NOT NULL,
        currency CHAR(3) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
        terms JSON NOT NULL,
        total BIGINT NOT NULL,
        per_user_limit INT NULL,
        receive_from DATETIME(3) NULL,
        receive_until DATETIME(3) NULL,
        valid_from DATETIME(3) NOT NULL,
        valid_until DATETIME(3) NOT NULL,
        valid_days INT NULL,
        budget BIGINT NULL,
        returns_on_full_refund BOOLEAN NOT NULL,
        return_grace_ms BIGINT NOT NULL,
        state TINYINT NOT NULL,
        version BIGINT NOT NULL,
        created_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        UNIQUE KEY by_key (template_key),
        KEY by_state (state, id),
        KEY by_kind (kind, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
    """,
    """
    CREATE TABLE template_counters (
        template_id BIGINT NOT NULL PRIMARY KEY,
        issued BIGINT NOT NULL DEFAULT 0,
        reserved BIGINT NOT NULL DEFAULT 0,
        budget_reserved BIGINT NOT NULL DEFAULT 0,
        budget_spent BIGINT NOT NULL DEFAULT 0
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE user_coupons (
        user_id VARBINARY(64) NOT NULL,
        id BIGINT NOT NULL,
        template_id BIGINT NOT NULL,
        source TINYINT NOT NULL,
        status TINYINT NOT NULL,
        valid_from DATETIME(3) NOT NULL,
        valid_until DATETIME(3) NOT NULL,
        received_at DATETIME(3) NOT NULL,
        order_id VARBINARY(64) NULL,
        attempt INT UNSIGNED NULL,
        locked_until DATETIME(3) NULL,
        used_at DATETIME(3) NULL,
        activity_id BIGINT NULL,
        bucket TINYINT NULL,
        epoch BIGINT NULL,
        number BIGINT NULL,
        request_hash BINARY(16) NULL,
        version BIGINT NOT NULL,
        PRIMARY KEY (user_id, id),
        UNIQUE KEY by_id (id),
        KEY by_template_user (template_id, user_id),
        KEY by_order (order_id),
        KEY by_lock (locked_until),
        KEY by_end (status, valid_until),
        KEY by_claim (activity_id, user_id, request_hash)
    ) ENGINE=InnoDB
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    for table in ("templates", "user_coupons"):
        version_trigger(table)
    op.execute("INSERT INTO id_blocks (name, next_id) VALUES ('template', 1), ('coupon', 1)")
    op.get_bind().execute(
        text("INSERT INTO secrets (name, value) VALUES ('coupon_code_key', :value)"),
        {"value": secrets.token_bytes(16)},
    )
