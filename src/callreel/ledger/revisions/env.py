"""Alembic's entry: runs revisions on the connection, and in the transaction, that `database.migrate` opened."""

from __future__ import annotations

from alembic import context

from callreel.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
