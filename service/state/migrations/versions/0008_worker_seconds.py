"""What a version has taken: seconds of CPU and of GPU workers."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0008", "0005"

COLUMNS = ("cpu_seconds", "gpu_seconds")


def upgrade() -> None:
    for name in COLUMNS:
        op.add_column("versions", sa.Column(name, sa.Float(53), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("versions", name)
