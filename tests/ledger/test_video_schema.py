"""The revisions make the tables the ledger is written for."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from callreel.ledger.database import migrate, open_engine
from callreel.ledger.tables import metadata
from callreel.parts import Parts


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
    )
    return list(compare_metadata(context, metadata))


async def test_the_revisions_lead_to_exactly_the_tables(parts: Parts) -> None:
    async with parts.ledger.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_a_database_of_the_first_revision_is_brought_up_and_keeps_its_rows(database_url: str) -> None:
    engine = open_engine(database_url)
    try:
        async with engine.begin() as transaction:
            await transaction.execute(text("DROP TABLE video_tracks, rooms"))
            await transaction.execute(text("UPDATE alembic_version SET version_num = '0001'"))
            await transaction.execute(text("INSERT INTO tombstones VALUES ('REx', 'ACx', now(), 'a row of before')"))
        await migrate(engine)
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM tombstones"))).scalar_one() == 1
            assert await connection.run_sync(_differences) == []
    finally:
        await engine.dispose()
