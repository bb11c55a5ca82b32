"""The revisions make the tables the ledger is written for."""

from __future__ import annotations

import asyncio
import os

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from callreel.ledger.database import migrate, open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.tables import metadata
from callreel.parts import Parts
from tests.conftest import psql


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
    )
    return list(compare_metadata(context, metadata))


async def test_the_revisions_lead_to_exactly_the_tables(parts: Parts) -> None:
    async with parts.ledger.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_database_of_the_first_revision_is_brought_up_and_keeps_its_rows(postgres: EmbeddedPostgres) -> None:
    name = f"first_{os.getpid()}"
    await asyncio.to_thread(psql, postgres, f"CREATE DATABASE {name} TEMPLATE template0")
    engine = open_engine(postgres.url(name))
    try:
        async with engine.begin() as transaction:
            await transaction.run_sync(_to_the_first_revision)
            await transaction.execute(text("INSERT INTO tombstones VALUES ('REx', 'ACx', now(), 'a row of before')"))
        await migrate(engine)
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM tombstones"))).scalar_one() == 1
            assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()
        await asyncio.to_thread(psql, postgres, f"DROP DATABASE {name} WITH (FORCE)")


def _to_the_first_revision(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "callreel:ledger/revisions")
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")
