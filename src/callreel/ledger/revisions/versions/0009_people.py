"""People, their sessions and views"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        _moment("date_created"),
        _moment("date_updated"),
        _moment("last_sign_in", nullable=True),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_users_account_sid"),
        sa.PrimaryKeyConstraint("sid", name="pk_users"),
        sa.UniqueConstraint("email", name="uq_users_email"),
    )
    op.create_index("ix_users_account_sid_date_created_sid", "users", ["account_sid", "date_created", "sid"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("user_sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        _moment("date_created"),
        _moment("seen_at"),
        sa.Column("ended", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("kept_form", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["user_sid"], ["users.sid"], name="fk_sessions_user_sid", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_sessions_account_sid"),
        sa.PrimaryKeyConstraint("digest", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user_sid", "sessions", ["user_sid"])
    op.create_index("ix_sessions_seen_at", "sessions", ["seen_at"])
    op.create_table(
        "saved_views",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_sid", sa.Text(), nullable=False),
        sa.Column("page", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        _moment("date_created"),
        sa.ForeignKeyConstraint(["user_sid"], ["users.sid"], name="fk_saved_views_user_sid", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_saved_views"),
        sa.UniqueConstraint("user_sid", "page", "name", name="uq_saved_views_user_sid_page_name"),
    )
    op.create_table(
        "peaks",
        sa.Column("recording_sid", sa.Text(), nullable=False),
        sa.Column("peaks_sealed", sa.LargeBinary(), nullable=False),
        _moment("date_created"),
        sa.ForeignKeyConstraint(
            ["recording_sid"], ["recordings.sid"], name="fk_peaks_recording_sid", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("recording_sid", name="pk_peaks"),
    )


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
