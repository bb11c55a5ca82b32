"""Keys of media sealed at rest"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "account_keys",
        sa.Column("account_sid", sa.Text(), nullable=False),
        sa.Column("key_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("date_created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account_sid"], ["accounts.sid"], name="fk_account_keys_account_sid"),
        sa.PrimaryKeyConstraint("account_sid", name="pk_account_keys"),
    )
    # What was taken in before lies in the spool as it came: `false` says so.
    op.add_column(
        "recordings", sa.Column("sealed_at_rest", sa.Boolean(), nullable=False, server_default=sa.text("false"))
    )
    op.add_column("recordings", sa.Column("media_key_wrapped", sa.LargeBinary(), nullable=True))
