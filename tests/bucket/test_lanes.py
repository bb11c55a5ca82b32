"""Lanes: what one bucket's trouble costs the others, which is nothing; and what it gets back when it is over."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from callreel.bucket import traffic as tuning
from callreel.bucket.traffic import Traffic, TurnedAway
from callreel.errors import BucketRefused, BucketStumbled, BucketUnreachable


class Watch:
    """A steady clock that is set by hand."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


async def is_let_in(traffic: Traffic, lane: str) -> bool:
    try:
        async with asyncio.timeout(0), traffic.room_for(1, lane):
            return True
    except TimeoutError:
        return False


async def send(traffic: Traffic, lane: str, why: Exception | None = None) -> None:
    async with traffic.room_for(1, lane):
        if why is not None:
            raise why


async def stumble(traffic: Traffic, lane: str, why: Exception) -> None:
    with pytest.raises(type(why)):
        await send(traffic, lane, why)


async def test_a_lane_begins_with_a_quarter_and_grows_with_each_success() -> None:
    traffic = Traffic(32)
    assert traffic.limit_of("a") == 8
    for _ in range(40):
        await send(traffic, "a")
    assert traffic.limit_of("a") == 32


@pytest.mark.parametrize(
    "why", [BucketUnreachable(), BucketStumbled("SlowDown", status=503), BucketStumbled("Http429", status=429)]
)
async def test_trouble_halves_a_lane_and_leaves_the_others(why: Exception) -> None:
    traffic = Traffic(32)
    await stumble(traffic, "a", why)
    assert (traffic.limit_of("a"), traffic.limit_of("b")) == (4, 8)
    for _ in range(5):
        await stumble(traffic, "a", why)
    assert traffic.limit_of("a") == 1


async def test_one_burst_of_errors_halves_it_once() -> None:
    traffic = Traffic(32)

    async def fail_together(all_in: asyncio.Barrier) -> None:
        async with traffic.room_for(1, "a"):
            await all_in.wait()
            raise BucketUnreachable

    barrier = asyncio.Barrier(8)
    await asyncio.gather(*(fail_together(barrier) for _ in range(8)), return_exceptions=True)
    assert traffic.limit_of("a") == 4


@pytest.mark.parametrize("why", [BucketRefused("AccessDenied", status=403), BucketStumbled("BadDigest", status=400)])
async def test_what_is_not_of_load_halves_nothing(why: Exception) -> None:
    traffic = Traffic(32)
    await stumble(traffic, "a", why)
    assert traffic.limit_of("a") == 8


async def test_after_trouble_it_grows_by_one_in_each_round() -> None:
    traffic = Traffic(32)
    await stumble(traffic, "a", BucketUnreachable())
    for _ in range(4):
        await send(traffic, "a")
    assert traffic.limit_of("a") == 4
    for _ in range(2):
        await send(traffic, "a")
    assert traffic.limit_of("a") == 5


async def test_a_slow_lane_turns_away_what_it_cannot_take_each_to_a_later_time() -> None:
    watch = Watch()
    traffic = Traffic(32, now=watch)
    for _ in range(3):
        await stumble(traffic, "a", BucketUnreachable())
    assert traffic.limit_of("a") == 1
    async with AsyncExitStack() as held:
        await held.enter_async_context(traffic.room_for(1, "a"))
        watch.at += 60  # it does not answer
        waiting = [asyncio.create_task(send(traffic, "a")) for _ in range(2)]
        await asyncio.sleep(0)
        times = []
        for _ in range(20):
            with pytest.raises(TurnedAway) as away:
                await send(traffic, "a")
            times.append(away.value.again_in_s)
        assert times == sorted(times)
        assert (times[0], times[-1]) == (30.0, tuning.LONGEST_BOOKING_S)
        assert await is_let_in(traffic, "b")
    await asyncio.gather(*waiting)


async def test_a_lane_that_stops_answering_lets_those_that_wait_in_it_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "QUICK_S", 0.01)
    watch = Watch()
    traffic = Traffic(32, now=watch)
    async with AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(traffic.room_for(1, "a"))
        waiting = [asyncio.create_task(send(traffic, "a")) for _ in range(100)]
        await asyncio.sleep(0)
        watch.at += 2
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
        turned_away = [t for t in waiting if t.done()]
        assert len(turned_away) == 100 - 16
        assert all(isinstance(t.exception(), TurnedAway) for t in turned_away)
        assert done
    await asyncio.wait(waiting)


async def test_slow_lanes_together_leave_half_to_the_others() -> None:
    traffic = Traffic(8)
    for lane in range(20):
        await stumble(traffic, f"slow {lane}", BucketUnreachable())
    async with AsyncExitStack() as held:
        for lane in range(4):
            await held.enter_async_context(traffic.room_for(1, f"slow {lane}"))
        assert not await is_let_in(traffic, "slow 5")
        for lane in range(4):
            await held.enter_async_context(traffic.room_for(1, f"quick {lane}"))


async def test_a_lane_that_holds_everything_does_not_shut_the_others_out() -> None:
    traffic = Traffic(8)
    for _ in range(8):
        await send(traffic, "a")
    async with AsyncExitStack() as held:
        for _ in range(8):
            await held.enter_async_context(traffic.room_for(1, "a"))
        assert not await is_let_in(traffic, "a")
        assert await is_let_in(traffic, "b")


async def test_lanes_are_let_in_in_turn() -> None:
    traffic, order = Traffic(1), list[str]()

    async def go(lane: str) -> None:
        async with traffic.room_for(1, lane):
            order.append(lane)

    async with traffic.room_for(1, "other"), traffic.room_for(1, "another"):
        sending = [asyncio.create_task(go(lane)) for lane in ("a", "a", "a", "b", "c")]
        await asyncio.sleep(0)
    await asyncio.gather(*sending)
    assert order == ["a", "b", "c", "a", "a"]


async def test_a_large_blob_is_not_passed_over_for_ever() -> None:
    traffic, order = Traffic(8, in_memory_bytes=10), list[str]()

    async def go(lane: str, size_bytes: int) -> None:
        async with traffic.room_for(size_bytes, lane):
            order.append(lane)

    async with traffic.room_for(5, "other"):
        sending = [asyncio.create_task(go("large", 9))]
        await asyncio.sleep(0)
        sending += [asyncio.create_task(go(f"small {n}", 5)) for n in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(*sending)
    assert order.index("large") < 50


async def test_a_lane_is_quick_again_when_it_answers() -> None:
    watch = Watch()
    traffic = Traffic(8, now=watch)
    for _ in range(3):
        await stumble(traffic, "a", BucketUnreachable())
    await send(traffic, "a")
    async with traffic.room_for(1, "a"):
        waiting = [asyncio.create_task(send(traffic, "a")) for _ in range(50)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)  # nobody was turned away
