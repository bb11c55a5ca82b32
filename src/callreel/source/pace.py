"""How fast one source is asked: as many requests at once as it takes, found by trying, and a rest when it says 429.

Twilio's limit is one of requests at the same time, and it publishes no number. So the window opens by one for each
request that went well until the first 429, is cut to 70 % by each of those, and opens slowly from then on. A 429 is
always safe to repeat (error 20429), so it is repeated here and costs nobody a try.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random

from callreel.clock import Clock

FIRST = 4.0
MOST = 64  # requests at once, also where nobody ever says 429
CUT = 0.7
REST_BASE_S, REST_CAP_S = 0.1, 30.0  # without a Retry-After
LONGEST_REST_S = 300.0  # a Retry-After beyond this is told to the caller instead of waited for

Sleep = Callable[[float], Awaitable[None]]


class Turn:
    """One request's place in the window."""

    def __init__(self, pace: Pace, epoch: int, *, filled: bool) -> None:
        self._pace, self._epoch, self._filled = pace, epoch, filled

    def went_well(self) -> None:
        """The source took the request: the window may open."""
        self._pace._open(filled=self._filled)

    def was_refused(self, retry_after_s: float | None) -> float:
        """The source said 429. Returns the seconds everybody rests from now on."""
        return self._pace._cut(self._epoch, retry_after_s)


class Pace:
    """Shared by all work on one source. `sleep` and `clock` are those of the installation."""

    def __init__(self, *, clock: Clock, rng: Random, most: int = MOST, sleep: Sleep = asyncio.sleep) -> None:
        self._clock, self._rng, self._most, self._sleep = clock, rng, most, sleep
        self._window = min(FIRST, most)
        self._was_cut = False
        self._epoch = self._refusals = self._taken = 0
        self._rests_until = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def window(self) -> int:
        """How many requests may be under way at once now."""
        return max(1, int(self._window))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """Wait for a place and for the end of a rest; the place is given back on leaving. First come, first served."""
        await self._enter()
        try:
            rest_s = self._rests_until - self._clock.monotonic()
            if rest_s > 0:
                await self._sleep(rest_s)
            yield Turn(self, self._epoch, filled=self._taken >= self.window)
        finally:
            self._taken -= 1
            self._let_in()

    def _open(self, *, filled: bool) -> None:
        self._refusals = 0
        if filled:  # a window nobody fills tells nothing about the source's limit
            self._window = min(float(self._most), self._window + (1 / self._window if self._was_cut else 1))
            self._let_in()

    def _cut(self, epoch: int, retry_after_s: float | None) -> float:
        now = self._clock.monotonic()
        if epoch == self._epoch:  # of many that were refused together, one cuts
            self._epoch += 1
            self._was_cut = True
            self._window = max(1.0, self._window * CUT)
            self._refusals += 1
            if retry_after_s is None:
                top_s = min(REST_CAP_S, REST_BASE_S * 2.0**self._refusals)
                retry_after_s = self._rng.uniform(top_s / 2, top_s)
        if retry_after_s is not None:
            self._rests_until = max(self._rests_until, now + min(retry_after_s, LONGEST_REST_S))
        return max(retry_after_s or 0.0, self._rests_until - now)

    async def _enter(self) -> None:
        if not self._waiting and self._taken < self.window:
            self._taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._taken -= 1  # it was let in at the moment it was cancelled
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._waiting and self._taken < self.window:
            place = self._waiting.popleft()
            if not place.cancelled():
                self._taken += 1
                place.set_result(None)
