"""Uploads, which units read; units by tenant and priority; keys that expire, webhooks with two secrets; ids given once."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Float(53)
NUMBERED = ("versions", "webhooks", "keys", "units", "events", "deliveries")  # tables whose ids count up
ADDED: dict[str, list[sa.Column[object]]] = {
    "versions": [
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"),
    ],
    "keys": [
        sa.Column("expires", TIME),
        sa.Column("last_used", TIME),
        sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"),
    ],
    "webhooks": [
        sa.Column("previous_secret", sa.String()),
        sa.Column("previous_until", TIME),
        sa.Column("disabled", TIME),
        sa.Column("reason", sa.String()),
    ],
    "units": [
        sa.Column("tenant", sa.String(), nullable=False, server_default=""),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("upload_id", ID),
    ],
}
UPLOADS: list[sa.schema.SchemaItem] = [
    sa.Column("id", ID, nullable=False),
    sa.Column("tenant", sa.String(), nullable=False),
    sa.Column("source", sa.String(), nullable=False),
    sa.Column("key", sa.String(), nullable=False),
    sa.Column("size", sa.BigInteger(), nullable=False),
    sa.Column("allow_synthetic", sa.Boolean(), nullable=False),
    sa.Column("state", sa.String(), nullable=False),
    sa.Column("created", TIME, nullable=False),
    sa.Column("ended", TIME),
    sa.Column("digest", sa.String()),
    sa.Column("error", sa.String()),
    sa.PrimaryKeyConstraint("id"),
]


def recreate(*, autoincrement: bool) -> None:
    """Make the tables of SQLite anew, to give each id once, or as before."""
    if op.get_bind().dialect.name == "sqlite":
        for table in NUMBERED:
            with op.batch_alter_table(table, recreate="always", table_kwargs={"sqlite_autoincrement": autoincrement}):
                pass


def upgrade() -> None:
    op.create_table("uploads", *UPLOADS, sqlite_autoincrement=True)
    op.create_index("uploads_of_tenant", "uploads", ["tenant", "id"])
    for table, columns in ADDED.items():
        for column in columns:
            op.add_column(table, column)
    op.execute("UPDATE units SET tenant = (SELECT tenant FROM versions WHERE versions.id = units.version_id)")
    op.create_index("versions_of_state", "versions", ["state"])
    op.create_index("units_of_version", "units", ["version_id", "state", "not_before"])
    op.create_index("ix_units_upload_id", "units", ["upload_id"])
    with op.batch_alter_table("units") as units:
        units.alter_column("tenant", server_default=None)
        units.alter_column("version_id", nullable=True)
        units.create_foreign_key("units_upload_id_fkey", "uploads", ["upload_id"], ["id"], ondelete="CASCADE")
    recreate(autoincrement=True)


def downgrade() -> None:
    op.execute("DELETE FROM units WHERE version_id IS NULL")
    with op.batch_alter_table("units") as units:
        units.drop_constraint("units_upload_id_fkey", "foreignkey")
        units.alter_column("version_id", nullable=False)
    op.drop_index("ix_units_upload_id", "units")
    op.drop_index("units_of_version", "units")
    op.drop_index("versions_of_state", "versions")
    for table, columns in ADDED.items():
        for column in columns:
            op.drop_column(table, column.name)
    recreate(autoincrement=False)
    op.drop_table("uploads")
