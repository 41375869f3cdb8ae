"""Cancelled wins, and stock that is spread over the buckets of an activity."""

from alembic import op

revision = "0005"
down_revision = "0003"

STATEMENTS = (
    # `target`: the bucket that a move is for. The win of a cancellation: its number, whose it was, when it was claimed;
    # a win is cancelled once. `part_of`: the change of an activity's stock that the adjustment is a part of.
    """
    ALTER TABLE adjustments
        ADD COLUMN target TINYINT NULL,
        ADD COLUMN win_number BIGINT NULL,
        ADD COLUMN user_id VARBINARY(64) NULL,
        ADD COLUMN request_hash BINARY(16) NULL,
        ADD COLUMN claimed_at DATETIME(3) NULL,
        ADD COLUMN part_of VARBINARY(64) NULL,
        ADD UNIQUE KEY by_win (activity_id, bucket, win_number),
        ADD KEY by_change (activity_id, part_of)
    """,
    # AdjustStock of an activity with several buckets. `left_after`, `total_after`: of all buckets, as it is answered.
    """
    CREATE TABLE stock_changes (
        activity_id BIGINT NOT NULL,
        adjustment_id VARBINARY(64) NOT NULL,
        delta BIGINT NOT NULL,
        state TINYINT NOT NULL,
        left_after BIGINT NULL,
        total_after BIGINT NULL,
        created_at DATETIME(3) NOT NULL,
        finished_at DATETIME(3) NULL,
        PRIMARY KEY (activity_id, adjustment_id),
        KEY by_state (state, activity_id)
    ) ENGINE=InnoDB
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
