"""People's verdicts on samples."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "verdicts",
        sa.Column("version_id", ID, sa.ForeignKey("versions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("version_id", "index", "attempt"),
    )


def downgrade() -> None:
    op.drop_table("verdicts")
