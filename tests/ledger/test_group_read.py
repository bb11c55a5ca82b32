"""Rows asked for at the same time come with one query, and each caller gets its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import DatabaseAway
from callreel.ledger.database import open_engine
from callreel.ledger.group_read import GroupRead


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = open_engine(database_url)
    yield opened
    await opened.dispose()


def _doubling(engine: AsyncEngine, queries: list[Sequence[int]]) -> GroupRead[int, int]:
    async def read(connection: AsyncConnection, names: Sequence[int]) -> dict[int, int]:
        queries.append(names)
        rows = await connection.execute(
            text("SELECT n, 2 * n FROM unnest(:names ::int[]) AS n WHERE n < 100"), {"names": names}
        )
        return {row[0]: row[1] for row in rows}

    return GroupRead(engine, read)


async def test_those_who_ask_at_the_same_time_share_a_query(engine: AsyncEngine) -> None:
    queries: list[Sequence[int]] = []
    reads = _doubling(engine, queries)
    assert await asyncio.gather(*[reads.find(n) for n in (1, 2, 3, 2)]) == [2, 4, 6, 4]
    assert queries == [[1, 2, 3]]


async def test_a_question_asked_while_a_query_runs_is_answered_by_a_later_one(engine: AsyncEngine) -> None:
    queries: list[Sequence[int]] = []
    reads = _doubling(engine, queries)
    first = asyncio.create_task(reads.find(1))
    while not queries:
        await asyncio.sleep(0)
    assert await asyncio.gather(first, reads.find(1)) == [2, 2]
    assert len(queries) == 2


async def test_a_name_without_a_row_is_none(engine: AsyncEngine) -> None:
    assert await _doubling(engine, []).find(100) is None


async def test_a_failed_query_fails_those_who_asked_and_nobody_after_them(engine: AsyncEngine) -> None:
    fails = [True]

    async def read(connection: AsyncConnection, names: Sequence[int]) -> dict[int, int]:
        if fails.pop() if fails else False:
            raise OSError("away")
        return dict.fromkeys(names, 0)

    reads: GroupRead[int, int] = GroupRead(engine, read)
    answers = await asyncio.gather(reads.find(1), reads.find(2), return_exceptions=True)
    assert all(isinstance(answer, DatabaseAway) for answer in answers)
    assert await reads.find(1) == 0


async def test_a_caller_that_is_cancelled_takes_no_answer_from_the_others(engine: AsyncEngine) -> None:
    reads = _doubling(engine, [])
    leaving, staying = asyncio.create_task(reads.find(1)), asyncio.create_task(reads.find(1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 2
