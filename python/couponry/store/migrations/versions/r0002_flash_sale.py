"""Flash sales: activities, their progress, adjustments, and the wins that are no coupons."""

from alembic import op

from couponry.store.migrations.triggers import version_trigger

revision = "0002"
down_revision = "0001"

TABLES = (
    """
    CREATE TABLE activities (
        id BIGINT NOT NULL PRIMARY KEY,
        activity_key VARBINARY(64) NULL,
        spec_fingerprint BINARY(16) NOT NULL,
        template_id BIGINT NOT NULL,
        name VARCHAR(64) NOT NULL,
        metadata JSON NOT NULL,
        stock BIGINT NOT NULL,
        per_user_limit INT NOT NULL,
        start_at DATETIME(3) NOT NULL,
        end_at DATETIME(3) NOT NULL,
        ack TINYINT NOT NULL,
        buckets TINYINT NOT NULL,
        state TINYINT NOT NULL,
        paused BOOLEAN NOT NULL,
        version BIGINT NOT NULL,
        created_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        UNIQUE KEY by_key (activity_key),
        KEY by_template (template_id, id),
        KEY by_state (state, end_at, id)
    ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin
    """,
    # Hot: not cached. `number` is the persister's cursor, `base` where the numbers of the epoch begin.
    """
    CREATE TABLE activity_progress (
        activity_id BIGINT NOT NULL,
        bucket TINYINT NOT NULL,
        epoch BIGINT NOT NULL DEFAULT 0,
        number BIGINT NOT NULL DEFAULT 0,
        base BIGINT NOT NULL DEFAULT 0,
        total BIGINT NOT NULL,
        sold BIGINT NOT NULL DEFAULT 0,
        failed BIGINT NOT NULL DEFAULT 0,
        returned BIGINT NOT NULL DEFAULT 0,
        highest_limit INT NOT NULL,
        mark_epoch BIGINT NOT NULL DEFAULT 0,
        mark_number BIGINT NOT NULL DEFAULT 0,
        marked_at DATETIME(3) NOT NULL,
        PRIMARY KEY (activity_id, bucket)
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE adjustments (
        activity_id BIGINT NOT NULL,
        bucket TINYINT NOT NULL,
        place INT NOT NULL,
        nonce BINARY(16) NOT NULL,
        adjustment_id VARBINARY(64) NULL,
        kind TINYINT NOT NULL,
        delta BIGINT NOT NULL,
        state TINYINT NOT NULL,
        applied BIGINT NULL,
        left_after BIGINT NULL,
        total_after BIGINT NULL,
        created_at DATETIME(3) NOT NULL,
        finished_at DATETIME(3) NULL,
        PRIMARY KEY (activity_id, bucket, place),
        UNIQUE KEY by_adjustment_id (activity_id, adjustment_id),
        KEY by_state (state, activity_id, bucket, place)
    ) ENGINE=InnoDB
    """,
    # Wins that are no coupons: tried, failed, cancelled. Epoch 0: taken from a winners hash that does not know it.
    """
    CREATE TABLE flash_sale_records (
        activity_id BIGINT NOT NULL,
        bucket TINYINT NOT NULL,
        epoch BIGINT NOT NULL,
        number BIGINT NOT NULL,
        user_id VARBINARY(64) NOT NULL,
        coupon_id BIGINT NOT NULL,
        request_hash BINARY(16) NOT NULL,
        state TINYINT NOT NULL,
        claimed_at DATETIME(3) NOT NULL,
        PRIMARY KEY (activity_id, bucket, epoch, number),
        KEY by_user (user_id, coupon_id),
        KEY by_claim (activity_id, user_id, request_hash),
        KEY by_coupon (coupon_id)
    ) ENGINE=InnoDB
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    version_trigger("activities")
    op.execute("INSERT INTO id_blocks (name, next_id) VALUES ('activity', 1)")
