"""The pace: it finds a limit nobody published, and rests when it is told to."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from callreel.clock import SetClock
from callreel.source.pace import FIRST, Pace


class Account:
    """Takes `limit` requests at once and refuses the next, as Twilio's 20429 does."""

    def __init__(self, limit: int, clock: SetClock) -> None:
        self.limit, self.now, self.peak, self.refused = limit, 0, 0, 0
        self.rests: list[float] = []
        self._clock = clock
        self.pace = Pace(clock=clock, rng=Random(1), most=64, sleep=self._rest)

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self._clock.advance(seconds)
        await asyncio.sleep(0)

    async def ask(self, retry_after_s: float | None = None) -> None:
        while True:
            async with self.pace.turn() as turn:
                if self.now >= self.limit:
                    self.refused += 1
                    turn.was_refused(retry_after_s)
                    continue
                self.now += 1
                self.peak = max(self.peak, self.now)
                for _ in range(3):
                    await asyncio.sleep(0)
                self.now -= 1
                turn.went_well()
                return


async def test_the_limit_of_an_account_is_found_and_kept_to() -> None:
    account = Account(20, SetClock())
    await asyncio.gather(*(account.ask() for _ in range(3000)))
    assert account.peak == 20
    assert 10 <= account.pace.window <= 24
    assert account.refused < 300


async def test_without_a_refusal_the_window_opens_to_its_most() -> None:
    account = Account(1000, SetClock())
    await asyncio.gather(*(account.ask() for _ in range(1000)))
    assert account.pace.window == 64
    assert account.refused == 0


async def test_a_window_nobody_fills_stays_as_it_is() -> None:
    account = Account(1000, SetClock())
    for _ in range(50):
        await account.ask()
    assert account.pace.window == FIRST


async def test_an_account_that_takes_one_at_a_time_is_still_served() -> None:
    account = Account(1, SetClock())
    await asyncio.gather(*(account.ask() for _ in range(40)))
    assert account.pace.window >= 1
    assert account.now == 0


async def test_retry_after_is_obeyed_by_everybody() -> None:
    account = Account(0, SetClock())
    asked = asyncio.create_task(account.ask(retry_after_s=7))
    while not account.rests:
        await asyncio.sleep(0)
    account.limit = 5
    await asked
    assert account.rests[0] == pytest.approx(7)


async def test_of_many_refused_together_one_cuts_the_window() -> None:
    pace = Pace(clock=SetClock(), rng=Random(1))
    async with pace.turn() as one, pace.turn() as other:
        before = pace.window
        one.was_refused(0)
        cut = pace.window
        other.was_refused(0)
    assert cut < before
    assert pace.window == cut


async def test_a_place_given_to_somebody_cancelled_is_given_back() -> None:
    pace = Pace(clock=SetClock(), rng=Random(1), most=1)

    async def take() -> None:
        async with pace.turn():
            pass

    async with pace.turn():
        waiting = [asyncio.create_task(take()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await asyncio.gather(*waiting[1:])
    assert waiting[0].cancelled() or waiting[0].done()
    async with asyncio.timeout(5), pace.turn():
        pass
