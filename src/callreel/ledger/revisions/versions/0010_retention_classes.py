"""Retention classes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "retention_classes",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("friendly_name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("campaign", sa.Text(), nullable=True),
        sa.Column("keep_days", sa.Integer(), nullable=True),
        sa.Column("lock_mode", sa.Text(), nullable=True),
        sa.Column("lock_days", sa.Integer(), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_retention_classes_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_retention_classes"),
    )
    op.create_index(
        "ix_retention_classes_account_sid_date_created_sid", "retention_classes", ["account_sid", "date_created", "sid"]
    )
