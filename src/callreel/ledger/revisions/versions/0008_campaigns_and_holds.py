"""Campaigns, deletion settings, bulk deletions and legal holds"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    _deletion_settings()


def _deletion_settings() -> None:
    op.create_table(
        "deletion_settings",
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("delete_source_after_migration", sa.Boolean(), nullable=False),
        sa.Column("delete_objects_with_call_logs", sa.Boolean(), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_deletion_settings_account_sid"),
        sa.PrimaryKeyConstraint("account_sid", name="pk_deletion_settings"),
    )
