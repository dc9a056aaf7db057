"""The tables as they were when revisions began. What is there already, made without a revision, is taken over as it is."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision, down_revision = "0001", None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.Float(53)
VERSION = "versions.id"
WEBHOOK = "webhooks.id"


def must(name: str, kind: TypeEngine[Any], *rest: sa.schema.SchemaItem) -> sa.Column[Any]:
    return sa.Column(name, kind, *rest, nullable=False)


def may(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def of(table: str) -> sa.ForeignKey:
    return sa.ForeignKey(table, ondelete="CASCADE")


TABLES: dict[str, list[sa.schema.SchemaItem]] = {
    "datasets": [
        must("tenant", sa.String()),
        must("name", sa.String()),
        must("last", sa.Integer()),
        sa.PrimaryKeyConstraint("tenant", "name"),
    ],
    "keys": [
        must("id", ID),
        must("hash", sa.String()),
        must("name", sa.String()),
        must("tenant", sa.String()),
        must("scopes", sa.JSON()),
        must("created", TIME),
        may("revoked", TIME),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    ],
    "versions": [
        must("id", ID),
        must("tenant", sa.String()),
        must("dataset", sa.String()),
        must("number", sa.Integer()),
        must("state", sa.String()),
        must("entered", sa.JSON()),
        must("spec", sa.JSON()),
        must("work", sa.JSON()),
        must("counts", sa.JSON()),
        may("error", sa.String()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tenant", "dataset", "number"),
    ],
    "webhooks": [
        must("id", ID),
        must("tenant", sa.String()),
        must("url", sa.String()),
        must("secret", sa.String()),
        must("created", TIME),
        sa.PrimaryKeyConstraint("id"),
    ],
    "asked": [
        must("tenant", sa.String()),
        must("key", sa.String()),
        must("digest", sa.String()),
        must("version_id", ID, of(VERSION)),
        sa.PrimaryKeyConstraint("tenant", "key"),
    ],
    "deliveries": [
        must("id", ID),
        must("webhook_id", ID, of(WEBHOOK)),
        must("payload", sa.JSON()),
        must("at", TIME),
        must("state", sa.String()),
        must("due", TIME),
        must("attempts", sa.Integer()),
        may("status", sa.Integer()),
        may("error", sa.String()),
        sa.PrimaryKeyConstraint("id"),
    ],
    "events": [
        must("id", ID),
        must("version_id", ID, of(VERSION)),
        must("at", TIME),
        must("kind", sa.String()),
        must("data", sa.JSON()),
        sa.PrimaryKeyConstraint("id"),
    ],
    "units": [
        must("id", ID),
        must("version_id", ID, of(VERSION)),
        must("stage", sa.String()),
        must("number", sa.Integer()),
        must("state", sa.String()),
        must("due", TIME),
        must("fence", sa.Integer()),
        must("attempts", sa.Integer()),
        may("owner", sa.String()),
        may("report", sa.JSON()),
        may("error", sa.String()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("version_id", "stage", "number"),
    ],
}
INDEXES = {
    "versions_of_tenant": ("versions", ["tenant", "id"]),
    "ix_webhooks_tenant": ("webhooks", ["tenant"]),
    "deliveries_in_line": ("deliveries", ["state", "due"]),
    "ix_deliveries_webhook_id": ("deliveries", ["webhook_id"]),
    "events_of_kind": ("events", ["kind", "at"]),
    "events_of_version": ("events", ["version_id", "id"]),
    "units_in_line": ("units", ["state", "due"]),
}


def upgrade() -> None:
    for name, parts in TABLES.items():
        op.create_table(name, *parts, if_not_exists=True)
    for name, (table, columns) in INDEXES.items():
        op.create_index(name, table, columns, if_not_exists=True)


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)
