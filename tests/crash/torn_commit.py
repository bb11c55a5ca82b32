"""A wire to PostgreSQL that tears at the COMMIT of a recording: before it is heard, or before its answer is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path

_BIRTH = b"INSERT INTO recordings"
_COMMIT = b"COMMIT"


class Tear(Enum):
    """When the wire tears. Either way the client does not know what became of its transaction."""

    BEFORE_IT_IS_HEARD = auto()
    BEFORE_THE_ANSWER = auto()


class Wire:
    """The wire between. `tear` is for the COMMIT of the next recording that is born, and then gone."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self.tear: Tear | None = None
        self.torn = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(str(self._server))
        answers = asyncio.create_task(_pump(up_reader, writer))
        is_birth = False
        try:
            while data := await reader.read(65536):
                is_birth = is_birth or _BIRTH in data
                if self.tear is not None and is_birth and _COMMIT in data:
                    tear, self.tear = self.tear, None
                    self.torn += 1
                    answers.cancel()
                    await asyncio.wait([answers])
                    if tear is Tear.BEFORE_THE_ANSWER:
                        up_writer.write(data)
                        await up_reader.read(65536)  # the server has answered: it is committed
                    return
                up_writer.write(data)
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            for end in (writer, up_writer):
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def wire_to(database_url: str, directory: Path) -> AsyncIterator[tuple[str, Wire]]:
    """The URL of the same database through the wire, and the wire."""
    base, _, socket_dir = database_url.partition("?host=")
    directory.mkdir()
    wire = Wire(Path(socket_dir) / ".s.PGSQL.5432")
    server = await asyncio.start_unix_server(wire.carry, str(directory / ".s.PGSQL.5432"))
    try:
        yield f"{base}?host={directory}", wire
    finally:
        server.close()
