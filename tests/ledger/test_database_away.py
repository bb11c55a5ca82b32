"""Reads and writes say `DatabaseAway` when the database is the trouble, whatever the driver calls it."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from callreel.errors import DatabaseAway
from callreel.ledger.database import open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.parts import Parts
from tests.conftest import psql


async def test_a_server_that_is_not_there_is_database_away() -> None:
    engine = open_engine("postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(DatabaseAway):
        async with engine.connect():
            pass
    with pytest.raises(DatabaseAway):
        async with engine.begin():
            pass
    await engine.dispose()


async def test_a_database_that_was_dropped_is_database_away(postgres: EmbeddedPostgres) -> None:
    engine = open_engine(postgres.url("no_such_database"))
    with pytest.raises(DatabaseAway):
        async with engine.connect():
            pass
    await engine.dispose()


async def test_a_connection_that_is_cut_is_database_away(parts: Parts, postgres: EmbeddedPostgres) -> None:
    async def cut_in_between() -> None:
        async with parts.ledger.engine.connect() as connection:
            pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            psql(postgres, f"SELECT pg_terminate_backend({pid}, 5000)")
            await connection.execute(text("SELECT 1"))

    with pytest.raises(DatabaseAway):
        await cut_in_between()
    await parts.ledger.answers()


async def test_a_statement_that_is_wrong_is_not_database_away(parts: Parts) -> None:
    with pytest.raises(DBAPIError):
        async with parts.ledger.engine.connect() as connection:
            await connection.execute(text("SELECT nonsense"))
