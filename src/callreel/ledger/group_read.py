"""Many callers, one query: what is asked while a query runs is asked together by the next one.

The counterpart of `GroupCommit` for reading rows by name. Nothing is remembered: an answer comes from a query
that began after its question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

Name = TypeVar("Name", bound=Hashable)
Row = TypeVar("Row")
Read = Callable[[AsyncConnection, Sequence[Name]], Awaitable[Mapping[Name, Row]]]

MAX_TOGETHER = 256


class GroupRead(Generic[Name, Row]):
    """Gathers names and reads them together. `read` returns what it found; a name it leaves out has no row."""

    def __init__(self, engine: AsyncEngine, read: Read[Name, Row]) -> None:
        self._engine, self._read = engine, read
        self._asked: dict[Name, list[asyncio.Future[Row | None]]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def find(self, name: Name) -> Row | None:
        """The row of this name, or None. Raises what the query raised."""
        answer: asyncio.Future[Row | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(name, []).append(answer)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._asked:
            names = list(self._asked)[:MAX_TOGETHER]
            asked = [(name, self._asked.pop(name)) for name in names]
            try:
                async with self._engine.connect() as connection:
                    found = await self._read(connection, names)
            except Exception as why:  # noqa: BLE001 - handed to those who asked, each of whom knows what to do with it
                for _, answers in asked:
                    for answer in _awaited(answers):
                        answer.set_exception(why)
            else:
                for name, answers in asked:
                    for answer in _awaited(answers):
                        answer.set_result(found.get(name))


def _awaited(answers: list[asyncio.Future[Row | None]]) -> list[asyncio.Future[Row | None]]:
    """Those still wanted: whoever was cancelled meanwhile is gone."""
    return [answer for answer in answers if not answer.cancelled()]
