"""What may be on its way at once, in blobs and in bytes."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from callreel.bucket.traffic import Traffic

MIB = 1 << 20


async def _is_let_in(traffic: Traffic, size_bytes: int) -> bool:
    """Whether a blob of this size gets room without anybody leaving."""
    try:
        async with asyncio.timeout(0), traffic.room_for(size_bytes):
            return True
    except TimeoutError:
        return False


async def test_no_more_blobs_than_allowed_are_on_their_way() -> None:
    traffic = Traffic(2)
    async with traffic.room_for(1), traffic.room_for(1):
        assert not await _is_let_in(traffic, 1)
    assert await _is_let_in(traffic, 1)


async def test_large_blobs_are_limited_by_what_they_hold_in_memory() -> None:
    traffic = Traffic(32, in_memory_bytes=64 * MIB)
    async with AsyncExitStack() as held:
        for _ in range(4):  # of a blob of any size two parts of 8 MiB are in memory
            await held.enter_async_context(traffic.room_for(2 << 30))
        assert not await _is_let_in(traffic, 1)
    assert await _is_let_in(traffic, 1)


async def test_a_blob_beyond_the_limit_goes_alone() -> None:
    traffic = Traffic(32, in_memory_bytes=1 * MIB)
    async with traffic.room_for(8 * MIB):
        assert not await _is_let_in(traffic, 1)


async def test_blobs_go_in_the_order_they_came() -> None:
    traffic, order = Traffic(1), []

    async def send(name: str) -> None:
        async with traffic.room_for(1):
            order.append(name)

    async with traffic.room_for(1):
        sending = [asyncio.create_task(send(name)) for name in "abc"]
        await asyncio.sleep(0)
    await asyncio.gather(*sending)
    assert order == ["a", "b", "c"]


async def test_one_that_is_cancelled_while_it_waits_or_as_it_is_let_in_holds_no_room() -> None:
    traffic = Traffic(1)

    async def send() -> None:
        async with traffic.room_for(1):
            await asyncio.Event().wait()

    async with traffic.room_for(1):
        waiting, let_in = asyncio.create_task(send()), asyncio.create_task(send())
        await asyncio.sleep(0)
        waiting.cancel()
    let_in.cancel()  # its turn has come with the room that was just given back, and it has not run yet
    await asyncio.gather(waiting, let_in, return_exceptions=True)
    assert await _is_let_in(traffic, 1)


async def test_an_error_gives_the_room_back() -> None:
    traffic = Traffic(1)
    with pytest.raises(OSError, match="lost"):
        async with traffic.room_for(1):
            raise OSError("lost")
    assert await _is_let_in(traffic, 1)
