"""Columns and a table with names of one meaning each: a unit's `due` becomes `not_before` and `lease_until`."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"

RENAMED = (  # table, old name, new name
    ("units", "due", "not_before"),
    ("versions", "work", "unit_counts"),
    ("deliveries", "due", "not_before"),
    ("schedules", "due", "next_tick"),
    ("schedules", "said", "outcome"),
)
EVENTS = sa.table("events", sa.column("id", sa.BigInteger), sa.column("kind", sa.String), sa.column("data", sa.JSON))


def rename_columns(*renamed: tuple[str, str, str]) -> None:
    """As plain SQL, which SQLite and PostgreSQL share: indexes and constraints follow."""
    for table, old, new in renamed:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def rename_field(old: str, new: str) -> None:
    """Of the data of progress events."""
    connection = op.get_bind()
    query = sa.select(EVENTS.c.id, EVENTS.c.data)
    query = query.where(EVENTS.c.kind == "progress", EVENTS.c.data[old].as_string().is_not(None))
    for event, data in connection.execute(query).all():
        renamed = {new if name == old else name: value for name, value in data.items()}
        connection.execute(sa.update(EVENTS).where(EVENTS.c.id == event).values(data=renamed))


def upgrade() -> None:
    op.drop_index("units_in_line", "units")
    op.drop_index("ix_schedules_due", "schedules")
    rename_columns(*RENAMED)
    op.add_column("units", sa.Column("lease_until", sa.Float(53)))
    op.execute("UPDATE units SET lease_until = not_before WHERE state = 'leased'")
    op.create_index("units_ready", "units", ["state", "not_before"])
    op.create_index("units_leased", "units", ["state", "lease_until"])
    op.create_index("ix_schedules_next_tick", "schedules", ["next_tick"])
    op.rename_table("asked", "idempotency_keys")
    rename_field("said", "message")


def downgrade() -> None:
    rename_field("message", "said")
    op.rename_table("idempotency_keys", "asked")
    op.drop_index("ix_schedules_next_tick", "schedules")
    op.drop_index("units_leased", "units")
    op.drop_index("units_ready", "units")
    op.execute("UPDATE units SET not_before = lease_until WHERE state = 'leased'")
    op.drop_column("units", "lease_until")
    rename_columns(*((table, new, old) for table, old, new in RENAMED))
    op.create_index("ix_schedules_due", "schedules", ["due"])
    op.create_index("units_in_line", "units", ["state", "due"])
