"""Sources"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("friendly_name", sa.Text(), nullable=False),
        sa.Column("twilio_account_sid", sa.Text(), nullable=False),
        sa.Column("api_key_sid", sa.Text(), nullable=True),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("poll_seconds", sa.Integer(), nullable=False),
        sa.Column("include_subaccounts", sa.Boolean(), nullable=False),
        sa.Column("record_verb_is_voicemail", sa.Boolean(), nullable=False),
        sa.Column("polled_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_poll_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_sources_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_sources"),
        sa.UniqueConstraint(
            "account_sid", "twilio_account_sid", "base_url", name="uq_sources_account_sid_twilio_account_sid_base_url"
        ),
    )
    op.create_index("ix_sources_account_sid_date_created_sid", "sources", ["account_sid", "date_created", "sid"])
    op.create_index(
        "ix_sources_poll", "sources", ["next_poll_at"], postgresql_where=sa.text("next_poll_at IS NOT NULL")
    )
