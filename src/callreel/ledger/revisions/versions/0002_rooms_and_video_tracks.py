"""Rooms and video tracks"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "rooms",
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("unique_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status_callback", sa.Text(), nullable=True),
        sa.Column("status_callback_method", sa.Text(), nullable=False),
        sa.Column("options", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_updated", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duration_s", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_rooms_account_sid"),
        sa.PrimaryKeyConstraint("account_sid", "sid", name="pk_rooms"),
    )
    _index("rooms", "account_sid", "date_created", "sid")
    _index("rooms", "account_sid", "status", "date_created", "sid")
    _index("rooms", "account_sid", "unique_name", "date_created", "sid")
    op.create_index(
        "uq_rooms_live_name",
        "rooms",
        ["account_sid", "unique_name"],
        unique=True,
        postgresql_where=sa.text("status = 'in-progress'"),
    )
    op.create_table(
        "video_tracks",
        sa.Column("recording_sid", sa.Text(), nullable=False),
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("room_sid", sa.Text(), nullable=False),
        sa.Column("participant_sid", sa.Text(), nullable=False),
        sa.Column("participant_identity", sa.Text(), nullable=False),
        sa.Column("source_sid", sa.Text(), nullable=False),
        sa.Column("track_name", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("offset_ms", sa.BigInteger(), nullable=False),
        sa.Column("status_callback", sa.Text(), nullable=True),
        sa.Column("status_callback_method", sa.Text(), nullable=True),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["recording_sid"], ["recordings.sid"], name="fk_video_tracks_recording_sid", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_sid", "room_sid"], ["rooms.account_sid", "rooms.sid"], name="fk_video_tracks_account_sid"
        ),
        sa.PrimaryKeyConstraint("recording_sid", name="pk_video_tracks"),
    )
    _index("video_tracks", "account_sid", "date_created", "recording_sid")
    op.create_index(
        "ix_video_tracks_room",
        "video_tracks",
        ["account_sid", "room_sid", "date_created", "recording_sid"],
        unique=False,
    )
    op.create_index(
        "ix_video_tracks_participant",
        "video_tracks",
        ["account_sid", "participant_sid", "date_created", "recording_sid"],
        unique=False,
    )
    op.create_index(
        "ix_video_tracks_source",
        "video_tracks",
        ["account_sid", "source_sid", "date_created", "recording_sid"],
        unique=False,
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns), unique=False)
