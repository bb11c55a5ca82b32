"""The floor under ingest: what the disk and the database ask for one durable recording, and nothing else.

For each file: write, fsync, rename, fsync of the directory, one commit of one row. No HTTP, no hash, no look at
the content; as many at once as the clients of the ingest figure, each with a connection of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from sqlalchemy import make_url

from benchmarks.child import Account, hear, read_job, say_ready


async def run(job: dict[str, Any]) -> None:
    """Make every file durable in `directory`."""
    directory = Path(job["directory"])
    directory.mkdir()
    contents = iter([(Path(path).name, Path(path).read_bytes()) for path in job["paths"]])
    url = make_url(job["database_url"])
    database = {"host": url.query["host"], "user": url.username, "database": url.database}
    connections = [await asyncpg.connect(**database) for _ in range(job["clients"])]
    await connections[0].execute(
        "CREATE TABLE IF NOT EXISTS benchmark_floor (name text, at timestamptz DEFAULT now(), size bigint)"
    )
    say_ready()
    await hear()
    account = Account()
    await asyncio.gather(*[_keep(contents, directory, connection) for connection in connections])
    account.tell()
    for connection in connections:
        await connection.close()


async def _keep(contents: Iterator[tuple[str, bytes]], directory: Path, connection: asyncpg.Connection) -> None:
    for name, content in contents:
        await asyncio.to_thread(_make_durable, directory, name, content)
        await connection.execute("INSERT INTO benchmark_floor (name, size) VALUES ($1, $2)", name, len(content))


def _make_durable(directory: Path, name: str, content: bytes) -> None:
    draft = directory / f"{name}.tmp"
    with draft.open("xb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())
    draft.rename(directory / name)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    uvloop.run(run(read_job()))
