"""Orders: what they hold, their decisions, their ledger and their returns."""

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = (
    # The row that every move of an order locks. `holder` is the attempt whose coupons are locked or used; `lapses_at`
    # is when its lock lapses, NULL where there is nothing to tidy.
    """
    CREATE TABLE orders (
        order_id VARBINARY(64) NOT NULL PRIMARY KEY,
        user_id VARBINARY(64) NOT NULL,
        latest_attempt INT UNSIGNED NULL,
        holder INT UNSIGNED NULL,
        lapses_at DATETIME(3) NULL,
        created_at DATETIME(3) NOT NULL,
        KEY by_lapse (lapses_at)
    ) ENGINE=InnoDB
    """,
    # One attempt. What a null compensation left is RELEASED and has no cart.
    """
    CREATE TABLE order_attempts (
        order_id VARBINARY(64) NOT NULL,
        attempt INT UNSIGNED NOT NULL,
        state TINYINT NOT NULL,
        content BINARY(16) NULL,
        cart MEDIUMBLOB NULL,
        minimum_payable BIGINT NOT NULL,
        decision MEDIUMBLOB NULL,
        locked_until DATETIME(3) NULL,
        discount BIGINT NOT NULL,
        discount_returned BIGINT NOT NULL,
        created_at DATETIME(3) NOT NULL,
        updated_at DATETIME(3) NOT NULL,
        PRIMARY KEY (order_id, attempt)
    ) ENGINE=InnoDB
    """,
    # What one attempt holds of one coupon: terms of its coming back as they were when it was locked. `reserved` is what
    # of template_counters.budget_reserved is its; 0 once that was spent or given back.
    """
    CREATE TABLE order_coupons (
        order_id VARBINARY(64) NOT NULL,
        attempt INT UNSIGNED NOT NULL,
        coupon_id BIGINT NOT NULL,
        template_id BIGINT NOT NULL,
        discount BIGINT NOT NULL,
        budgeted BOOLEAN NOT NULL,
        reserved BIGINT NOT NULL,
        valid_until DATETIME(3) NOT NULL,
        grace_ms BIGINT NOT NULL,
        returns_on_full_refund BOOLEAN NOT NULL,
        PRIMARY KEY (order_id, attempt, coupon_id)
    ) ENGINE=InnoDB
    """,
    # Append-only. A run of equal units is one row; only USE and RETURN carry amounts, a RETURN's is negative.
    """
    CREATE TABLE order_ledger (
        id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        order_id VARBINARY(64) NOT NULL,
        attempt INT UNSIGNED NOT NULL,
        kind TINYINT NOT NULL,
        line_kind TINYINT NOT NULL,
        line_id VARBINARY(64) NOT NULL,
        unit_from BIGINT NOT NULL,
        unit_count BIGINT NOT NULL,
        coupon_id BIGINT NOT NULL,
        amount_each BIGINT NOT NULL,
        return_id VARBINARY(64) NOT NULL,
        at DATETIME(3) NOT NULL,
        KEY by_order (order_id, attempt, id)
    ) ENGINE=InnoDB
    """,
    """
    CREATE TABLE order_returns (
        order_id VARBINARY(64) NOT NULL,
        attempt INT UNSIGNED NOT NULL,
        return_id VARBINARY(64) NOT NULL,
        fingerprint BINARY(16) NOT NULL,
        answer MEDIUMBLOB NOT NULL,
        at DATETIME(3) NOT NULL,
        PRIMARY KEY (order_id, attempt, return_id)
    ) ENGINE=InnoDB
    """,
    # How many units of a line are back, discounted or not: units come back in allocation order.
    """
    CREATE TABLE order_returned_lines (
        order_id VARBINARY(64) NOT NULL,
        attempt INT UNSIGNED NOT NULL,
        line_kind TINYINT NOT NULL,
        line_id VARBINARY(64) NOT NULL,
        units BIGINT NOT NULL,
        PRIMARY KEY (order_id, attempt, line_kind, line_id)
    ) ENGINE=InnoDB
    """,
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
