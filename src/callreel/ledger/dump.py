"""The whole database out and in again, by PostgreSQL's own tools of the embedded server's version. All of it blocks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from callreel.errors import Misconfigured
from callreel.ledger.database import migration_config
from callreel.ledger.embedded_postgres import postgres_binaries

READ_BYTES = 1 << 20
_OPTIONS = {"host": "PGHOST", "port": "PGPORT", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT"}


def dump(url: str) -> Iterator[bytes]:
    """The database in PostgreSQL's custom format, of one moment, piece by piece. Raises `Misconfigured`."""
    command = ["pg_dump", "--format=custom", "--no-owner", "--no-privileges"]
    with _tool(command, url, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(READ_BYTES):
            yield piece


def restore(url: str, pieces: Iterator[bytes]) -> None:
    """Put a dump into an empty database: all of it in one transaction, or nothing. Raises `Misconfigured`."""
    database = make_url(url).database or "callreel"
    command = ["pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    with _tool([*command, f"--dbname={database}"], url, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            for piece in pieces:
                process.stdin.write(piece)
            process.stdin.close()
        except BrokenPipeError:
            return  # it ended, and says why


async def is_empty(engine: AsyncEngine) -> bool:
    """Whether there is no table of anybody's in the database."""
    query = text("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
    async with engine.connect() as connection:
        return not (await connection.execute(query)).scalar_one()


async def is_being_restored(engine: AsyncEngine) -> bool:
    """Whether a `pg_restore` is at work on this database: one whose callreel was killed ends by itself."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pg_restore'"
    )
    async with engine.connect() as connection:
        return bool((await connection.execute(query)).scalar_one())


async def schema_revision(engine: AsyncEngine) -> str:
    """The revision of the schema."""
    async with engine.connect() as connection:
        return str((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())


def check_known(revision: str) -> None:
    """Raise `Misconfigured` for a schema that only a newer version knows."""
    try:
        ScriptDirectory.from_config(migration_config()).get_revision(revision)
    except CommandError as why:
        raise Misconfigured(
            f"The backup has the schema {revision}, which this version does not know; restore it with a newer callreel"
        ) from why


@contextmanager
def _tool(
    command: list[str], url: str, *, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    tool = [str(postgres_binaries() / command[0]), *command[1:]]
    process = subprocess.Popen(  # noqa: S603
        tool, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=_environment(url)
    )
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        said = _last_words(process)
    if process.returncode:
        raise Misconfigured(f"{command[0]} failed: {said}")


def _last_words(process: subprocess.Popen[bytes]) -> str:
    stderr: IO[bytes] | None = process.stderr
    said = stderr.read().decode(errors="replace").strip() if stderr is not None else ""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None and not stream.closed:
            try:
                stream.close()
            except BrokenPipeError:
                continue  # it ended before it had read all
    process.wait()
    return " / ".join(said.splitlines()[-3:])[-500:]


def _environment(url: str) -> dict[str, str]:
    """Where the database is, told where `ps` does not show it."""
    told = make_url(url)
    given = {
        "PGHOST": told.host,
        "PGPORT": str(told.port) if told.port else None,
        "PGUSER": told.username,
        "PGPASSWORD": told.password,
        "PGDATABASE": told.database,
    }
    given |= {_OPTIONS[name]: str(value) for name, value in told.query.items() if name in _OPTIONS}
    kept = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    return kept | {name: value for name, value in given.items() if value}
