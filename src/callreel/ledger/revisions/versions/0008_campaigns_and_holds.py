"""Campaigns, deletion settings, bulk deletions and legal holds"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    _deletion_settings()
    _campaigns()
    _holds()
    _deletions()
    _usage()


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


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("friendly_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_campaigns_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_campaigns"),
    )
    op.create_index("ix_campaigns_account_sid_date_created_sid", "campaigns", ["account_sid", "date_created", "sid"])
    op.create_index(
        "uq_campaigns_live_name",
        "campaigns",
        ["account_sid", "friendly_name"],
        unique=True,
        postgresql_where=sa.text("status = 'active'"),
    )
    # Until now a call carried its campaign's name alone: each name becomes a campaign.
    op.add_column("calls", sa.Column("campaign_sid", sa.Text(), nullable=True))
    op.execute(
        "INSERT INTO campaigns SELECT 'CG' || md5(account_sid || ':' || campaign), account_sid, campaign, 'active', "
        "min(date_created), min(date_created) FROM calls WHERE campaign IS NOT NULL GROUP BY account_sid, campaign"
    )
    op.execute("UPDATE calls SET campaign_sid = 'CG' || md5(account_sid || ':' || campaign) WHERE campaign IS NOT NULL")
    op.drop_column("calls", "campaign")
    op.create_index(
        "ix_calls_campaign",
        "calls",
        ["campaign_sid", "date_created", "sid"],
        postgresql_where=sa.text("campaign_sid IS NOT NULL"),
    )


def _holds() -> None:
    for name in ("object_fate", "legal_hold_reason", "legal_hold_by"):
        op.add_column("recordings", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("recordings", sa.Column("legal_hold_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE recordings SET object_fate = 'kept' WHERE is_external AND state IN ('deleting', 'deleted')")
    for name, condition in (
        ("ix_recordings_legal_hold", "legal_hold_at IS NOT NULL"),
        ("ix_recordings_object_remains", "object_fate = 'remains'"),
    ):
        columns = ["account_sid", "date_created", "sid"]
        op.create_index(name, "recordings", columns, postgresql_where=sa.text(condition))


def _usage() -> None:
    op.create_index(
        "ix_recordings_usage",
        "recordings",
        ["account_sid", "date_created"],
        postgresql_include=["kind", "settings_id", "duration_ms", "media_size_bytes"],
        postgresql_where=sa.text("NOT unfinished AND deleted_at IS NULL"),
    )


def _deletions() -> None:
    op.create_table(
        "deletions",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("campaign_sid", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("removes_objects", sa.Boolean(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=True),
        sa.Column("receipt_email", sa.Text(), nullable=True),
        sa.Column("receipt_state", sa.Text(), nullable=True),
        sa.Column("receipt_attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("receipt_error", sa.Text(), nullable=True),
        sa.Column("receipt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_completed", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_deletions_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_deletions"),
    )
    op.create_index("ix_deletions_account_sid_date_created_sid", "deletions", ["account_sid", "date_created", "sid"])
    for name, column, condition in (
        ("ix_deletions_running", "sid", "status = 'running'"),
        ("ix_deletions_drafts", "date_created", "status = 'dry-run'"),
        ("ix_deletions_receipts", "receipt_at", "receipt_state = 'due'"),
    ):
        op.create_index(name, "deletions", [column], postgresql_where=sa.text(condition))
    op.create_table(
        "deletion_items",
        sa.Column("deletion_sid", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("subject_sid", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["deletion_sid"], ["deletions.sid"], name="fk_deletion_items_deletion_sid", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("deletion_sid", "position", name="pk_deletion_items"),
    )
    for name, condition in (
        ("ix_deletion_items_due", "outcome IS NULL"),
        ("ix_deletion_items_failed", "outcome = 'failed'"),
    ):
        columns = ["deletion_sid", "position"]
        op.create_index(name, "deletion_items", columns, postgresql_where=sa.text(condition))
