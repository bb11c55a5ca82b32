"""SIGKILL in the middle of a command that changes the whole installation; then the same command again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.ledger.audit import INSTALLATION
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.ledger.sealed_values import SEALED
from callreel.model.recording import State
from callreel.sealing.key_file import KeyFile
from callreel.settings import load_settings
from callreel.worker.duties import recover_at_start
from tests.conftest import psql
from tests.crash.command import Command, run
from tests.crash.invariants import violations_in
from tests.stage import Stage, a_wav

CALL = "CA" + "1" * 32
DIED = -signal.SIGKILL


async def exit_code(forks: Any, command: Command) -> int:
    """What became of the command, in a process of its own."""
    process = forks.Process(target=run, args=(command,))
    process.start()
    await asyncio.to_thread(process.join, 90)
    assert process.exitcode is not None
    return int(process.exitcode)


async def master_keys_in_use(stage: Stage) -> set[bytes]:
    """The ids of the master keys that sealed what the database holds."""
    found = set()
    async with stage.parts.ledger.engine.connect() as connection:
        for column in SEALED:
            query = text(f"SELECT substring({column.column.name} from 5 for 8) AS id FROM {column.table}")
            found |= {bytes(row.id) for row in await connection.execute(query) if row.id is not None}
    return found


@pytest.mark.parametrize(("point", "passes"), [("K1", 0), ("K2", 0), ("K2", 1), ("K2", 3), ("K3", 0)])
async def test_a_rotation_killed_anywhere_leaves_every_secret_readable_and_is_run_again(
    stage: Stage, forks: Any, tmp_path: Path, database_url: str, point: str, passes: int, clock: SetClock
) -> None:
    data_dir = tmp_path / "data"
    [old] = KeyFile(data_dir).read()
    recording = await stage.take_in(a_wav(), call_sid=CALL, from_number="+1555", to_number="+1556")
    environment = {"CALLREEL_DATABASE_URL": database_url, "CALLREEL_DATA_DIR": str(data_dir)}
    rotate = Command(words=("keys", "rotate"), environment=environment, failpoint=point, passes=passes)
    assert await exit_code(forks, rotate) == DIED
    clock.advance(61)  # no key is remembered any more
    assert await stage.media(recording) == a_wav()
    late = await stage.take_in(a_wav(seed=2), call_sid="CA" + "2" * 32, from_number="+1557")  # beside the half-done
    settings = load_settings(data_dir=data_dir, allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=database_url, public_url="http://x", clock=clock) as begun_anew:
        for one in (recording, late):
            assert await begun_anew.keys.of_media(one) is not None
        assert await violations_in(begun_anew, {}, {}) == []
    assert await exit_code(forks, Command(words=("keys", "rotate"), environment=environment)) == 0
    [new] = KeyFile(data_dir).read()
    assert KeyFile(data_dir).retired() == [old]
    assert new != old
    assert await master_keys_in_use(stage) == {new.id}
    clock.advance(61)
    assert await stage.media(late) == a_wav(seed=2)
    assert (await stage.carry(recording)).state is State.RELEASED  # with the bucket's credential, sealed anew too


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database nobody has used."""
    name = f"empty_crash_{os.getpid()}"
    psql(postgres, f"CREATE DATABASE {name} TEMPLATE template0")
    yield postgres.url(name)
    psql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("point", ["B1", "B2", "B3", "B4"])
async def test_a_restore_killed_anywhere_is_run_again_and_nothing_is_half_there(
    stage: Stage, forks: Any, tmp_path: Path, database_url: str, empty_url: str, point: str, clock: SetClock,
    postgres: EmbeddedPostgres,
) -> None:  # fmt: skip
    recording = await stage.take_in(a_wav())
    target, new = tmp_path / "b", tmp_path / "new"
    old_place = {"CALLREEL_DATABASE_URL": database_url, "CALLREEL_DATA_DIR": str(tmp_path / "data")}
    assert await exit_code(forks, Command(words=("backup", str(target)), environment=old_place)) == 0
    new.mkdir()
    for name in ("master.key", "spool"):
        (tmp_path / "data" / name).rename(new / name)
    new_place = {"CALLREEL_DATABASE_URL": empty_url, "CALLREEL_DATA_DIR": str(new)}
    restore = Command(words=("restore", str(target)), environment=new_place, failpoint=point)
    assert await exit_code(forks, restore) == DIED
    while int(psql(postgres, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_restore'")):
        await asyncio.sleep(0.05)  # its standard input ended with the one that was killed
    database = make_url(empty_url).database or ""
    tables = psql(postgres, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", database)
    assert (int(tables) > 0) == (point == "B4")  # all of it, or nothing
    assert await exit_code(forks, Command(words=("restore", str(target)), environment=new_place)) == 0
    settings = load_settings(data_dir=new, allowed_private_networks="127.0.0.0/8")
    async with open_parts(settings, database_url=empty_url, public_url="http://x", clock=clock) as parts:
        assert parts.spool.is_restored
        await recover_at_start(parts)
        found = await parts.ledger.recordings.find_for_work(recording.sid)
        assert found == await stage.look(recording)
        key = await parts.keys.of_media(recording)
        assert b"".join(parts.spool.read_media(recording, key)) == a_wav()
        assert await violations_in(parts, {}, {}) == []
        chain = [row.action async for row in parts.ledger.audit.read_chain(INSTALLATION)]
        assert chain.count("backup.restored") == 1
    again = Command(words=("restore", str(target)), environment=new_place)
    assert await exit_code(forks, again) == 1  # it was started since: what is there is no longer the backup's
