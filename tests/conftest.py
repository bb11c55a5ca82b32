"""What every test may ask for: a real PostgreSQL, a clock that stands still, opened parts."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random

import pytest

from callreel.app import open_parts
from callreel.clock import SetClock
from callreel.ledger.database import migrate, open_engine
from callreel.ledger.embedded_postgres import EmbeddedPostgres
from callreel.model.account import Account
from callreel.parts import Parts
from callreel.rehearsal.embedded_s3 import EmbeddedS3
from callreel.settings import Settings, load_settings
from callreel.steps.open_account import open_account
from tests import video
from tests.stage import BUCKET, MANAGER, WRITER, Stage
from tests.video import KEY, Studio

TEMPLATE = "callreel"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requests", type=int, default=20, help="made-up requests to each operation (schemathesis)")
    parser.addoption("--rounds", type=int, default=1, help="of the crash tests")
    parser.addoption("--sayings", type=int, default=20, help="encrypted recordings searched for what was said in them")
    parser.addoption("--moved", type=int, default=60, help="recordings of the migration that is killed again and again")
    parser.addoption("--flips", type=int, default=25, help="encrypted recordings with one flipped bit, for the CLI")


def pytest_make_parametrize_id(val: object) -> str | None:
    """The same name in every test process, also for values that were made at random."""
    if isinstance(val, bytes):
        return f"{len(val)}-bytes"
    if isinstance(val, int) and abs(val) > 10**9:
        return "huge"
    return None


_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """The suite's settings are its own: whatever CALLREEL_ or AWS_ variables the shell has are put aside."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("CALLREEL_", "AWS_"))}
    yield
    os.environ.update(kept)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One embedded server for each test process, with a migrated database to copy from."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("pg"))
    server.start()

    async def prepare() -> None:
        engine = open_engine(server.url(TEMPLATE))
        await migrate(engine)
        await engine.dispose()

    asyncio.run(prepare())
    yield server
    server.stop()


def psql(server: EmbeddedPostgres, statement: str, database: str = "postgres") -> str:
    """Run one statement as the server's owner."""
    done = subprocess.run(
        [server.bin / "psql", "-XAtq", "-h", server.socket_dir, "-U", "callreel", "-d", database, "-c", statement],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh database, dropped afterwards."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    psql(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield postgres.url(name)
    psql(postgres, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The defaults, with loopback allowed, since that is where every stand-in listens."""
    return load_settings(data_dir=tmp_path / "data", allowed_private_networks="127.0.0.0/8,::1/128")


@pytest.fixture
async def parts(settings: Settings, database_url: str, clock: SetClock) -> AsyncIterator[Parts]:
    """Every part of an installation, opened as `serve` opens it, on a clock that stands still."""
    async with open_parts(
        settings, database_url=database_url, public_url="http://callreel.test", clock=clock
    ) as opened:
        opened.rng = Random(7)
        opened.renditions.prepare()
        yield opened
        await opened.renditions.close()


@pytest.fixture
async def account(parts: Parts) -> tuple[Account, str]:
    """A main account and its auth token."""
    return await open_account(
        "Acme",
        parent=None,
        accounts=parts.ledger.accounts,
        keyring=parts.keyring,
        digest=parts.digest,
        clock=parts.clock,
    )


@pytest.fixture
async def s3(tmp_path: Path, clock: SetClock) -> AsyncIterator[EmbeddedS3]:
    """An S3 with one bucket, a key that may do everything and one that may only write."""
    async with EmbeddedS3(tmp_path / "s3", clock=clock) as server:
        server.create_bucket(BUCKET)
        server.add_user(*MANAGER)
        server.add_user(*WRITER, may="write")
        yield server


@pytest.fixture
async def stage(parts: Parts, clock: SetClock, account: tuple[Account, str], s3: EmbeddedS3) -> Stage:
    """An account whose recordings go to the embedded S3."""
    on_stage = Stage(parts, clock, *account, s3)
    on_stage.credential_sid = await on_stage.keep_key()
    await on_stage.choose()
    return on_stage


@pytest.fixture
async def studio(parts: Parts, account: tuple[Account, str], clock: SetClock, tmp_path: Path) -> AsyncIterator[Studio]:
    """A place to record video in, with a bucket beside it."""
    async with EmbeddedS3(tmp_path / "s3", clock=clock) as s3:
        s3.create_bucket(video.BUCKET)
        s3.add_user(KEY.key_id, KEY.secret)
        yield Studio(parts=parts, account_sid=account[0].sid, clock=clock, s3=s3)
