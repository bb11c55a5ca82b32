"""Calls of moved recordings are asked of their source"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("sources", sa.Column("include_calls", sa.Boolean(), nullable=True))
    op.execute("UPDATE sources SET include_calls = true")
    op.alter_column("sources", "include_calls", nullable=False)
    op.add_column("calls", sa.Column("source_sid", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("source_account_sid", sa.Text(), nullable=True))
    op.add_column("calls", sa.Column("ask_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("calls", sa.Column("asked", sa.Integer(), nullable=True))
    # Calls of recordings that were moved before this could be asked.
    op.execute(
        """
        UPDATE calls SET source_sid = i.source_sid, source_account_sid = i.origin ->> 'account_sid', ask_at = now(),
            asked = 0
        FROM recordings AS r JOIN migration_items AS i ON i.recording_sid = r.sid
        WHERE r.account_sid = calls.account_sid AND r.call_sid = calls.sid AND calls.parties_sealed IS NULL
            AND calls.direction IS NULL
        """
    )
    op.create_index("ix_calls_ask", "calls", ["source_sid", "ask_at"], postgresql_where=sa.text("ask_at IS NOT NULL"))
