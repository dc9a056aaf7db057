"""Which version of a dataset is to be used, what a version refreshes, and schedules."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

LATEST = """
UPDATE datasets SET latest = (
    SELECT max(number) FROM versions
    WHERE versions.tenant = datasets.tenant AND versions.dataset = datasets.name AND versions.state = 'completed'
)
"""


def upgrade() -> None:
    op.add_column("datasets", sa.Column("latest", sa.Integer()))
    op.execute(LATEST)
    op.add_column("versions", sa.Column("previous", sa.Integer()))
    op.create_table(
        "schedules",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("busy", sa.String(), nullable=False),
        sa.Column("due", sa.Float(53)),
        sa.Column("fired", sa.Float(53)),
        sa.Column("said", sa.String()),
        sa.PrimaryKeyConstraint("tenant", "dataset"),
    )
    op.create_index("ix_schedules_due", "schedules", ["due"])


def downgrade() -> None:
    """Held versions become completed, unchanged ones cancelled: the older schema has neither state."""
    op.execute("UPDATE versions SET state = 'completed' WHERE state = 'held'")
    op.execute("UPDATE versions SET state = 'cancelled' WHERE state = 'unchanged'")
    op.drop_table("schedules")
    op.drop_column("versions", "previous")
    op.drop_column("datasets", "latest")
