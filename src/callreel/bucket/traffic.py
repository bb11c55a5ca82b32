"""How much may be on its way to buckets at once: so many blobs, and so many bytes of them in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callreel.bucket.bucket import MULTIPART_ABOVE_BYTES
from callreel.bucket.multipart import PARTS_IN_MEMORY

IN_MEMORY_BYTES = 32 << 20  # of a service that is to stay below 200 MB


class Traffic:
    """Lets blobs go in the order they came, as long as both limits hold; one blob alone always goes."""

    def __init__(self, blobs: int, *, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self._most_blobs, self._most_bytes = blobs, in_memory_bytes
        self._blobs = self._bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def room_for(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until a blob of this size may be sent; its room is given back on leaving."""
        weight = min(size_bytes, PARTS_IN_MEMORY * MULTIPART_ABOVE_BYTES)
        if self._waiting or not self._fits(weight):
            await self._wait(weight)
        else:
            self._enter(weight)
        try:
            yield
        finally:
            self._leave(weight)

    async def _wait(self, weight: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave(weight)  # it was let in at the moment it was cancelled
            raise

    def _fits(self, weight: int) -> bool:
        return self._blobs == 0 or (self._blobs < self._most_blobs and self._bytes + weight <= self._most_bytes)

    def _enter(self, weight: int) -> None:
        self._blobs += 1
        self._bytes += weight

    def _leave(self, weight: int) -> None:
        self._blobs -= 1
        self._bytes -= weight
        while self._waiting:
            weight, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
            elif self._fits(weight):
                self._waiting.popleft()
                self._enter(weight)
                turn.set_result(None)
            else:
                return
