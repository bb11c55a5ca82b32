"""Migrations and what they move"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

_COUNTS = ("total", "moved", "kept", "skipped", "failed", "deleted_at_source", "delete_failed", "bytes")


def upgrade() -> None:
    for name in ("source_sid", "source_recording_sid", "price", "price_unit"):
        op.add_column("recordings", _text(name, nullable=True))
    op.create_table(
        "migrations",
        _text("sid"),
        _text("account_sid"),
        _text("source_sid"),
        _text("host_id"),
        _text("status"),
        _moment("created_after", nullable=True),
        _moment("created_before", nullable=True),
        _text("cursor", nullable=True),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.Column("found_in_pass", sa.BigInteger(), nullable=False),
        sa.Column("is_listed", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.Column("rate", sa.REAL(), nullable=False),
        _moment("rate_at", nullable=True),
        _text("reason", nullable=True),
        _text("remedy", nullable=True),
        _moment("date_created"),
        _moment("date_updated"),
        _moment("date_ended", nullable=True),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_migrations_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_migrations"),
    )
    op.create_index("ix_migrations_account_sid_date_created_sid", "migrations", ["account_sid", "date_created", "sid"])
    op.create_index(
        "uq_migrations_live",
        "migrations",
        ["source_sid"],
        unique=True,
        postgresql_where=sa.text("status IN ('running', 'paused')"),
    )
    _create_items()
    op.create_table(
        "receipts",
        *(_text(name) for name in ("recording_sid", "account_sid", "source_sid", "document", "signature", "key_id")),
        _moment("date_created"),
        sa.PrimaryKeyConstraint("recording_sid", name="pk_receipts"),
    )


def _create_items() -> None:
    op.create_table(
        "migration_items",
        _text("recording_sid"),
        _text("source_sid"),
        _text("source_recording_sid"),
        _text("account_sid"),
        _text("migration_sid", nullable=True),
        _text("host_id"),
        _text("state"),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("origin", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _text("kept_source"),
        _text("source_link", nullable=True),
        sa.Column("media_size_bytes", sa.BigInteger(), nullable=True),
        _text("media_sha256", nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("delete_attempts", sa.Integer(), nullable=False),
        _moment("next_attempt_at", nullable=True),
        _text("reason", nullable=True),
        _text("detail", nullable=True),
        _text("remedy", nullable=True),
        _moment("fetched_at", nullable=True),
        _moment("intent_at", nullable=True),
        _moment("delete_sent_at", nullable=True),
        _moment("delete_confirmed_at", nullable=True),
        _moment("date_created"),
        _moment("date_updated"),
        sa.PrimaryKeyConstraint("recording_sid", name="pk_migration_items"),
        sa.UniqueConstraint(
            "source_sid", "source_recording_sid", name="uq_migration_items_source_sid_source_recording_sid"
        ),
    )
    op.create_index(
        "ix_migration_items_due",
        "migration_items",
        ["source_sid", "next_attempt_at", "recording_sid"],
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.create_index("ix_migration_items_page", "migration_items", ["migration_sid", "date_created", "recording_sid"])


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
