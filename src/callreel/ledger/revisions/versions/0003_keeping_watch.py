"""What keeping watch needs: heartbeats, what lies in quarantine, and until when a purged recording was kept"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("tombstones", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tombstones", sa.Column("purge_after", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "quarantine",
        sa.Column("host_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("date_removed", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("host_id", "name", name="pk_quarantine"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("host_id", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("wall", sa.DateTime(timezone=True), nullable=False),
        sa.Column("monotonic_s", sa.Double(), nullable=False),
        sa.Column("distrusted_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("distrusted_why", sa.Text(), nullable=True),
        sa.Column("sane_s", sa.Double(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("host_id", name="pk_heartbeats"),
    )
