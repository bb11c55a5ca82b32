"""An endpoint that takes connections and never says a word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class BlackHole:
    """Where it listens, and how many connections it has taken."""

    def __init__(self) -> None:
        self.url = ""
        self.taken = 0
        self._over = asyncio.Event()

    async def swallow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold this connection until it is hung up."""
        self.taken += 1
        await self._over.wait()
        writer.transport.abort()

    def hang_up(self) -> None:
        """Break every connection there is; later ones are held as before."""
        self._over.set()
        self._over = asyncio.Event()


@asynccontextmanager
async def black_hole() -> AsyncIterator[BlackHole]:
    """Listen on a port of loopback until left; then every connection breaks."""
    hole = BlackHole()
    listener = await asyncio.start_server(hole.swallow, "127.0.0.1", 0)
    hole.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield hole
    finally:
        listener.close()
        hole.hang_up()
