"""No write is left waiting for a writer that has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from callreel.ledger.group_commit import GroupCommit
from callreel.parts import Parts


async def test_a_write_submitted_while_the_writer_ends_is_written(parts: Parts) -> None:
    async def write(_: Any, items: Sequence[int]) -> list[int]:
        return list(items)

    commits: GroupCommit[int] = GroupCommit(parts.ledger.engine, write, name_of=str)
    async with asyncio.timeout(10):
        assert [await commits.submit(number) for number in range(5)] == [0, 1, 2, 3, 4]
