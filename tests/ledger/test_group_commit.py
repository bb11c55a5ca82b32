"""Many callers, one commit; each its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callreel.errors import DatabaseAway, Outrun
from callreel.ledger.database import open_engine
from callreel.ledger.group_commit import MAX_TOGETHER, GroupCommit


class Words:
    """Writes words into a table that takes each once, and remembers what went together."""

    def __init__(self, engine: AsyncEngine, **options: Any) -> None:
        self.engine = engine
        self.batches: list[list[str]] = []
        self.commits: GroupCommit[str] = GroupCommit(
            engine, self.write, name_of=lambda w: w.partition(":")[0], **options
        )

    async def write(self, transaction: AsyncConnection, items: Sequence[str]) -> list[Any]:
        self.batches.append(list(items))
        for word in items:
            await transaction.execute(text("INSERT INTO words VALUES (:word)"), {"word": word})
        return [Outrun(word) if word.startswith("late") else word.upper() for word in items]

    async def there(self) -> list[str]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(text("SELECT word FROM words ORDER BY word"))).scalars())


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = open_engine(database_url)
    async with opened.begin() as transaction:
        await transaction.execute(text("CREATE TABLE words (word text PRIMARY KEY)"))
    yield opened
    await opened.dispose()


@pytest.fixture
def words(engine: AsyncEngine) -> Words:
    return Words(engine)


async def test_a_caller_that_comes_again_at_once_is_served(words: Words) -> None:
    """The writer has ended by then and its task is about to; nobody else would take the item."""
    async with asyncio.timeout(20):
        for n in range(50):
            assert await words.commits.submit(f"w{n}") == f"W{n}"
    assert len(await words.there()) == 50


async def test_many_callers_share_few_commits_and_each_gets_its_own_answer(words: Words) -> None:
    answers = await asyncio.gather(*(words.commits.submit(f"w{n}") for n in range(200)))
    assert answers == [f"W{n}" for n in range(200)]
    assert len(words.batches) <= 3
    assert len(await words.there()) == 200


async def test_no_transaction_is_larger_than_the_limit(words: Words) -> None:
    await asyncio.gather(*(words.commits.submit(f"w{n}") for n in range(2 * MAX_TOGETHER + 5)))
    assert max(map(len, words.batches)) <= MAX_TOGETHER


async def test_a_bad_row_fails_alone(words: Words) -> None:
    await words.commits.submit("taken")
    outcomes = await asyncio.gather(
        *(words.commits.submit(w) for w in ("a", "b", "taken", "c")), return_exceptions=True
    )
    assert [o for o in outcomes if isinstance(o, str)] == ["A", "B", "C"]
    assert isinstance(outcomes[2], IntegrityError)
    assert await words.there() == ["a", "b", "c", "taken"]


async def test_an_error_that_is_a_result_goes_to_its_caller_alone(words: Words) -> None:
    outcomes = await asyncio.gather(*(words.commits.submit(w) for w in ("a", "late", "b")), return_exceptions=True)
    assert isinstance(outcomes[1], Outrun)
    assert (outcomes[0], outcomes[2]) == ("A", "B")
    assert len(words.batches) == 1


@pytest.mark.parametrize("writers", [1, 3])
async def test_one_name_is_never_twice_in_a_transaction_nor_in_two_at_once(engine: AsyncEngine, writers: int) -> None:
    words = Words(engine, writers=writers)
    await asyncio.gather(*(words.commits.submit(f"x:{n}") for n in range(6)), words.commits.submit("y"))
    assert all(sum(w.startswith("x:") for w in batch) <= 1 for batch in words.batches)
    assert len(await words.there()) == 7


async def test_a_caller_that_left_costs_nobody_else_their_answer(words: Words) -> None:
    first = asyncio.create_task(words.commits.submit("first"))
    await asyncio.sleep(0)
    leaving = [asyncio.create_task(words.commits.submit(f"leaving{n}")) for n in range(5)]
    staying = [asyncio.create_task(words.commits.submit(f"staying{n}")) for n in range(5)]
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    assert await asyncio.gather(first, *staying) == ["FIRST", *(f"STAYING{n}" for n in range(5))]
    await words.commits.drain()
    assert len(await words.there()) == 11  # what was submitted is written, whoever waits for it


async def test_draining_waits_for_everything(words: Words) -> None:
    tasks = [asyncio.create_task(words.commits.submit(f"w{n}")) for n in range(20)]
    await asyncio.sleep(0)
    await words.commits.drain()
    assert len(await words.there()) == 20
    await asyncio.gather(*tasks)


async def test_two_transactions_in_each_others_way_both_get_through(engine: AsyncEngine) -> None:
    """A deadlock: the one PostgreSQL breaks off is tried again."""
    async with engine.begin() as transaction:
        await transaction.execute(text("INSERT INTO words VALUES ('a'), ('b')"))
    met = asyncio.Barrier(2)
    tries = {"a": 0, "b": 0}

    async def touch_both(transaction: AsyncConnection, items: Sequence[str]) -> list[Any]:
        (first,) = items
        tries[first] += 1
        await transaction.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        for number, word in enumerate((first, "b" if first == "a" else "a")):
            await transaction.execute(text("UPDATE words SET word = word WHERE word = :word"), {"word": word})
            if number == 0 and tries[first] == 1:
                await met.wait()
        return ["done"]

    groups = [GroupCommit(engine, touch_both, name_of=str) for _ in range(2)]
    outcomes = await asyncio.gather(*(group.submit(w) for group, w in zip(groups, "ab", strict=True)))
    assert outcomes == ["done", "done"]
    assert sum(tries.values()) == 3


async def test_a_connection_that_dies_means_the_database_is_away_and_the_next_caller_is_served(words: Words) -> None:
    async def kill(transaction: AsyncConnection, items: Sequence[str]) -> list[Any]:
        await transaction.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return list(items)

    dying: GroupCommit[str] = GroupCommit(words.engine, kill, name_of=str)
    outcomes = await asyncio.gather(*(dying.submit(str(n)) for n in range(3)), return_exceptions=True)
    assert [type(o) for o in outcomes] == [DatabaseAway] * 3
    assert await words.commits.submit("after") == "AFTER"
