"""Opening the database: its promises, its schema, and what happens while it is away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.clock import SetClock
from callreel.errors import DatabaseAway, Misconfigured
from callreel.ledger import database
from callreel.ledger.database import check_promises, is_migrated, migrate, open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.ledger import Ledger
from callreel.ledger.moves import Birth
from callreel.model.recording import Recording, State
from callreel.model.sid import RecordingSid, mint_sid
from tests.conftest import psql
from tests.recordings import ACCOUNT, a_recording


@pytest.fixture
async def empty(postgres: EmbeddedPostgres) -> AsyncIterator[AsyncEngine]:
    """A database without any table."""
    name = f"empty_{os.getpid()}"
    await asyncio.to_thread(psql, postgres, f"CREATE DATABASE {name} TEMPLATE template0")
    engine = open_engine(postgres.url(name))
    yield engine
    await engine.dispose()
    await asyncio.to_thread(psql, postgres, f"DROP DATABASE {name} WITH (FORCE)")


async def test_migrating_twice_is_the_same_as_once(empty: AsyncEngine) -> None:
    assert not await is_migrated(empty)
    for _ in range(2):
        await migrate(empty)
        assert await is_migrated(empty)


async def test_processes_that_start_together_migrate_once(empty: AsyncEngine) -> None:
    others = [open_engine(empty.url.render_as_string(hide_password=False)) for _ in range(4)]
    await asyncio.gather(*(migrate(engine) for engine in others))
    assert await is_migrated(empty)
    for engine in others:
        await engine.dispose()


async def test_a_migration_that_is_broken_off_leaves_the_old_schema(
    empty: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(transaction: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(database, "install_engine", break_off)
    with pytest.raises(RuntimeError, match="killed"):
        await migrate(empty)
    assert not await is_migrated(empty)
    async with empty.connect() as connection:
        found = await connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        assert found.scalar_one() == 0
    monkeypatch.undo()
    await migrate(empty)


async def test_a_server_that_forgets_what_it_committed_is_refused(
    postgres: EmbeddedPostgres, database_url: str
) -> None:
    engine = open_engine(database_url)
    await check_promises(engine)
    await engine.dispose()
    name = engine.url.database
    await asyncio.to_thread(psql, postgres, f"ALTER DATABASE {name} SET synchronous_commit = off")
    engine = open_engine(database_url)
    with pytest.raises(Misconfigured, match="synchronous_commit"):
        await check_promises(engine)
    await engine.dispose()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///x", "", "x"])
def test_another_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        open_engine(url)


async def test_nobody_there_is_away(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://callreel@/callreel?host={tmp_path}")
    with pytest.raises(DatabaseAway):
        await check_promises(engine)
    await engine.dispose()


async def test_while_the_server_is_dead_everything_says_away_and_afterwards_all_works(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await asyncio.to_thread(server.start)
    engine = open_engine(server.url())
    try:
        await migrate(engine)
        async with engine.begin() as transaction:
            await transaction.execute(
                text("INSERT INTO accounts VALUES (:sid, :sid, 'x', 'active', '', '', now(), now())"), {"sid": ACCOUNT}
            )
        ledger = Ledger(engine, clock=SetClock(), worker_id="w", public_url=lambda: "http://x")
        births = [Birth(recording=a_recording(sid=RecordingSid(mint_sid("RE")))) for _ in range(20)]
        kept = await ledger.bear(births[0])
        assert isinstance(kept, Recording)
        pid = server._pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(server._child.wait, 10)  # type: ignore[union-attr]
        outcomes = await asyncio.gather(*(ledger.bear(b) for b in births[1:]), return_exceptions=True)
        assert {type(o) for o in outcomes} == {DatabaseAway}
        for doing in (
            ledger.answers(),
            ledger.recordings.find(ACCOUNT, kept.sid),
            ledger.recordings.find_for_work(kept.sid),
            ledger.move(kept, State.PARKED),
            ledger.settings.current(ACCOUNT, kept.kind),
        ):
            with pytest.raises(DatabaseAway):
                await doing
        again = EmbeddedPostgres(tmp_path / "data")
        await asyncio.to_thread(again.start)
        await ledger.answers()
        assert (await ledger.move(kept, State.PARKED)).state is State.PARKED
        await ledger.close()
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(again.stop)
    finally:
        await engine.dispose()
        await asyncio.to_thread(server.stop)
