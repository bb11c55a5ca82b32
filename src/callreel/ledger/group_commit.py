"""Many callers, one commit: writes that arrive while a transaction runs share the next one.

A commit costs an fsync whether it carries one row or a hundred. Nothing waits on purpose: the first write
goes at once, and what comes in meanwhile goes together. Each caller gets its own result or its own error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import CallreelError
from callreel.failpoints import reach

Item = TypeVar("Item")
Write = Callable[[AsyncConnection, Sequence[Item]], Awaitable[list[Any]]]

MAX_TOGETHER = 256
RETRIES = 3  # of a transaction that lost to another (deadlock, serialization)
_LOST_TO_ANOTHER = {"40001", "40P01"}


class GroupCommit(Generic[Item]):
    """Gathers items and writes them together.

    `write` is given a connection inside a transaction and the items, and returns one result for each in
    order; a result that is an exception is raised to that item's caller alone. `name_of` keeps two items of
    one name out of the same transaction.
    """

    def __init__(
        self, engine: AsyncEngine, write: Write[Item], *, name_of: Callable[[Item], str], writers: int = 1
    ) -> None:
        self._engine, self._write, self._name_of = engine, write, name_of
        self._waiting: list[tuple[Item, asyncio.Future[Any]]] = []
        self._writers: set[asyncio.Task[None]] = set()
        self._most_writers = writers
        self._in_flight: set[str] = set()

    async def submit(self, item: Item) -> Any:
        """Write the item and wait until it is committed.

        Raises what `write` made of it, or `DatabaseAway` when the database did not take it; the outcome of a
        commit whose answer was lost is unknown, and the caller must find out.
        """
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if len(self._writers) < self._most_writers:
            self._writers.add(asyncio.create_task(self._run()))
        return await done

    async def drain(self) -> None:
        """Wait until everything submitted so far was written or refused."""
        while self._writers:
            await asyncio.gather(*self._writers, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while batch := self._take():
                names = {self._name_of(item) for item, _ in batch}
                self._in_flight |= names
                try:
                    await self._settle(batch)
                finally:
                    self._in_flight -= names
        finally:
            # Before anybody else runs: a caller that comes between the last look and this would wait for ever.
            self._writers.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _take(self) -> list[tuple[Item, asyncio.Future[Any]]]:
        """The next batch: each name once, and none that another writer is writing."""
        taken: list[tuple[Item, asyncio.Future[Any]]] = []
        later: list[tuple[Item, asyncio.Future[Any]]] = []
        names: set[str] = set(self._in_flight)
        for item, done in self._waiting:
            name = self._name_of(item)
            if name in names or len(taken) >= MAX_TOGETHER:
                later.append((item, done))
            else:
                names.add(name)
                taken.append((item, done))
        self._waiting = later
        return taken

    async def _settle(self, batch: list[tuple[Item, asyncio.Future[Any]]]) -> None:
        try:
            results = await self._commit([item for item, _ in batch])
        except CallreelError as why:
            _fail(batch, why)
        except Exception as why:  # noqa: BLE001 - one bad row must not fail its neighbours; each gets its own answer
            if len(batch) == 1:
                _fail(batch, why)
            else:
                for single in batch:
                    await self._settle([single])
        else:
            for (_, done), result in zip(batch, results, strict=True):
                if done.cancelled():
                    continue
                if isinstance(result, Exception):
                    done.set_exception(result)
                else:
                    done.set_result(result)

    async def _commit(self, items: list[Item]) -> list[Any]:
        for attempt in range(RETRIES + 1):
            try:
                async with self._engine.begin() as transaction:
                    results = await self._write(transaction, items)
                    reach("C6")
                return results
            except DBAPIError as why:
                if getattr(why.orig, "sqlstate", None) in _LOST_TO_ANOTHER and attempt < RETRIES:
                    continue
                raise
        raise AssertionError("unreachable: the last attempt raises or returns")


def _fail(batch: list[tuple[Item, asyncio.Future[Any]]], why: Exception) -> None:
    for _, done in batch:
        if not done.cancelled():
            done.set_exception(why)
